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

#[cfg(test)]
mod tests {
    //! The expected values are OpenSSL's (`openssl enc -aes-128-ecb -nopad`)
    //! over the counter blocks.
    use super::*;

    const KEY: u128 = 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f;
    const NONCE: Nonce = Nonce {
        high: 0x0123_4567_89ab_cdef,
        low: 0xfedc_ba98,
    };

    #[track_caller]
    fn assert_block(block: Block, expected: u128) {
        assert_eq!(
            format!("{:032x}", u128::from_be_bytes(block)),
            format!("{expected:032x}")
        );
    }

    #[test]
    fn refill_is_the_known_stream_and_replaces_the_key_by_its_first_block() {
        let mut chain = [Block::default(); 64];
        chain[0] = KEY.to_be_bytes();
        refill(&mut chain, NONCE);
        assert_block(chain[0], 0x407d_d726_facd_3874_9737_b3c8_5468_20ae);
        assert_block(chain[1], 0x6f0d_9eaf_4839_e445_cb23_bf3b_eec2_6260);
        assert_block(chain[2], 0x9643_a76d_4c0a_1a4f_a235_7da7_5731_223a);
        assert_block(chain[63], 0xc86a_f2cb_8c98_fa9a_d99f_d613_66d5_7025);
        let next = Nonce {
            high: NONCE.high + 1,
            low: NONCE.low + 1,
        };
        refill(&mut chain, next);
        assert_block(chain[0], 0xe97d_0bf3_4c19_f10a_556a_9d11_b3f6_65b5);
        assert_block(chain[1], 0x7d68_b524_e22f_4ace_888e_76b7_86a2_872e);
        assert_block(chain[63], 0xe41e_efd8_ddac_f90d_80aa_e15d_0ddd_0e29);
    }

    #[test]
    fn generate_is_the_same_stream_and_changes_its_key_every_64_kib() {
        let mut key = KEY.to_be_bytes();
        let mut blocks = vec![Block::default(); 4097];
        generate(&mut key, NONCE, &mut blocks);
        assert_block(blocks[0], 0x6f0d_9eaf_4839_e445_cb23_bf3b_eec2_6260);
        assert_block(blocks[4094], 0x6d1b_e85a_c377_f95f_c612_018f_f280_2bc6);
        assert_block(blocks[4095], 0xa9e0_210d_c036_0a8f_7aa6_1242_ac36_f36f);
        assert_block(blocks[4096], 0x415c_1966_b556_4f48_4f63_4fb1_bfb9_1913);
        assert_block(key, 0x91fd_7c4e_32ad_26e0_e949_4f52_4291_8c1f);
    }

    #[test]
    fn prf_is_one_encryption() {
        let input = 0x0123_4567_89ab_cdef_fedc_ba98_0000_0007_u128;
        let hash = prf(&KEY.to_be_bytes(), input.to_be_bytes());
        assert_block(hash, 0xc1be_76f9_d6be_1e1a_ecdd_3c76_50e0_7856);
    }

    #[test]
    fn fold_clears_what_it_folds_in() {
        let (mut a, mut b) = ([0b1100; 16], [0b1010; 16]);
        fold(&mut a, &mut b);
        assert_eq!((a, b), ([0b0110; 16], [0; 16]));
    }
}
