//! AES-128 in counter mode with the instructions of x86: AES-NI, and VAES with
//! vectors of two (AVX2) or four blocks (AVX-512).
//!
//! Each loop works on enough blocks at once to hide the latency of an instruction, so that
//! only its throughput is a limit.

#[cfg(target_arch = "x86")]
use core::arch::x86::*;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::*;

use super::Nonce;
use crate::format::{Block, Form};

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

/// Returns counter block 0.
#[inline]
#[target_feature(enable = "sse2")]
fn first(nonce: Nonce) -> __m128i {
    _mm_set_epi64x(nonce.high as i64, (u64::from(nonce.low) << 32) as i64)
}

/// The key schedule (FIPS 197, section 5.2).
///
/// On four equal columns, `aesenclast` is `SubWord`, because `ShiftRows` does not change
/// them. It takes half as long as `aeskeygenassist`.
#[inline]
#[target_feature(enable = "aes,ssse3")]
fn expand(key: &Block) -> RoundKeys {
    const ROUND_CONSTANTS: [i32; ROUNDS] = [1, 2, 4, 8, 16, 32, 64, 128, 27, 54];
    // Selects the last word, rotated, four times.
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

#[target_feature(enable = "aes,ssse3")]
pub(super) fn stream(key: &mut Block, nonce: Nonce, form: Form, dest: &mut [Block]) {
    /// The blocks of a group, each in a register.
    const GROUP: usize = 8;

    let keys = expand(key);
    let mut counter = first(nonce);
    store(key, encrypt(&keys, counter));

    let one = _mm_set_epi32(0, 0, 0, 1);
    let (keep, set) = (load(&form.keep), load(&form.set));
    for group in dest.chunks_mut(GROUP) {
        let mut blocks = [keys[0]; GROUP];
        for block in &mut blocks {
            counter = _mm_add_epi32(counter, one);
            *block = _mm_xor_si128(*block, counter);
        }
        for &key in &keys[1..ROUNDS] {
            for block in &mut blocks {
                *block = _mm_aesenc_si128(*block, key);
            }
        }
        for block in &mut blocks {
            *block = _mm_aesenclast_si128(*block, keys[ROUNDS]);
            *block = _mm_or_si128(_mm_and_si128(*block, keep), set);
        }
        // The last group may have less room.
        for (to, block) in group.iter_mut().zip(blocks) {
            store(to, block);
        }
    }
}

/// Does the same as [`stream`] with VAES, on vectors of two blocks.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "vaes,avx2,aes,ssse3")]
pub(super) fn stream_by_256(key: &mut Block, nonce: Nonce, form: Form, dest: &mut [Block]) {
    /// The blocks of a group, in eight registers. Eight more are left for keys and counters.
    const GROUP: usize = 16;

    let keys = expand(key);
    let counter = first(nonce);
    store(key, encrypt(&keys, counter));

    let mut twice = [_mm256_setzero_si256(); ROUNDS + 1];
    for (twice, key) in twice.iter_mut().zip(keys) {
        *twice = _mm256_broadcastsi128_si256(key);
    }
    let keep = _mm256_broadcastsi128_si256(load(&form.keep));
    let set = _mm256_broadcastsi128_si256(load(&form.set));
    let two = _mm256_set_epi32(0, 0, 0, 2, 0, 0, 0, 2);
    let mut counters = _mm256_add_epi32(
        _mm256_broadcastsi128_si256(counter),
        _mm256_set_epi32(0, 0, 0, 2, 0, 0, 0, 1),
    );
    for group in dest.chunks_mut(GROUP) {
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
        for block in &mut blocks {
            *block = _mm256_aesenclast_epi128(*block, twice[ROUNDS]);
            *block = _mm256_or_si256(_mm256_and_si256(*block, keep), set);
        }
        // The last group may have less room.
        let (pairs, odd) = group.as_chunks_mut::<2>();
        for (pair, block) in pairs.iter_mut().zip(blocks) {
            // SAFETY: two blocks of any alignment.
            unsafe { _mm256_storeu_si256(pair.as_mut_ptr().cast(), block) };
        }
        if let [odd] = odd {
            store(odd, _mm256_castsi256_si128(blocks[pairs.len()]));
        }
    }
}

/// Does the same as [`stream`] with VAES, on vectors of four blocks.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "vaes,avx512f,avx2,aes,ssse3")]
pub(super) fn stream_by_512(key: &mut Block, nonce: Nonce, form: Form, dest: &mut [Block]) {
    /// The blocks of a group, in eight registers.
    const GROUP: usize = 32;

    let keys = expand(key);
    let counter = first(nonce);
    store(key, encrypt(&keys, counter));

    let mut fourfold = [_mm512_setzero_si512(); ROUNDS + 1];
    for (fourfold, key) in fourfold.iter_mut().zip(keys) {
        *fourfold = _mm512_broadcast_i32x4(key);
    }
    let keep = _mm512_broadcast_i32x4(load(&form.keep));
    let set = _mm512_broadcast_i32x4(load(&form.set));
    let four = _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4);
    let mut counters = _mm512_add_epi32(
        _mm512_broadcast_i32x4(counter),
        _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1),
    );
    for group in dest.chunks_mut(GROUP) {
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
        for block in &mut blocks {
            *block = _mm512_aesenclast_epi128(*block, fourfold[ROUNDS]);
            *block = _mm512_or_si512(_mm512_and_si512(*block, keep), set);
        }
        // The last group may have less room. Two bits of the mask stand for a block.
        for (four, block) in group.chunks_mut(4).zip(blocks) {
            let mask = 0xff >> (8 - 2 * four.len());
            // SAFETY: the mask selects only the words of `four`, of any alignment.
            unsafe { _mm512_mask_storeu_epi64(four.as_mut_ptr().cast(), mask, block) };
        }
    }
}
