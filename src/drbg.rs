//! The deterministic generator: a cipher in counter mode with fast key erasure.
//!
//! No I/O, no state, no clock. One key makes one keystream
//!
//! ```text
//! block i = AES-128(key, i ‖ nonce)      i = 0, 1, 2 …   (128 bits, little-endian)
//! ```
//!
//! whose block 0 replaces the key at once and is never output, so that nobody
//! who reads the memory later can compute what was handed out before
//! (backtracking resistance; Bernstein,
//! [Fast-key-erasure random-number generators](https://blog.cr.yp.to/20170723-random.html)).
//! The nonce is the caller's hedge: two copies of one key that are given
//! different nonces go apart at once, the next key included.
//!
//! | processor | cipher | file |
//! | --- | --- | --- |
//! | x86 with AES instructions | AES-128, one, two or four blocks in a register | `aes_ni` |
//! | 64-bit Arm with AES instructions | AES-128 | `aes_arm` |
//! | any other | ChaCha8, with a key of 32 bytes | `chacha` |
//!
//! A UUID has 122 random bits, so a cipher of 128-bit strength is enough.
#![allow(unsafe_code)]

use core::hint::black_box;

use zeroize::Zeroize;

use crate::sys;

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
use std::arch::is_x86_feature_detected as has;

#[cfg(target_arch = "aarch64")]
mod aes_arm;
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
mod aes_ni;
mod chacha;

/// 16 bytes: a block of output, the bytes of a UUID.
pub(crate) type Block = [u8; 16];

/// AES uses the first 16 bytes, ChaCha all.
pub(crate) type Key = [u8; 32];

/// What makes the streams of one key different: the upper 96 bits of the
/// counter block.
#[derive(Clone, Copy)]
pub(crate) struct Nonce {
    pub(crate) high: u64,
    pub(crate) low: u32,
}

/// Bits of the output that are not random: `block & keep | set`.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    pub(crate) keep: Block,
    pub(crate) set: Block,
}

impl Form {
    /// Byte by byte, which the compiler makes one vector operation; on a u128
    /// it would go through two other registers.
    #[inline(always)]
    pub(crate) fn give(&self, block: &mut Block) {
        for (byte, (keep, set)) in block.iter_mut().zip(self.keep.iter().zip(&self.set)) {
            *byte = *byte & keep | set;
        }
    }
}

/// Blocks under one key at most, 64 KiB: far below 2^64, where the absence of
/// equal blocks would begin to tell the stream from random bits.
const STREAM: usize = 4096;

/// The counter block number `i`.
#[cfg(any(test, target_arch = "aarch64"))]
fn counter(nonce: Nonce, i: u32) -> Block {
    let upper = u128::from(nonce.high) << 64 | u128::from(nonce.low) << 32;
    (upper | u128::from(i)).to_le_bytes()
}

