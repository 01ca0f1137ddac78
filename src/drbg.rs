//! The deterministic generator: AES-128 in counter mode with fast key erasure.
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
//! A UUID has 122 random bits, so a cipher of 128-bit strength is enough.

use core::hint::black_box;

use aes::Aes128Enc;
use aes::cipher::{
    Array, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser,
    KeyInit, consts::U16, typenum::Unsigned,
};
use zeroize::Zeroize;

use crate::sys;

/// 16 bytes: a key, a block of output, the bytes of a UUID.
pub(crate) type Block = [u8; 16];

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

const PLAIN: Form = Form {
    keep: [0xff; 16],
    set: [0; 16],
};

/// Blocks under one key at most, 64 KiB: far below 2^64, where the absence of
/// equal blocks would begin to tell the stream from random bits.
const STREAM: usize = 4096;

/// Fills `dest` with output of the given form, replaces `key` by the next one,
/// and leaves nothing of either on the stack or in registers.
pub(crate) fn generate(key: &mut Block, nonce: Nonce, form: Form, dest: &mut [Block]) {
    stream(key, nonce, form, dest);
    clear_stack();
    sys::clear_registers();
}

/// Not inlined, so that what it leaves lies where `clear_stack` clears.
#[inline(never)]
fn stream(key: &mut Block, nonce: Nonce, form: Form, dest: &mut [Block]) {
    let base = u128::from(nonce.high) << 64 | u128::from(nonce.low) << 32;
    for dest in dest.chunks_mut(STREAM) {
        Aes128Enc::new(&Array::from(*key)).encrypt_with_backend(Counter {
            base,
            first: key,
            rest: dest,
            form,
        });
    }
}

/// Clears the stack below the caller's frame. The cipher leaves round keys there:
/// `aes` clears them where they stood last, but they were moved.
///
/// `black_box` keeps the compiler from dropping an array that nobody reads.
#[inline(never)]
fn clear_stack() {
    /// A release build leaves round keys 2,300 bytes deep. No more than is used
    /// anyway: a handler's alternate stack may be small.
    const DEPTH: usize = 3072;
    black_box(&mut [0_u64; DEPTH / 8]);
}

/// A keyed hash of one block: its encryption.
pub(crate) fn prf(key: &Block, block: Block) -> Block {
    let mut hash = Block::default();
    Aes128Enc::new(&Array::from(*key)).encrypt_with_backend(Counter {
        base: u128::from_le_bytes(block),
        first: &mut hash,
        rest: &mut [],
        form: PLAIN,
    });
    hash
}

/// `a ^= b`, and clears `b`.
pub(crate) fn fold(a: &mut Block, b: &mut Block) {
    for (a, b) in a.iter_mut().zip(b.iter()) {
        *a ^= b;
    }
    b.zeroize();
}

/// The bitsliced software cipher makes this many blocks at once, and one costs
/// as much. Backends over instructions are wider.
const BITSLICED: usize = 4;

/// Encrypts the counter blocks: block 0 to `first` as it is, the others to
/// `rest` in their form.
///
/// As a closure it is compiled into the cipher's own loop. With AES
/// instructions it takes one block a turn: counter and form never leave their
/// registers, the processor overlaps the turns by itself, and nothing bounds
/// them but the throughput of the instructions (1.8 ns a block on Zen 4). The
/// groups of `encrypt_par_blocks` are loaded and stored through functions of
/// another crate that are inlined only in a build with one codegen unit (then
/// 0.9 ns, by VAES); in any other they cost 2.3 ns.
struct Counter<'a> {
    base: u128,
    first: &'a mut Block,
    rest: &'a mut [Block],
    form: Form,
}

impl BlockSizeUser for Counter<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Counter<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let count = |i: u32| Array((self.base | u128::from(i)).to_le_bytes());

        let mut first = count(0);
        backend.encrypt_block_inplace(&mut first);
        *self.first = first.into();

        let rest = Array::cast_slice_from_core_mut(self.rest);
        if B::ParBlocksSize::USIZE > BITSLICED {
            for (block, i) in rest.iter_mut().zip(1..) {
                let mut one = count(i);
                backend.encrypt_block_inplace(&mut one);
                self.form.give(&mut one.0);
                *block = one;
            }
        } else {
            for (block, i) in rest.iter_mut().zip(1..) {
                *block = count(i);
            }
            let (groups, tail) = Array::<_, B::ParBlocksSize>::slice_as_chunks_mut(rest);
            for group in groups {
                backend.encrypt_par_blocks_inplace(group);
            }
            backend.encrypt_tail_blocks_inplace(tail);
            rest.iter_mut()
                .for_each(|block| self.form.give(&mut block.0));
        }
    }
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
    fn generate_is_the_known_stream_and_replaces_the_key_by_its_first_block() {
        let mut key = KEY.to_be_bytes();
        let mut blocks = [Block::default(); 63];
        generate(&mut key, NONCE, PLAIN, &mut blocks);
        assert_block(key, 0xb5b7_b425_4dad_66d4_736d_034e_8b44_5329);
        assert_block(blocks[0], 0x2e7e_7001_605c_4493_c722_9af7_637b_1a22);
        assert_block(blocks[1], 0xef2f_4a30_b410_2b25_f483_be9d_c883_b398);
        assert_block(blocks[62], 0x4afe_afa3_ed47_ff7c_fe61_0420_ed8c_0eda);
        let next = Nonce {
            high: NONCE.high + 1,
            low: NONCE.low + 1,
        };
        generate(&mut key, next, PLAIN, &mut blocks);
        assert_block(key, 0xf75a_e9cc_37df_a49d_f1e1_4923_6f36_c884);
        assert_block(blocks[0], 0xdfb0_f84a_9a86_2112_d0fc_256f_94f6_5412);
        assert_block(blocks[62], 0xb408_99f5_134f_8aad_6d02_be40_227f_f861);
    }

    #[test]
    fn the_key_changes_every_64_kib() {
        let mut key = KEY.to_be_bytes();
        let mut blocks = vec![Block::default(); 4097];
        generate(&mut key, NONCE, PLAIN, &mut blocks);
        assert_block(blocks[0], 0x2e7e_7001_605c_4493_c722_9af7_637b_1a22);
        assert_block(blocks[4094], 0xb15c_8f2b_788d_868f_1231_abf5_78ab_ab0e);
        assert_block(blocks[4095], 0xf637_53ac_1bd0_2e21_6af6_7f86_3df1_0381);
        assert_block(blocks[4096], 0x75a6_18b6_4ca7_c52d_f8c9_4cf9_2342_c7aa);
        assert_block(key, 0xfce8_bead_f075_4d1d_d3ff_2ebf_88f7_ce43);
    }

    #[test]
    fn the_form_is_of_the_output_and_not_of_the_key() {
        let (mut plain, mut formed) = ([KEY.to_be_bytes(); 2], [KEY.to_be_bytes(); 2]);
        let generate = |[key, block]: &mut [Block; 2], form| {
            generate(key, NONCE, form, core::slice::from_mut(block));
        };
        generate(&mut plain, PLAIN);
        let form = Form {
            keep: [0x0f; 16],
            set: [0x40; 16],
        };
        generate(&mut formed, form);
        assert_eq!(plain[0], formed[0]);
        assert_eq!(formed[1], plain[1].map(|byte| byte & 0x0f | 0x40));
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
