//! Compares the DRBG with the stream that src/engine/drbg.rs describes for a processor with AES
//! instructions. Requests of any length, reseeds and hashes come in any order; a cipher by other
//! authors makes the expected stream, block by block.
#![no_main]

use arbitrary::Arbitrary;
use libaes::Cipher;
use libfuzzer_sys::fuzz_target;

// The module `src` exists so that `drbg` finds its submodules in `src/engine/drbg`.
#[path = "../../src"]
mod src {
    pub mod engine {
        pub mod drbg;
    }
    #[allow(dead_code)]
    pub mod format;
}

/// Replaces that of `src`.
#[cfg(target_arch = "aarch64")]
mod sys {
    pub(crate) fn has_aes() -> bool {
        std::arch::is_aarch64_feature_detected!("aes")
    }
}

use src::engine::drbg::{self, Key, Nonce};
use src::format::{self, Block, Form};

#[derive(Arbitrary, Debug)]
enum Operation {
    Generate {
        nonce: (u64, u32),
        form: (Block, Block),
        /// With `more`, the number of blocks: near a number at which the key changes.
        keys: u8,
        more: i8,
    },
    Reseed(Block),
    Hash(Block),
}

/// The number of blocks that one key makes.
const BLOCKS_PER_KEY: usize = 4096;

/// The largest number of blocks of one input, which bounds its time.
const BUDGET: usize = 20_000;

/// Encrypts one block.
fn encrypt(key: &Block, block: u128) -> Block {
    let mut cipher = Cipher::new_128(key);
    cipher.set_auto_padding(false);
    // In CBC mode with a zero IV, the first block is that of the plain cipher.
    let encrypted = cipher.cbc_encrypt(&[0; 16], &block.to_le_bytes());
    encrypted.try_into().expect("one block in, one block out")
}

/// Returns the expected stream. By fast key erasure, block 0 is the next key, and a key makes
/// [`BLOCKS_PER_KEY`] blocks at most.
fn expected(key: &mut Key, nonce: (u64, u32), form: (Block, Block), count: usize) -> Vec<Block> {
    let upper = u128::from(nonce.0) << 64 | u128::from(nonce.1) << 32;
    let mut stream = Vec::with_capacity(count);
    while stream.len() < count {
        let old: Block = key[..16].try_into().expect("16 bytes");
        key[..16].copy_from_slice(&encrypt(&old, upper));
        for i in 1..=(count - stream.len()).min(BLOCKS_PER_KEY) {
            let mut block = encrypt(&old, upper + i as u128);
            for (byte, (keep, set)) in block.iter_mut().zip(form.0.iter().zip(form.1)) {
                *byte = *byte & keep | set;
            }
            stream.push(block);
        }
    }
    stream
}

fuzz_target!(|input: (Key, Vec<Operation>)| {
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
                let count =
                    (BLOCKS_PER_KEY * usize::from(keys % 3)).saturating_add_signed(more.into());
                let Some(rest) = budget.checked_sub(count) else {
                    return;
                };
                budget = rest;
                let (high, low) = nonce;
                let (keep, set) = form;
                // The call must overwrite the previous content.
                let mut dest = vec![keep; count];
                drbg::generate(&mut key, Nonce { high, low }, Form { keep, set }, &mut dest);
                assert!(dest == expected(&mut model, nonce, form, count));
            }
            Operation::Reseed(mut seed) => {
                for (byte, seed) in model.iter_mut().zip(seed) {
                    *byte ^= seed;
                }
                drbg::xor_and_clear(&mut key, &mut seed);
                assert_eq!(seed, Block::default(), "the seed is not cleared");
            }
            Operation::Hash(block) => {
                let model = model.first_chunk().expect("32 bytes");
                let hash = encrypt(model, u128::from_le_bytes(block));
                assert_eq!(drbg::prf(key.first_chunk().expect("32 bytes"), block), hash);
            }
        }
        assert_eq!(key, model);
    }
});
