//! The expected values of AES are those of OpenSSL for the counter blocks
//! (`openssl enc -aes-128-ecb -nopad`).
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use proptest::prelude::*;

use std::io::Write;

use super::backend::is_stream;
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

/// Returns the ciphers of AES that this processor has.
fn with_aes() -> impl Iterator<Item = &'static Backend> {
    AES.iter().filter(|backend| (backend.is_there)())
}

fn there() -> impl Iterator<Item = &'static Backend> {
    with_aes().chain([&CHACHA])
}

#[test]
fn each_cipher_that_the_processor_has_is_right_and_the_first_is_used() {
    for backend in AES {
        if (backend.is_there)() {
            assert!(backend.is_right(), "{}", backend.name);
        } else {
            // Not by `eprintln`, which the test harness keeps to itself.
            let line = format!("NOT TRIED: {}, which this processor lacks\n", backend.name);
            std::io::stderr()
                .write_all(line.as_bytes())
                .expect("stderr");
        }
    }
    let first = there().next().map(|backend| backend.name);
    if cfg!(not(any(
        fork_safe_uuid_backend = "chacha",
        fork_safe_uuid_backend = "aes",
        fork_safe_uuid_backend = "vaes256"
    ))) {
        assert_eq!(first, Some(best().name));
    }
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
fn is_stream_notices_each_wrong_bit() {
    let block = |i| NONCE.counter(i);
    let mut key = key();
    key[..16].copy_from_slice(&block(0));
    let right: [Block; 39] = core::array::from_fn(|i| block(i as u32 + 1));
    assert!(is_stream(&key, &right, block));
    for bit in 0..39 * 128 {
        let mut wrong = right;
        wrong[bit / 128][bit % 128 / 8] ^= 1 << (bit % 8);
        assert!(!is_stream(&key, &wrong, block), "bit {bit}");
    }
    key[0] ^= 1;
    assert!(!is_stream(&key, &right, block));
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
        // SAFETY: the processor has the instructions.
        let hash = unsafe { backend.prf(&KEY.to_be_bytes(), input.to_be_bytes()) };
        assert_block(&hash, 0xc1be_76f9_d6be_1e1a_ecdd_3c76_50e0_7856);
    }
}

/// The expected values come from a separate program after RFC 8439, section 2.3, with 8 rounds.
/// With 20 rounds, that program gives the section's example.
#[test]
fn chacha_is_the_known_stream_and_replaces_the_key_by_its_first_half_block() {
    let mut key: Key = core::array::from_fn(|i| i as u8);
    let mut blocks = [Block::default(); 9];
    stream(&CHACHA, &mut key, NONCE, PLAIN, &mut blocks);
    assert_block(&key, 0x6b9a_a925_6773_be1e_f01d_a155_cbe1_4805);
    assert_block(&key[16..], 0xf0df_9662_0a52_ec77_db42_2967_4c31_f516);
    assert_block(&blocks[0], 0x7fe0_1d78_351d_fc52_6d1b_8fdf_0876_594a);
    assert_block(&blocks[7], 0xc61f_40c8_5034_e5bf_d6be_844a_bf7d_770a);
    assert_block(&blocks[8], 0x091a_e921_dd30_7095_d745_27ec_d213_5f52);
}

/// Does what `stream` must do, with the `aes` crate and one block at a time.
fn expected(key: &mut Key, nonce: Nonce, form: Form, dest: &mut [Block]) {
    for dest in dest.chunks_mut(BLOCKS_PER_KEY) {
        let aes = aes::Aes128Enc::new_from_slice(&key[..16]).expect("16 bytes");
        let encrypt = |i| {
            let mut block = Array(nonce.counter(i));
            aes.encrypt_block(&mut block);
            block.0
        };
        key[..16].copy_from_slice(&encrypt(0));
        for (block, i) in dest.iter_mut().zip(1..) {
            *block = encrypt(i);
            form.apply(block);
        }
    }
}

