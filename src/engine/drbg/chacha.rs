//! ChaCha8, for processors without instructions for AES.
//!
//! Its key has 32 bytes. Its block 0, of 64 bytes, begins with the next key, and the rest of
//! that block is not used.

use chacha20::cipher::{Array, KeyIvInit, StreamCipherCore};
use chacha20::{ChaChaCore, R8, variants::Ietf};
use zeroize::Zeroize;

use super::{Key, Nonce};
use crate::format::{Block, Form};

/// The bytes of a block of ChaCha.
const WIDE: usize = 64;

type Cipher = ChaChaCore<R8, Ietf>;

fn cipher(key: &Key, nonce: Nonce) -> Cipher {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&nonce.low.to_le_bytes());
    bytes[4..].copy_from_slice(&nonce.high.to_le_bytes());
    Cipher::new(&Array(*key), &Array(bytes))
}

/// Returns the beginning of the block of 64 bytes whose counter and nonce are `block`.
pub(super) fn prf(key: &Block, block: Block) -> Block {
    let mut long = Key::default();
    long[..16].copy_from_slice(key);
    let input = u128::from_le_bytes(block);
    let nonce = Nonce {
        high: (input >> 64) as u64,
        low: (input >> 32) as u32,
    };
    let mut cipher = cipher(&long, nonce);
    cipher.set_block_pos(input as u32);
    let mut wide = Array([0; WIDE]);
    cipher.write_keystream_block(&mut wide);
    long.zeroize();
    let mut hash = Block::default();
    hash.copy_from_slice(&wide[..16]);
    hash
}

pub(super) fn stream(key: &mut Key, nonce: Nonce, form: Form, dest: &mut [Block]) {
    let mut cipher = cipher(key, nonce);
    let mut wide = Array([0; WIDE]);
    cipher.write_keystream_block(&mut wide);
    key.copy_from_slice(&wide[..32]);
    let (groups, rest) = dest.as_flattened_mut().as_chunks_mut::<WIDE>();
    cipher.write_keystream_blocks(Array::cast_slice_from_core_mut(groups));
    if !rest.is_empty() {
        cipher.write_keystream_block(&mut wide);
        rest.copy_from_slice(&wide[..rest.len()]);
    }
    wide.zeroize();
    dest.iter_mut().for_each(|block| form.apply(block));
}
