//! Hedges, which are mixed into the entropy so that no single failure repeats a stream: the
//! clock, a counter, the process, the processor's random numbers, and the kernel's
//! `AT_RANDOM`.
//!
//! None of them is a source: without entropy there is no UUID.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::engine::drbg::{self, Nonce};
use crate::engine::hardware;
use crate::format::Block;
use crate::sys;

/// Counts the seeds of this process. Relaxed: it must only change. Refills do not count,
/// because threads would contend for the cache line.
static SEEDS: AtomicU32 = AtomicU32::new(0);

/// Returns the nonce of one refill: a hardware number, the wall clock, and the caller's
/// count. The cipher hashes all of it under the pool's secret key.
pub(crate) fn nonce(count: u32) -> Nonce {
    // If the clock cannot be read, there is one hedge less.
    let (seconds, nanos) = sys::wall_clock().unwrap_or_default();
    let clock = (seconds as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(nanos.into());
    // [P5 hardware-in-nonce] Two clones of a virtual machine have the same key, the same
    // count, and nearly the same clock.
    Nonce {
        high: clock ^ hardware::number().unwrap_or_default(),
        low: count,
    }
}

/// Folds a keyed hash of the process, a counter, the clock and a hardware number into a seed.
///
/// The key is `AT_RANDOM`, 16 bytes that the kernel drew for this program alone. An
/// attacker whose bytes get into the seed still does not know the result.
pub(crate) fn fold_into(seed: &mut Block) {
    let nonce = nonce(SEEDS.fetch_add(1, Relaxed));
    let input = u128::from(nonce.high) << 64 | u128::from(nonce.low) << 32 | u128::from(sys::pid());
    drbg::xor_and_clear(seed, &mut drbg::prf(&sys::at_random(), input.to_be_bytes()));
}

/// Mixes hardware numbers into UUIDs that come straight from the kernel.
///
/// Its key is made before the kernel is asked, so that little time passes between a hardware
/// number and the end of the call. If a machine is cloned in that time, both clones return the
/// same UUID.
pub(crate) struct Mixer {
    key: u64,
}

impl Mixer {
    pub(crate) fn new() -> Self {
        /// A hash of `AT_RANDOM`, or 0 before it is made. Relaxed: each thread makes the same
        /// hash.
        static KEY: AtomicU64 = AtomicU64::new(0);
        let key = match KEY.load(Relaxed) {
            0 => {
                let hash = u128::from_ne_bytes(drbg::prf(&sys::at_random(), Block::default()));
                KEY.store(hash as u64, Relaxed);
                hash as u64
            }
            key => key,
        };
        Self { key }
    }

    /// Mixes a hash of a new number into the lower half of `block`, to which the
    /// random bits of version 7 belong.
    ///
    /// A uniform block stays uniform, because the hash does not depend on it. Two equal blocks
    /// stay equal once in 2^61, or once in 2^57 if only the random bits of version 7 are used.
    #[inline]
    pub(crate) fn mix_into(&self, block: &mut Block) {
        if let Some(number) = hardware::number() {
            let mixed = u128::from_be_bytes(*block) ^ u128::from(hash(self.key, number));
            *block = mixed.to_be_bytes();
        }
    }
}

/// Returns both halves of the product, added without carry. This is a universal hash, of
/// which each bit depends on the key and on the number.
///
/// A stronger hash is not needed: an attacker sees it only added to the kernel's bytes or, in
/// two clones, to the other clone's hash.
#[inline]
fn hash(key: u64, number: u64) -> u64 {
    let product = u128::from(key) * u128::from(number);
    (product ^ product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_changes_the_lower_half_of_a_block_and_nothing_else() {
        let mut block = [0x55; 16];
        Mixer::new().mix_into(&mut block);
        assert_eq!(block[..8], [0x55; 8]);
        assert_eq!(block[8..] != [0x55; 8], hardware::works());
    }

    #[test]
    fn the_hash_depends_on_each_bit_of_key_and_number() {
        let (key, number) = (0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210);
        for bit in (0..64).map(|bit| 1 << bit) {
            assert_ne!(hash(key, number), hash(key ^ bit, number));
            assert_ne!(hash(key, number), hash(key, number ^ bit));
        }
    }
}
