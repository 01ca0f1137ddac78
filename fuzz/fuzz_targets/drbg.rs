//! Requests of any length, reseeds and hashes in any order give the stream that
//! src/drbg.rs describes, by a cipher of other authors, block by block.
#![no_main]

use arbitrary::Arbitrary;
use libaes::Cipher;
use libfuzzer_sys::fuzz_target;

#[path = "../../src/drbg.rs"]
mod drbg;

#[path = "../../src/sys/linux/registers.rs"]
mod sys;

use drbg::{Block, Form, Nonce};

#[derive(Arbitrary, Debug)]
enum Operation {
    Generate {
        nonce: (u64, u32),
        form: (Block, Block),
        /// How many blocks: a number near one of those at which the key changes.
        keys: u8,
        more: i8,
    },
    Reseed(Block),
    Hash(Block),
}

/// Blocks that one key makes.
const STREAM: usize = 4096;

/// Blocks of one input, to bound its time.
const BUDGET: usize = 20_000;

/// The cipher, one block at a time.
fn encrypt(key: &Block, block: u128) -> Block {
    let mut cipher = Cipher::new_128(key);
    cipher.set_auto_padding(false);
    // In CBC mode the first block under a zero IV is the bare cipher's.
    let encrypted = cipher.cbc_encrypt(&[0; 16], &block.to_le_bytes());
    encrypted.try_into().expect("one block in, one block out")
}

/// Fast key erasure, by the book: block 0 is the next key, and a key makes
/// [`STREAM`] blocks at most.
fn expected(key: &mut Block, nonce: (u64, u32), form: (Block, Block), count: usize) -> Vec<Block> {
    let upper = u128::from(nonce.0) << 64 | u128::from(nonce.1) << 32;
    let mut stream = Vec::with_capacity(count);
    while stream.len() < count {
        let old = *key;
        *key = encrypt(&old, upper);
        for i in 1..=(count - stream.len()).min(STREAM) {
            let mut block = encrypt(&old, upper + i as u128);
            for (byte, (keep, set)) in block.iter_mut().zip(form.0.iter().zip(form.1)) {
                *byte = *byte & keep | set;
            }
            stream.push(block);
        }
    }
    stream
}

fuzz_target!(|input: (Block, Vec<Operation>)| {
    let (mut key, operations) = input;
    let mut model = key;
    let mut budget = BUDGET;
    for operation in operations {
        match operation {
            Operation::Generate {
                nonce,
                form,
                keys,
                more,
            } => {
                let count = (STREAM * usize::from(keys % 3)).saturating_add_signed(more.into());
                let Some(rest) = budget.checked_sub(count) else {
                    return;
                };
                budget = rest;
                let (high, low) = nonce;
                let (keep, set) = form;
                // Whatever stood there before is overwritten.
                let mut dest = vec![keep; count];
                drbg::generate(&mut key, Nonce { high, low }, Form { keep, set }, &mut dest);
                assert!(dest == expected(&mut model, nonce, form, count));
            }
            Operation::Reseed(mut seed) => {
                for (byte, seed) in model.iter_mut().zip(seed) {
                    *byte ^= seed;
                }
                drbg::fold(&mut key, &mut seed);
                assert_eq!(seed, Block::default(), "the seed is cleared");
            }
            Operation::Hash(block) => {
                let hash = encrypt(&model, u128::from_le_bytes(block));
                assert_eq!(drbg::prf(&key, block), hash);
            }
        }
        assert_eq!(key, model);
    }
});
