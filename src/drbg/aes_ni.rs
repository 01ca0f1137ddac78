//! AES-128 in counter mode by the instructions of x86: AES-NI, and VAES with
//! vectors of two (AVX2) or four blocks (AVX-512).
//!
//! Each loop has as many blocks under way at once as the latency of an
//! instruction asks for, so that its throughput is the only limit.

#[cfg(target_arch = "x86")]
use core::arch::x86::*;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::*;

use super::{Block, Form, Nonce};

const ROUNDS: usize = 10;

/// The key of each round, and the one before the first.
type RoundKeys = [__m128i; ROUNDS + 1];

#[inline]
#[target_feature(enable = "sse2")]
fn load(block: &Block) -> __m128i {
    // SAFETY: 16 bytes of any alignment.
    unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn store(block: &mut Block, value: __m128i) {
    // SAFETY: 16 bytes of any alignment.
    unsafe { _mm_storeu_si128(block.as_mut_ptr().cast(), value) };
}

/// Block 0 of the counter.
#[inline]
#[target_feature(enable = "sse2")]
fn first(nonce: Nonce) -> __m128i {
    _mm_set_epi64x(nonce.high as i64, (u64::from(nonce.low) << 32) as i64)
}

/// The key schedule (FIPS 197, section 5.2).
///
/// `aesenclast` on four equal columns is `SubWord`, as `ShiftRows` does not
/// change them, and takes half as long as `aeskeygenassist`.
#[inline]
#[target_feature(enable = "aes,ssse3")]
fn expand(key: &Block) -> RoundKeys {
    const ROUND_CONSTANTS: [i32; ROUNDS] = [1, 2, 4, 8, 16, 32, 64, 128, 27, 54];
    // Of the last word, rotated, four times.
    let rotated = _mm_set1_epi32(0x0c0f_0e0d);
    let mut keys = [load(key); ROUNDS + 1];
    for round in 0..ROUNDS {
        let key = keys[round];
        let constant = _mm_set1_epi32(ROUND_CONSTANTS[round]);
        let word = _mm_aesenclast_si128(_mm_shuffle_epi8(key, rotated), constant);
        let key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
        let key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
        keys[round + 1] = _mm_xor_si128(key, word);
    }
    keys
}

#[inline]
#[target_feature(enable = "aes")]
fn encrypt(keys: &RoundKeys, block: __m128i) -> __m128i {
    let mut block = _mm_xor_si128(block, keys[0]);
    for &key in &keys[1..ROUNDS] {
        block = _mm_aesenc_si128(block, key);
    }
    _mm_aesenclast_si128(block, keys[ROUNDS])
}

#[target_feature(enable = "aes,ssse3")]
pub(super) fn prf(key: &Block, block: Block) -> Block {
    let mut hash = block;
    store(&mut hash, encrypt(&expand(key), load(&block)));
    hash
}

/// Fills `dest` with the blocks that follow `counter`, eight at once, and those
/// that are left one by one.
#[inline]
#[target_feature(enable = "aes,sse2")]
fn fill(keys: &RoundKeys, mut counter: __m128i, form: Form, dest: &mut [Block]) {
    let (keep, set) = (load(&form.keep), load(&form.set));
    let shaped = |block| _mm_or_si128(_mm_and_si128(block, keep), set);
    let (groups, rest) = dest.as_chunks_mut::<8>();
    for group in groups {
        let mut blocks = [keys[0]; 8];
        for block in &mut blocks {
            counter = _mm_add_epi32(counter, _mm_set_epi32(0, 0, 0, 1));
            *block = _mm_xor_si128(*block, counter);
        }
        for &key in &keys[1..ROUNDS] {
            for block in &mut blocks {
                *block = _mm_aesenc_si128(*block, key);
            }
        }
        for (to, block) in group.iter_mut().zip(blocks) {
            store(to, shaped(_mm_aesenclast_si128(block, keys[ROUNDS])));
        }
    }
    for to in rest {
        counter = _mm_add_epi32(counter, _mm_set_epi32(0, 0, 0, 1));
        store(to, shaped(encrypt(keys, counter)));
    }
}

/// By AES-NI.
#[target_feature(enable = "aes,ssse3")]
pub(super) fn stream(key: &mut Block, nonce: Nonce, form: Form, dest: &mut [Block]) {
    let keys = expand(key);
    let counter = first(nonce);
    store(key, encrypt(&keys, counter));
    fill(&keys, counter, form, dest);
}

/// By VAES, with vectors of two blocks.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "vaes,avx2,aes,ssse3")]
pub(super) fn stream_by_256(key: &mut Block, nonce: Nonce, form: Form, dest: &mut [Block]) {
    /// Blocks of a group: eight registers, and as many for the rest.
    const GROUP: usize = 16;

    let keys = expand(key);
    let counter = first(nonce);
    store(key, encrypt(&keys, counter));

    let twice = keys.map(|key| _mm256_broadcastsi128_si256(key));
    let keep = _mm256_broadcastsi128_si256(load(&form.keep));
    let set = _mm256_broadcastsi128_si256(load(&form.set));
    let mut counters = _mm256_add_epi32(
        _mm256_broadcastsi128_si256(counter),
        _mm256_set_epi32(0, 0, 0, 2, 0, 0, 0, 1),
    );
    let two = _mm256_set_epi32(0, 0, 0, 2, 0, 0, 0, 2);
    let (groups, rest) = dest.as_chunks_mut::<GROUP>();
    let done = groups.len() * GROUP;
    for group in groups {
        let mut blocks = [twice[0]; GROUP / 2];
        for block in &mut blocks {
            *block = _mm256_xor_si256(*block, counters);
            counters = _mm256_add_epi32(counters, two);
        }
        for &key in &twice[1..ROUNDS] {
            for block in &mut blocks {
                *block = _mm256_aesenc_epi128(*block, key);
            }
        }
        for (to, block) in group.as_chunks_mut::<2>().0.iter_mut().zip(blocks) {
            let block = _mm256_aesenclast_epi128(block, twice[ROUNDS]);
            let block = _mm256_or_si256(_mm256_and_si256(block, keep), set);
            // SAFETY: two blocks of any alignment.
            unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), block) };
        }
    }
    let counter = _mm_add_epi32(counter, _mm_set_epi32(0, 0, 0, done as i32));
    fill(&keys, counter, form, rest);
}