/// Asserts that all ciphers of AES make blocks of these lengths as `aes` does, at each address
/// relative to a line of the cache, and that they write nothing else.
fn assert_equal_to_the_aes_crate(lengths: impl Iterator<Item = usize>) {
    const UNTOUCHED: u8 = 0x55;
    let form = Form {
        keep: core::array::from_fn(|i| !(i as u8)),
        set: core::array::from_fn(|i| i as u8 & 5),
    };
    // A shorter stream is a prefix of a longer one, and has its key until the key changes.
    let made = |len| {
        let (mut key, mut blocks) = (key(), vec![Block::default(); len]);
        expected(&mut key, NONCE, form, &mut blocks);
        (key, blocks)
    };
    let keys = [0, 1, BLOCKS_PER_KEY + 1].map(|len| made(len).0);
    let (_, longest) = made(5000);
    let mut all = vec![0; 64 + 16 * 5000 + 64];
    for len in lengths {
        let expected_key = keys[len.div_ceil(BLOCKS_PER_KEY)];
        let expected_blocks = &longest[..len];
        for (backend, shift) in with_aes().flat_map(|backend| (0..64).map(move |i| (backend, i))) {
            let mut own_key = key();
            let end = shift + 16 * len;
            all[..shift].fill(UNTOUCHED);
            all[end..][..64].fill(UNTOUCHED);
            let (blocks, _) = aes::Block::slice_as_chunks_mut(&mut all[shift..end]);
            let blocks = Array::cast_slice_to_core_mut(blocks);
            stream(backend, &mut own_key, NONCE, form, blocks);
            let is_equal =
                own_key == expected_key && blocks.as_flattened() == expected_blocks.as_flattened();
            let mut around = all[..shift].iter().chain(&all[end..][..64]);
            let is_untouched = around.all(|&byte| byte == UNTOUCHED);
            let what = (backend.name, len, shift);
            assert!(is_equal && is_untouched, "{what:?}");
        }
    }
}

#[test]
fn short_streams_equal_those_of_the_aes_crate_at_each_address() {
    assert_equal_to_the_aes_crate(0..=300);
}

#[test]
fn streams_with_a_change_of_key_equal_those_of_the_aes_crate_at_each_address() {
    assert_equal_to_the_aes_crate(4090..=5000);
}

proptest! {
    #[test]
    fn any_key_nonce_and_form_make_the_stream_of_the_aes_crate(
        key: Key,
        nonce: (u64, u32),
        keep: Block,
        set: Block,
        len in 0_usize..70,
    ) {
        let nonce = Nonce { high: nonce.0, low: nonce.1 };
        let form = Form { keep, set };
        for backend in with_aes() {
            let mut own_key = key;
            let mut blocks = vec![Block::default(); len];
            stream(backend, &mut own_key, nonce, form, &mut blocks);
            let mut expected_key = key;
            let mut expected_blocks = vec![Block::default(); len];
            expected(&mut expected_key, nonce, form, &mut expected_blocks);
            prop_assert_eq!(own_key, expected_key);
            prop_assert_eq!(blocks, expected_blocks);
        }
    }

    #[test]
    fn chacha_makes_a_prefix_of_a_longer_stream(key: Key, len in 1_usize..300) {
        let (mut short_key, mut long_key) = (key, key);
        let mut short = vec![Block::default(); len];
        let mut long = vec![Block::default(); 300];
        stream(&CHACHA, &mut short_key, NONCE, PLAIN, &mut short);
        stream(&CHACHA, &mut long_key, NONCE, PLAIN, &mut long);
        prop_assert_eq!(&*short, &long[..len]);
        prop_assert_eq!(short_key, long_key);
    }
}

#[test]
fn the_form_changes_the_output_and_not_the_key() {
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
fn xor_and_clear_clears_what_it_adds() {
    let (mut a, mut b) = ([0b1100; 16], [0b1010; 16]);
    xor_and_clear(&mut a, &mut b);
    assert_eq!((a, b), ([0b0110; 16], [0; 16]));
}
