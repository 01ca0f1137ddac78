//! What is mixed in beside the entropy, so that no single failure repeats a
//! stream: the clock, a counter, the process, and the kernel's `AT_RANDOM`.
//!
//! None of it is a source: without entropy there is no UUID.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::drbg::{self, Block, Nonce};
use crate::sys;

/// Counts the seeds of this process. Relaxed: only its changing matters. Not
/// for each refill, where threads would pass the cache line to and fro.
static SEEDS: AtomicU32 = AtomicU32::new(0);

/// The nonce of one refill: the wall clock, and a count of the caller's.
///
/// Two clones of a virtual machine go on with the same key and the same count;
/// the clock parts them at their first refill. As the nonce under the pool's
/// own secret key they are hashed with it.
pub(crate) fn nonce(count: u32) -> Nonce {
    // A clock that cannot be read is one hedge less.
    let (seconds, nanos) = sys::wall_clock().unwrap_or_default();
    Nonce {
        high: (seconds as u64)
            .wrapping_mul(1_000_000_000)
            .wrapping_add(nanos.into()),
        low: count,
    }
}

/// Folds a keyed hash of process, counter and clock into a seed.
///
/// The key is `AT_RANDOM`, 16 bytes that the kernel drew for this program
/// alone: whoever slips bytes he knows into the seed still does not know the
/// result.
pub(crate) fn fold_into(seed: &mut Block) {
    let nonce = nonce(SEEDS.fetch_add(1, Relaxed));
    let input = u128::from(nonce.high) << 64 | u128::from(nonce.low) << 32 | u128::from(sys::pid());
    drbg::fold(seed, &mut drbg::prf(&sys::at_random(), input.to_be_bytes()));
}