/// By VAES, with vectors of four blocks.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "vaes,avx512f,avx2,aes,ssse3")]
pub(super) fn stream_by_512(key: &mut Block, nonce: Nonce, form: Form, dest: &mut [Block]) {
    /// Blocks of a group: four registers.
    const GROUP: usize = 16;

    let keys = expand(key);
    let counter = first(nonce);
    store(key, encrypt(&keys, counter));

    let fourfold = keys.map(|key| _mm512_broadcast_i32x4(key));
    let keep = _mm512_broadcast_i32x4(load(&form.keep));
    let set = _mm512_broadcast_i32x4(load(&form.set));
    let mut counters = _mm512_add_epi32(
        _mm512_broadcast_i32x4(counter),
        _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1),
    );
    let four = _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4);
    let (groups, rest) = dest.as_chunks_mut::<GROUP>();
    let done = groups.len() * GROUP;
    for group in groups {
        let mut blocks = [fourfold[0]; GROUP / 4];
        for block in &mut blocks {
            *block = _mm512_xor_si512(*block, counters);
            counters = _mm512_add_epi32(counters, four);
        }
        for &key in &fourfold[1..ROUNDS] {
            for block in &mut blocks {
                *block = _mm512_aesenc_epi128(*block, key);
            }
        }
        for (to, block) in group.as_chunks_mut::<4>().0.iter_mut().zip(blocks) {
            let block = _mm512_aesenclast_epi128(block, fourfold[ROUNDS]);
            let block = _mm512_or_si512(_mm512_and_si512(block, keep), set);
            // SAFETY: four blocks of any alignment.
            unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), block) };
        }
    }
    let counter = _mm_add_epi32(counter, _mm_set_epi32(0, 0, 0, done as i32));
    fill(&keys, counter, form, rest);
}
