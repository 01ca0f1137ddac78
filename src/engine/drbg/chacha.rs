//! ChaCha8, for processors without instructions for AES.
//!
//! Its key has 32 bytes. Its block 0, of 64 bytes, begins with the next key, and the rest of
//! that block is not used.
//!
//! The cipher is code of another crate, which may leave parts of the key on the stack.

use core::hint::black_box;

use chacha20::cipher::{Array, Block as Wide, KeyIvInit, StreamCipherCore};
use chacha20::{ChaChaCore, R8, variants::Ietf};
use zeroize::Zeroize;

use super::Key;
use super::backend::Backend;
use crate::format::{Block, Form};

type Cipher = ChaChaCore<R8, Ietf>;

pub(super) static CHACHA: Backend = Backend {
    name: "ChaCha8",
    is_there: || true,
    any: stream,
    wide: &[],
};

fn stream(key: &mut Key, first: Block, form: Form, dest: &mut [Block]) {
    fill(key, first, form, dest);
    clear_stack();
}

/// Clears the stack below the caller's frame.
///
/// `black_box` keeps the compiler from dropping the array, which is never read.
#[inline(never)]
fn clear_stack() {
    /// Without optimisation, the cipher uses some 10,000 bytes. This is not much
    /// more, because a handler's alternate stack may be small.
    const DEPTH: usize = if cfg!(debug_assertions) {
        12 << 10
    } else {
        2 << 10
    };
    black_box(&mut [0_u64; DEPTH / 8]);
}

/// Not inlined, so that its remains on the stack are in the range that `clear_stack` clears.
#[inline(never)]
fn fill(key: &mut Key, first: Block, form: Form, dest: &mut [Block]) {
    let (count, nonce) = first.split_at(4);
    let mut cipher = Cipher::new(&Array(*key), nonce.try_into().expect("12 bytes"));
    cipher.set_block_pos(u32::from_le_bytes(count.try_into().expect("4 bytes")));
    let mut wide = Wide::<Cipher>::default();
    cipher.write_keystream_block(&mut wide);
    key.copy_from_slice(&wide[..32]);
    let (groups, rest) = Wide::<Cipher>::slice_as_chunks_mut(dest.as_flattened_mut());
    cipher.write_keystream_blocks(groups);
    if !rest.is_empty() {
        cipher.write_keystream_block(&mut wide);
        rest.copy_from_slice(&wide[..rest.len()]);
    }
    wide.zeroize();
    dest.iter_mut().for_each(|block| form.apply(block));
}
