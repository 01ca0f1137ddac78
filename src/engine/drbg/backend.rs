//! The ciphers, the proof of each, and which one is used.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::chacha::CHACHA;
use super::{AES, Key, Nonce, counter, prf_by};
use crate::format::{Block, Form};

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
    /// Returns all ciphers of this architecture, the fastest first.
    #[cfg(test)]
    pub(super) fn all() -> impl Iterator<Item = &'static Self> {
        AES.iter().chain([&CHACHA])
    }

    /// Returns the fastest cipher that the processor has and that is right.
    #[inline]
    pub(super) fn best() -> &'static Self {
        /// The cipher's place in `AES`, counted from 1, or 0 before it is found; a place past
        /// the end stands for ChaCha. Relaxed: each thread finds the same.
        static FOUND: AtomicUsize = AtomicUsize::new(0);
        let place = match FOUND.load(Relaxed) {
            0 => {
                let place = Self::find();
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
        let usable = |place: &usize| (AES[*place].is_there)() && AES[*place].is_right();
        (first..AES.len()).find(usable).unwrap_or(AES.len()) + 1
    }

    /// Returns whether the cipher is AES-128 and makes the right stream. qemu 7.2 claims VAES, and
    /// encrypts only one block of two.
    #[cold]
    pub(super) fn is_right(&self) -> bool {
        // FIPS 197, appendix C.1.
        const KEY: u128 = 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f;
        const PLAIN: u128 = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff;
        const ENCRYPTED: u128 = 0x69c4_e0d8_6a7b_0430_d8cd_b780_70b4_c55a;
        let nonce = Nonce { high: 1, low: 2 };
        let form = Form {
            keep: [0xff; 16],
            set: [0; 16],
        };
        let half = KEY.to_be_bytes();
        let encrypt = |block| prf_by(self, &half, block);
        let is_stream_of = |stream: Stream| {
            let mut key = Key::default();
            key[..16].copy_from_slice(&half);
            // More than one group of each loop, and a rest.
            let mut blocks = [Block::default(); 39];
            // SAFETY: the caller asked `is_there`, and no loop needs more blocks.
            unsafe { stream(&mut key, counter(nonce, 0), form, &mut blocks) };
            is_stream(&key, &blocks, |i| encrypt(counter(nonce, i)))
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
}

/// Returns whether the next key is block 0, and the output is the blocks that follow.
pub(super) fn is_stream(key: &Key, blocks: &[Block], block: impl Fn(u32) -> Block) -> bool {
    key[..16] == block(0) && blocks.iter().zip(1..).all(|(made, i)| *made == block(i))
}
