//! The ciphers, the proof of each, and which one is used.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
use std::arch::is_x86_feature_detected as has;

#[cfg(target_arch = "aarch64")]
use super::aes_arm;
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
use super::aes_ni;
use super::{Key, Nonce, chacha, counter};
use crate::format::{Block, Form};
#[cfg(target_arch = "aarch64")]
use crate::sys;

/// A cipher, and the instructions that it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    #[cfg(target_arch = "x86_64")]
    Vaes512,
    #[cfg(target_arch = "x86_64")]
    Vaes256,
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    AesNi,
    #[cfg(target_arch = "aarch64")]
    AesArm,
    ChaCha,
}

impl Backend {
    /// All ciphers of this architecture, the fastest first.
    pub(super) const ALL: &[Self] = &[
        #[cfg(target_arch = "x86_64")]
        Self::Vaes512,
        #[cfg(target_arch = "x86_64")]
        Self::Vaes256,
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        Self::AesNi,
        #[cfg(target_arch = "aarch64")]
        Self::AesArm,
        Self::ChaCha,
    ];

    /// Returns whether the processor has the instructions. `std` caches the answer, and
    /// neither locks nor allocates.
    #[inline]
    pub(super) fn is_there(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vaes512 => has!("vaes") && has!("avx512f") && Self::Vaes256.is_there(),
            #[cfg(target_arch = "x86_64")]
            Self::Vaes256 => has!("vaes") && has!("avx2") && Self::AesNi.is_there(),
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Self::AesNi => has!("aes") && has!("ssse3"),
            #[cfg(target_arch = "aarch64")]
            Self::AesArm => sys::has_aes(),
            Self::ChaCha => true,
        }
    }

    /// Returns the fastest cipher that the processor has and that is right.
    #[inline]
    pub(super) fn best() -> Self {
        /// The cipher's place in `Self::ALL`, counted from 1, or 0 before it is found.
        /// Relaxed: each thread finds the same.
        static FOUND: AtomicUsize = AtomicUsize::new(0);
        let place = match FOUND.load(Relaxed) {
            0 => {
                let place = Self::find();
                FOUND.store(place, Relaxed);
                place
            }
            place => place,
        };
        Self::ALL[place - 1]
    }

    #[cold]
    fn find() -> usize {
        // The last one needs no instruction and no proof.
        let last = Self::ALL.len() - 1;
        let first = match () {
            () if cfg!(fork_safe_uuid_backend = "chacha") => last,
            () if cfg!(fork_safe_uuid_backend = "aes") => last.saturating_sub(1),
            () if cfg!(fork_safe_uuid_backend = "vaes256") => last.saturating_sub(2),
            () => 0,
        };
        let found = (first..last).find(|&place| {
            let backend = Self::ALL[place];
            backend.is_there() && backend.is_right()
        });
        found.unwrap_or(last) + 1
    }

    /// Returns whether the cipher makes the right stream. qemu 7.2 claims VAES, and encrypts
    /// only one block of two.
    #[cold]
    pub(super) fn is_right(self) -> bool {
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
        let mut key = Key::default();
        key[..16].copy_from_slice(&half);
        // More than one group of each loop, and a rest.
        let mut blocks = [Block::default(); 39];
        super::stream(self, &mut key, nonce, form, &mut blocks);
        // SAFETY: the caller asked `is_there`.
        let encrypt = |block| unsafe { self.prf(&half, block) };
        encrypt(PLAIN.to_be_bytes()) == ENCRYPTED.to_be_bytes()
            && is_stream(&key, &blocks, |i| encrypt(counter(nonce, i)))
    }

    /// # Safety
    ///
    /// [`Backend::is_there`] must have returned `true`.
    #[inline]
    #[allow(unused_unsafe)] // Some architectures have only ChaCha.
    pub(super) unsafe fn stream(self, key: &mut Key, nonce: Nonce, form: Form, dest: &mut [Block]) {
        // SAFETY: the caller promises that the processor has the instructions.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Self::Vaes512 => aes_ni::stream_by_512(first_half(key), nonce, form, dest),
                #[cfg(target_arch = "x86_64")]
                Self::Vaes256 => aes_ni::stream_by_256(first_half(key), nonce, form, dest),
                #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
                Self::AesNi => aes_ni::stream(first_half(key), nonce, form, dest),
                #[cfg(target_arch = "aarch64")]
                Self::AesArm => aes_arm::stream(first_half(key), nonce, form, dest),
                Self::ChaCha => chacha::stream(key, nonce, form, dest),
            }
        }
    }

    /// # Safety
    ///
    /// [`Backend::is_there`] must have returned `true`.
    #[allow(unused_unsafe)]
    pub(super) unsafe fn prf(self, key: &Block, block: Block) -> Block {
        // SAFETY: the caller promises that the processor has the instructions.
        unsafe {
            match self {
                Self::ChaCha => chacha::prf(key, block),
                #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
                _ => aes_ni::prf(key, block),
                #[cfg(target_arch = "aarch64")]
                _ => aes_arm::prf(key, block),
            }
        }
    }
}

/// Returns whether the next key is block 0, and the output is the blocks that follow.
pub(super) fn is_stream(key: &Key, blocks: &[Block], block: impl Fn(u32) -> Block) -> bool {
    key[..16] == block(0) && blocks.iter().zip(1..).all(|(made, i)| *made == block(i))
}

/// Returns the part of the key that AES uses.
#[cfg(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64"))]
fn first_half(key: &mut Key) -> &mut Block {
    key.first_chunk_mut().expect("32 bytes")
}
