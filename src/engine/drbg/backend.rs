//! A cipher, and the proof of it.

use super::{Key, Nonce};
use crate::format::{Block, Form, V4};

/// A cipher in counter mode. A function of it leaves no part of a key or of a block anywhere but in
/// `key` and `dest`; [`chacha`](super::chacha) says what it cannot promise.
pub(super) struct Backend {
    #[allow(dead_code)] // Tests say which ciphers they could not try.
    pub(super) name: &'static str,
    /// Returns whether the processor has the instructions.
    pub(super) is_there: fn() -> bool,
    /// Makes any number of blocks, also none.
    pub(super) any: Stream,
    /// Make at least so many blocks at once, the widest first.
    pub(super) wide: &'static [(usize, Stream)],
}

/// Replaces `key` by the encryption of the counter block `first`, and fills `dest` with the
/// encryptions of the counter blocks that follow, in the given form.
///
/// # Safety
///
/// The processor has the instructions, and `dest` has at least as many blocks as the loop needs.
pub(super) type Stream = unsafe fn(key: &mut Key, first: Block, form: Form, dest: &mut [Block]);

impl Backend {
    /// Returns whether the processor has the instructions, and the cipher is AES-128 and makes
    /// the right stream by each of its loops. qemu 7.2 claims VAES, and encrypts only one block of
    /// two.
    #[cold]
    pub(super) fn is_right(&self) -> bool {
        // FIPS 197, appendix C.1.
        const KEY: u128 = 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f;
        const PLAIN: u128 = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff;
        const ENCRYPTED: u128 = 0x69c4_e0d8_6a7b_0430_d8cd_b780_70b4_c55a;
        if !(self.is_there)() {
            return false;
        }
        let nonce = Nonce { high: 1, low: 2 };
        let form = Form {
            keep: [0xff; 16],
            set: [0; 16],
        };
        let half = KEY.to_be_bytes();
        // SAFETY: the processor has the instructions.
        let encrypt = |block| unsafe { self.prf(&half, block) };
        let is_stream_of = |stream: Stream| {
            let mut key = Key::default();
            key[..16].copy_from_slice(&half);
            // More than one group of each loop, and a rest.
            let mut blocks = [Block::default(); 39];
            // SAFETY: the processor has the instructions, and no loop needs more blocks.
            unsafe { stream(&mut key, nonce.counter(0), form, &mut blocks) };
            is_stream(&key, &blocks, |i| encrypt(nonce.counter(i)))
        };
        encrypt(PLAIN.to_be_bytes()) == ENCRYPTED.to_be_bytes()
            && is_stream_of(self.any)
            && self.wide.iter().all(|&(_, stream)| is_stream_of(stream))
    }

    /// Makes a stream by the widest loop for so many blocks.
    ///
    /// # Safety
    ///
    /// `is_there` must have returned `true`.
    #[inline]
    pub(super) unsafe fn stream(
        &self,
        key: &mut Key,
        first: Block,
        form: Form,
        dest: &mut [Block],
    ) {
        let wide = self.wide.iter().find(|(least, _)| *least <= dest.len());
        let stream = wide.map_or(self.any, |&(_, stream)| stream);
        // SAFETY: the caller promises that the processor has the instructions, and `dest` has
        // enough blocks.
        unsafe { stream(key, first, form, dest) }
    }

    /// Returns the value of a pseudorandom function for `block` under `key`: the next key of a
    /// stream without blocks.
    ///
    /// # Safety
    ///
    /// `is_there` must have returned `true`.
    pub(super) unsafe fn prf(&self, key: &Block, block: Block) -> Block {
        let mut next = Key::default();
        next[..16].copy_from_slice(key);
        // SAFETY: the caller's promise.
        unsafe { self.stream(&mut next, block, V4, &mut []) };
        *next.first_chunk().expect("32 bytes")
    }
}

/// Returns how many groups of `size` blocks `len` blocks are, and how many blocks too many these
/// groups have. The last group need not be a whole one: the second one begins so many blocks
/// before the first one ends, and makes the same blocks there.
#[inline]
pub(super) fn groups(len: usize, size: usize) -> (usize, usize) {
    let groups = len.div_ceil(size);
    (groups, groups * size - len)
}

/// Returns whether the next key is block 0, and the output is the blocks that follow.
pub(super) fn is_stream(key: &Key, blocks: &[Block], block: impl Fn(u32) -> Block) -> bool {
    key[..16] == block(0) && blocks.iter().zip(1..).all(|(made, i)| *made == block(i))
}
