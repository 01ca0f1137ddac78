//! What is mixed in beside the entropy, so that no single failure repeats a
//! stream: the clock, a counter, the process, the processor's random numbers, and
//! the kernel's `AT_RANDOM`.
//!
//! None of it is a source: without entropy there is no UUID.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::drbg::{self, Block, Nonce};
use crate::hardware;
use crate::sys;

/// Counts the seeds of this process. Relaxed: only its changing matters. Not
/// for each refill, where threads would pass the cache line to and fro.
static SEEDS: AtomicU32 = AtomicU32::new(0);

/// The nonce of one refill: a hardware number, the wall clock, and a count of the
/// caller's.
///
/// Two clones of a virtual machine have the same key and the same count, and the
/// same clock but for the time that each takes to start. The hardware number
/// makes their refills differ. As a nonce under the pool's secret key all of it
/// is hashed.
pub(crate) fn nonce(count: u32) -> Nonce {
    // A clock that cannot be read is one hedge less.
    let (seconds, nanos) = sys::wall_clock().unwrap_or_default();
    let clock = (seconds as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(nanos.into());
    Nonce {
        high: clock ^ hardware::number().unwrap_or_default(),
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
