//! What is mixed in beside the entropy, so that no single failure repeats a
//! stream: the clock, a counter, the process, and the kernel's `AT_RANDOM`.
//!
//! None of it is a source: without entropy there is no UUID.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::drbg::{self, Block, Nonce};
use crate::sys;

/// Counts the mixings of this process. Relaxed: only its changing matters.
static COUNTER: AtomicU32 = AtomicU32::new(0);

/// The nonce of one refill: the wall clock and the counter.
///
/// Two clones of a virtual machine go on with the same key and the same
/// counter; the clock parts them at their first refill. They come as the
/// nonce under the pool's own secret key, which is a keyed hash of them.
pub(crate) fn nonce() -> Nonce {
    Nonce {
        high: sys::clock(),
        low: COUNTER.fetch_add(1, Relaxed),
    }
}

/// Folds a keyed hash of process, counter and clock into a seed.
///
/// The key is `AT_RANDOM`, 16 bytes that the kernel drew for this program
/// alone: whoever slips bytes he knows into the seed still does not know the
/// result.
pub(crate) fn fold_into(seed: &mut Block) {
    let nonce = nonce();
    let input = u128::from(nonce.high) << 64 | u128::from(nonce.low) << 32 | u128::from(sys::pid());
    drbg::fold(seed, &mut drbg::prf(&sys::at_random(), input.to_be_bytes()));
}
