//! The deterministic generator: AES-128 in counter mode with fast key erasure.
//!
//! Pure: no I/O, no state, no clock. One key makes one keystream
//!
//! ```text
//! block i = AES-128(key, nonce ‖ i)      i = 0, 1, 2 …   (128 bits, big-endian)
//! ```
//!
//! whose block 0 replaces the key at once and is never output, so that nobody
//! who reads the memory later can compute what was handed out before
//! (backtracking resistance; Bernstein,
//! [Fast-key-erasure random-number generators](https://blog.cr.yp.to/20170723-random.html)).
//! The nonce is the caller's hedge: two copies of one key that are given
//! different nonces go apart at once, the next key included.
//!
//! A UUID has 122 random bits, so a cipher of 128-bit strength is enough.

use aes::Aes128Enc;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use zeroize::Zeroize;

/// 16 bytes: a key, a block of output, the bytes of a UUID.
pub(crate) type Block = [u8; 16];

/// What makes the streams of one key different: the upper 96 bits of the
/// counter block.
#[derive(Clone, Copy)]
pub(crate) struct Nonce {
    pub(crate) high: u64,
    pub(crate) low: u32,
}

/// Blocks under one key at most, 64 KiB: far below 2^64, where the absence of
/// equal blocks would begin to tell the stream from random bits.
const STREAM: usize = 4096;

/// Replaces the key in `chain[0]` by the next one, and the rest of `chain` by
/// output.
pub(crate) fn refill(chain: &mut [Block], nonce: Nonce) {
    let cipher = Aes128Enc::new(&Array::from(chain[0]));
    write(&cipher, nonce, 0, chain);
}

/// Fills `dest` with output and replaces `key` by the next one.
pub(crate) fn generate(key: &mut Block, nonce: Nonce, dest: &mut [Block]) {
    for part in dest.chunks_mut(STREAM) {
        let cipher = Aes128Enc::new(&Array::from(*key));
        write(&cipher, nonce, 1, part);
        write(&cipher, nonce, 0, core::slice::from_mut(key));
    }
}

/// A keyed hash of one block: its encryption.
pub(crate) fn prf(key: &Block, block: Block) -> Block {
    let mut block = Array::from(block);
    Aes128Enc::new(&Array::from(*key)).encrypt_block(&mut block);
    block.into()
}

/// `a ^= b`, and clears `b`.
pub(crate) fn fold(a: &mut Block, b: &mut Block) {
    for (a, b) in a.iter_mut().zip(b.iter()) {
        *a ^= b;
    }
    b.zeroize();
}

fn write(cipher: &Aes128Enc, nonce: Nonce, first: u32, blocks: &mut [Block]) {
    let upper = u128::from(nonce.high) << 64 | u128::from(nonce.low) << 32;
    for (block, i) in blocks.iter_mut().zip(first..) {
        *block = (upper | u128::from(i)).to_be_bytes();
    }
    cipher.encrypt_blocks(Array::cast_slice_from_core_mut(blocks));
}