/// What makes the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backend {
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
    /// All of this architecture, the fastest first.
    const ALL: &[Self] = &[
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

    /// Whether the processor has what it needs. `std` remembers what it found, and
    /// neither locks nor allocates.
    #[inline]
    fn is_there(self) -> bool {
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

    /// The fastest that the processor has, from `Self::ALL`.
    #[inline]
    fn best() -> Self {
        let first = match () {
            () if cfg!(fork_safe_uuid_backend = "chacha") => Self::ALL.len() - 1,
            () if cfg!(fork_safe_uuid_backend = "aes") => Self::ALL.len().saturating_sub(2),
            () if cfg!(fork_safe_uuid_backend = "vaes256") => Self::ALL.len().saturating_sub(3),
            () => 0,
        };
        for &backend in &Self::ALL[first..] {
            if backend.is_there() {
                return backend;
            }
        }
        Self::ChaCha
    }

    /// # Safety
    ///
    /// [`Backend::is_there`].
    #[inline]
    #[allow(unused_unsafe)] // Where there is ChaCha alone.
    unsafe fn stream(self, key: &mut Key, nonce: Nonce, form: Form, dest: &mut [Block]) {
        // SAFETY: the caller vouches for the instructions.
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
    /// [`Backend::is_there`].
    #[allow(unused_unsafe)]
    unsafe fn prf(self, key: &Block, block: Block) -> Block {
        // SAFETY: the caller vouches for the instructions.
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

/// The key of AES.
#[cfg(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64"))]
fn first_half(key: &mut Key) -> &mut Block {
    key.first_chunk_mut().expect("32 bytes")
}

/// Fills `dest` with output of the given form, replaces `key` by the next one,
/// and leaves nothing of either on the stack or in registers.
pub(crate) fn generate(key: &mut Key, nonce: Nonce, form: Form, dest: &mut [Block]) {
    stream(Backend::best(), key, nonce, form, dest);
    clear_stack();
    sys::clear_registers();
}

/// Not inlined, so that what it leaves lies where `clear_stack` clears.
#[inline(never)]
fn stream(backend: Backend, key: &mut Key, nonce: Nonce, form: Form, dest: &mut [Block]) {
    for dest in dest.chunks_mut(STREAM) {
        // SAFETY: `best` has asked the processor.
        unsafe { backend.stream(key, nonce, form, dest) };
    }
}

/// Clears the stack below the caller's frame, where the cipher leaves round keys.
///
/// `black_box` keeps the compiler from dropping an array that nobody reads.
#[inline(never)]
fn clear_stack() {
    /// Some 1,200 bytes, and without optimisation 10,000. No more than is used anyway:
    /// a handler's alternate stack may be small.
    const DEPTH: usize = if cfg!(debug_assertions) {
        16 << 10
    } else {
        2 << 10
    };
    black_box(&mut [0_u64; DEPTH / 8]);
}

/// A keyed hash of one block.
pub(crate) fn prf(key: &Block, block: Block) -> Block {
    // SAFETY: `best` has asked the processor.
    unsafe { Backend::best().prf(key, block) }
}

/// `key ^= seed`, and clears `seed`.
pub(crate) fn fold(key: &mut [u8], seed: &mut Block) {
    for (a, b) in key.iter_mut().zip(seed.iter()) {
        *a ^= b;
    }
    seed.zeroize();
}

#[cfg(test)]
mod tests {
    //! The expected values of AES are OpenSSL's (`openssl enc -aes-128-ecb -nopad`)
    //! over the counter blocks.
    use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
    use proptest::prelude::*;

    use super::*;

    const KEY: u128 = 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f;
    const NONCE: Nonce = Nonce {
        high: 0x0123_4567_89ab_cdef,
        low: 0xfedc_ba98,
    };
    const PLAIN: Form = Form {
        keep: [0xff; 16],
        set: [0; 16],
    };

    fn there() -> impl Iterator<Item = Backend> {
        Backend::ALL.iter().copied().filter(|it| it.is_there())
    }

    fn with_aes() -> impl Iterator<Item = Backend> {
        there().filter(|&backend| backend != Backend::ChaCha)
    }

    fn key() -> Key {
        let mut key = Key::default();
        key[..16].copy_from_slice(&KEY.to_be_bytes());
        key
    }

    #[track_caller]
    fn assert_block(block: &[u8], expected: u128) {
        let block = block[..16].try_into().expect("16 bytes");
        assert_eq!(
            format!("{:032x}", u128::from_be_bytes(block)),
            format!("{expected:032x}")
        );
    }

    #[test]
    fn aes_is_the_known_stream_and_replaces_the_key_by_its_first_block() {
        for backend in with_aes() {
            let mut key = key();
            let mut blocks = [Block::default(); 63];
            stream(backend, &mut key, NONCE, PLAIN, &mut blocks);
            assert_block(&key, 0xb5b7_b425_4dad_66d4_736d_034e_8b44_5329);
            assert_block(&blocks[0], 0x2e7e_7001_605c_4493_c722_9af7_637b_1a22);
            assert_block(&blocks[1], 0xef2f_4a30_b410_2b25_f483_be9d_c883_b398);
            assert_block(&blocks[62], 0x4afe_afa3_ed47_ff7c_fe61_0420_ed8c_0eda);
            let next = Nonce {
                high: NONCE.high + 1,
                low: NONCE.low + 1,
            };
            stream(backend, &mut key, next, PLAIN, &mut blocks);
            assert_block(&key, 0xf75a_e9cc_37df_a49d_f1e1_4923_6f36_c884);
            assert_block(&blocks[0], 0xdfb0_f84a_9a86_2112_d0fc_256f_94f6_5412);
            assert_block(&blocks[62], 0xb408_99f5_134f_8aad_6d02_be40_227f_f861);
        }
    }

    #[test]
    fn the_key_changes_every_64_kib() {
        for backend in with_aes() {
            let mut key = key();
            let mut blocks = vec![Block::default(); 4097];
            stream(backend, &mut key, NONCE, PLAIN, &mut blocks);
            assert_block(&blocks[0], 0x2e7e_7001_605c_4493_c722_9af7_637b_1a22);
            assert_block(&blocks[4094], 0xb15c_8f2b_788d_868f_1231_abf5_78ab_ab0e);
            assert_block(&blocks[4095], 0xf637_53ac_1bd0_2e21_6af6_7f86_3df1_0381);
            assert_block(&blocks[4096], 0x75a6_18b6_4ca7_c52d_f8c9_4cf9_2342_c7aa);
            assert_block(&key, 0xfce8_bead_f075_4d1d_d3ff_2ebf_88f7_ce43);
        }
    }

    #[test]
    fn prf_of_aes_is_one_encryption() {
        let input = 0x0123_4567_89ab_cdef_fedc_ba98_0000_0007_u128;
        for backend in with_aes() {
            // SAFETY: it is there.
            let hash = unsafe { backend.prf(&KEY.to_be_bytes(), input.to_be_bytes()) };
            assert_block(&hash, 0xc1be_76f9_d6be_1e1a_ecdd_3c76_50e0_7856);
        }
    }

    /// By a program of its own from RFC 8439, section 2.3, with 8 rounds, which has the
    /// section's answer with 20.
    #[test]
    fn chacha_is_the_known_stream_and_replaces_the_key_by_its_first_half_block() {
        let mut key: Key = core::array::from_fn(|i| i as u8);
        let mut blocks = [Block::default(); 9];
        stream(Backend::ChaCha, &mut key, NONCE, PLAIN, &mut blocks);
        assert_block(&key, 0x6b9a_a925_6773_be1e_f01d_a155_cbe1_4805);
        assert_block(&key[16..], 0xf0df_9662_0a52_ec77_db42_2967_4c31_f516);
        assert_block(&blocks[0], 0x7fe0_1d78_351d_fc52_6d1b_8fdf_0876_594a);
        assert_block(&blocks[7], 0xc61f_40c8_5034_e5bf_d6be_844a_bf7d_770a);
        assert_block(&blocks[8], 0x091a_e921_dd30_7095_d745_27ec_d213_5f52);
    }

    /// Fast key erasure, by the book, with the `aes` crate, one block at a time.
    fn expected(key: &mut Key, nonce: Nonce, form: Form, dest: &mut [Block]) {
        for dest in dest.chunks_mut(STREAM) {
            let aes = aes::Aes128Enc::new_from_slice(&key[..16]).expect("16 bytes");
            let encrypt = |i| {
                let mut block = Array(counter(nonce, i));
                aes.encrypt_block(&mut block);
                block.0
            };
            key[..16].copy_from_slice(&encrypt(0));
            for (block, i) in dest.iter_mut().zip(1..) {
                *block = encrypt(i);
                form.give(block);
            }
        }
    }

    proptest! {
        #[test]
        fn each_backend_of_aes_makes_the_same_stream(
            mut key: Key,
            nonce: (u64, u32),
            keep: Block,
            set: Block,
            len in 0_usize..300,
            shift in 0_usize..64,
        ) {
            let nonce = Nonce { high: nonce.0, low: nonce.1 };
            let form = Form { keep, set };
            let mut all = vec![0x55_u8; 16 * len + 64];
            for backend in with_aes() {
                let mut own_key = key;
                // At any address.
                let place = &mut all[shift..][..16 * len];
                let (blocks, _) = place.as_chunks_mut();
                stream(backend, &mut own_key, nonce, form, blocks);
                let mut expected_key = key;
                let mut expected_blocks = vec![Block::default(); len];
                expected(&mut expected_key, nonce, form, &mut expected_blocks);
                prop_assert_eq!(own_key, expected_key);
                prop_assert_eq!(&*blocks, &*expected_blocks);
                prop_assert!(all[..shift].iter().all(|&byte| byte == 0x55));
                prop_assert!(all[shift + 16 * len..].iter().all(|&byte| byte == 0x55));
            }
            key.zeroize();
        }

        #[test]
        fn chacha_makes_a_prefix_of_a_longer_stream(key: Key, len in 1_usize..300) {
            let (mut short_key, mut long_key) = (key, key);
            let mut short = vec![Block::default(); len];
            let mut long = vec![Block::default(); 300];
            stream(Backend::ChaCha, &mut short_key, NONCE, PLAIN, &mut short);
            stream(Backend::ChaCha, &mut long_key, NONCE, PLAIN, &mut long);
            prop_assert_eq!(&*short, &long[..len]);
            prop_assert_eq!(short_key, long_key);
        }
    }

    #[test]
    fn the_form_is_of_the_output_and_not_of_the_key() {
        for backend in there() {
            let (mut plain_key, mut formed_key) = (key(), key());
            let (mut plain, mut formed) = ([Block::default()], [Block::default()]);
            stream(backend, &mut plain_key, NONCE, PLAIN, &mut plain);
            let form = Form {
                keep: [0x0f; 16],
                set: [0x40; 16],
            };
            stream(backend, &mut formed_key, NONCE, form, &mut formed);
            assert_eq!(plain_key, formed_key);
            assert_eq!(formed[0], plain[0].map(|byte| byte & 0x0f | 0x40));
        }
    }

    #[test]
    fn fold_clears_what_it_folds_in() {
        let (mut a, mut b) = ([0b1100; 16], [0b1010; 16]);
        fold(&mut a, &mut b);
        assert_eq!((a, b), ([0b0110; 16], [0; 16]));
    }
}
