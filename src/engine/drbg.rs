//! The deterministic generator: a cipher in counter mode with fast key erasure.
//!
//! It has no I/O, no state and no clock. A key and a nonce make one keystream:
//!
//! ```text
//! block i = AES-128(key, i ‖ nonce)      i = 0, 1, 2 …   (128 bits, little-endian)
//! ```
//!
//! Block 0 replaces the key at once and is never output. An attacker who reads the
//! memory later cannot compute the blocks that were output before (backtracking resistance;
//! Bernstein,
//! [Fast-key-erasure random-number generators](https://blog.cr.yp.to/20170723-random.html)).
//! The nonce is the caller's hedge: with different nonces, two copies of one key make
//! different blocks and different next keys.
//!
//! | processor | cipher | file |
//! | --- | --- | --- |
//! | 64-bit x86 with AES instructions | AES-128, one, two or four blocks in a register | `aes_x86` |
//! | 64-bit Arm with AES instructions | AES-128 | `aes_arm` |
//! | any other | ChaCha8, with a key of 32 bytes | `chacha` |
//!
//! A UUID has 122 random bits, so a cipher of 128-bit strength is enough.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use zeroize::Zeroize;

use crate::format::{Block, Form};

mod backend;
mod chacha;
#[cfg(test)]
mod tests;

#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
mod aes_x86;
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
use aes_x86::AES;

#[cfg(all(target_arch = "aarch64", target_pointer_width = "64"))]
mod aes_arm;
#[cfg(all(target_arch = "aarch64", target_pointer_width = "64"))]
use aes_arm::AES;

#[cfg(not(all(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_pointer_width = "64"
)))]
static AES: &[Backend] = &[];

use backend::Backend;
use chacha::CHACHA;

/// AES uses the first 16 bytes, and ChaCha uses all.
pub(crate) type Key = [u8; 32];

/// The upper 96 bits of the counter block, by which the streams of one key differ.
#[derive(Clone, Copy)]
pub(crate) struct Nonce {
    pub(crate) high: u64,
    pub(crate) low: u32,
}

/// The greatest number of blocks under one key, 64 KiB in all. At 2^64 blocks, the absence of
/// equal blocks would begin to tell the stream from random bits.
const BLOCKS_PER_KEY: usize = 4096;

impl Nonce {
    /// Returns the counter block of block `i`.
    fn counter(self, i: u32) -> Block {
        let upper = u128::from(self.high) << 64 | u128::from(self.low) << 32;
        (upper | u128::from(i)).to_le_bytes()
    }
}

/// Returns the fastest cipher that the processor has and that is right.
#[inline]
fn best() -> &'static Backend {
    /// The cipher's place in `AES`, counted from 1, or 0 before it is found; a place past the
    /// end stands for ChaCha. Relaxed: each thread finds the same.
    static FOUND: AtomicUsize = AtomicUsize::new(0);
    let place = match FOUND.load(Relaxed) {
        0 => {
            let place = find();
            FOUND.store(place, Relaxed);
            place
        }
        place => place,
    };
    AES.get(place - 1).unwrap_or(&CHACHA)
}

#[cold]
fn find() -> usize {
    let first = match () {
        () if cfg!(fork_safe_uuid_backend = "chacha") => AES.len(),
        () if cfg!(fork_safe_uuid_backend = "aes") => AES.len().saturating_sub(1),
        () if cfg!(fork_safe_uuid_backend = "vaes256") => AES.len().saturating_sub(2),
        () => 0,
    };
    let place = (first..AES.len()).find(|&place| AES[place].is_right());
    place.unwrap_or(AES.len()) + 1
}

/// Fills `dest` with output of the given form, and replaces `key` by the next one. [`Backend`]
/// says what is left of them elsewhere.
pub(crate) fn generate(key: &mut Key, nonce: Nonce, form: Form, dest: &mut [Block]) {
    // [P2 erase-key] The next key replaces this one, so that a child which reads the memory
    // later cannot compute what was handed out before.
    stream(best(), key, nonce, form, dest);
}

fn stream(backend: &Backend, key: &mut Key, nonce: Nonce, form: Form, dest: &mut [Block]) {
    for dest in dest.chunks_mut(BLOCKS_PER_KEY) {
        // SAFETY: the processor has the instructions, as `is_right` found out.
        unsafe { backend.stream(key, nonce.counter(0), form, dest) };
    }
}

/// Returns the value of a pseudorandom function for `block` under `key`.
pub(crate) fn prf(key: &Block, block: Block) -> Block {
    // SAFETY: the processor has the instructions, as `is_right` found out.
    unsafe { best().prf(key, block) }
}

/// Adds `seed` to `key` by exclusive or, and clears `seed`.
pub(crate) fn xor_and_clear(key: &mut [u8], seed: &mut Block) {
    for (a, b) in key.iter_mut().zip(seed.iter()) {
        *a ^= b;
    }
    seed.zeroize();
}
