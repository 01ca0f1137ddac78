//! AES-128 in counter mode with the instructions of 64-bit Arm (`FEAT_AES`).

use core::arch::aarch64::*;

use super::Nonce;
use crate::format::{Block, Form};

const ROUNDS: usize = 10;

/// The key of each round, and the one before the first.
type RoundKeys = [uint8x16_t; ROUNDS + 1];

#[inline]
#[target_feature(enable = "neon")]
fn load(block: &Block) -> uint8x16_t {
    // SAFETY: 16 bytes of any alignment.
    unsafe { vld1q_u8(block.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn store(block: &mut Block, value: uint8x16_t) {
    // SAFETY: 16 bytes of any alignment.
    unsafe { vst1q_u8(block.as_mut_ptr(), value) };
}

/// Returns counter block `i`.
#[inline]
#[target_feature(enable = "neon")]
fn count(nonce: Nonce, i: u32) -> uint8x16_t {
    load(&super::counter(nonce, i))
}

/// The key schedule (FIPS 197, section 5.2). On four equal columns, `AESE` is `SubWord`,
/// because `ShiftRows` does not change them.
#[inline]
#[target_feature(enable = "aes")]
fn expand(key: &Block) -> RoundKeys {
    const ROUND_CONSTANTS: [u32; ROUNDS] = [1, 2, 4, 8, 16, 32, 64, 128, 27, 54];
    let zero = vdupq_n_u8(0);
    let mut words = {
        let (words, _) = key.as_chunks::<4>();
        [words[0], words[1], words[2], words[3]].map(u32::from_le_bytes)
    };
    let mut keys = [load(key); ROUNDS + 1];
    for (constant, key) in ROUND_CONSTANTS.into_iter().zip(&mut keys[1..]) {
        let rotated = vreinterpretq_u8_u32(vdupq_n_u32(words[3].rotate_right(8)));
        let substituted = vgetq_lane_u32::<0>(vreinterpretq_u32_u8(vaeseq_u8(rotated, zero)));
        words[0] ^= substituted ^ constant;
        for i in 1..4 {
            words[i] ^= words[i - 1];
        }
        let mut block = Block::default();
        for (bytes, word) in block.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        *key = load(&block);
    }
    keys
}

/// `AESE` adds its key before the round, not after it.
#[inline]
#[target_feature(enable = "aes")]
fn encrypt<const N: usize>(keys: &RoundKeys, mut blocks: [uint8x16_t; N]) -> [uint8x16_t; N] {
    for &key in &keys[..ROUNDS - 1] {
        for block in &mut blocks {
            *block = vaesmcq_u8(vaeseq_u8(*block, key));
        }
    }
    for block in &mut blocks {
        *block = veorq_u8(vaeseq_u8(*block, keys[ROUNDS - 1]), keys[ROUNDS]);
    }
    blocks
}

#[target_feature(enable = "aes")]
pub(super) fn prf(key: &Block, block: Block) -> Block {
    let [encrypted] = encrypt(&expand(key), [load(&block)]);
    let mut hash = block;
    store(&mut hash, encrypted);
    hash
}

/// Makes eight blocks at once, and the rest one by one.
#[target_feature(enable = "aes")]
pub(super) fn stream(key: &mut Block, nonce: Nonce, form: Form, dest: &mut [Block]) {
    const GROUP: usize = 8;

    let keys = expand(key);
    let [next] = encrypt(&keys, [count(nonce, 0)]);
    store(key, next);

    let (keep, set) = (load(&form.keep), load(&form.set));
    let shaped = |block| vorrq_u8(vandq_u8(block, keep), set);
    let (groups, rest) = dest.as_chunks_mut::<GROUP>();
    let mut i = 1;
    for group in groups {
        let mut blocks = [vdupq_n_u8(0); GROUP];
        for block in &mut blocks {
            *block = count(nonce, i);
            i += 1;
        }
        for (to, block) in group.iter_mut().zip(encrypt(&keys, blocks)) {
            store(to, shaped(block));
        }
    }
    for to in rest {
        let [block] = encrypt(&keys, [count(nonce, i)]);
        store(to, shaped(block));
        i += 1;
    }
}
