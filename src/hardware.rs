//! The processor's own random numbers, which no snapshot holds: RDRAND on x86,
//! RNDR on 64-bit Arm.
//!
//! Two virtual machines that start from one snapshot have the same memory, and
//! the same kernel with the same state of its generator, until a device of the
//! hypervisor tells the kernel (`vmgenid`), which many have not. What the
//! processor returns differs in the two from the first call on.
//!
//! None of it is a source. It is hashed under a key, or is part of a nonce, and
//! always stands beside entropy. So a processor that always returns the same
//! number, or one that somebody knows, makes nothing weaker than it is without.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::drbg::{self, Block};
use crate::sys;

/// Returns 64 bits, or `None` where the processor has none.
///
/// Some processors of AMD return ones instead of failing: of families 15h and
/// 16h after a suspend, and of family 17h with an early microcode. RNDR fails
/// with zeros.
#[inline]
pub(crate) fn number() -> Option<u64> {
    /// So often Intel asks to try (Software Developer's Manual, volume 1, section
    /// 7.3.17.1).
    const TRIES: u32 = 10;
    (0..TRIES)
        .find_map(|_| sys::hardware_random())
        .filter(|&number| number != 0 && number != u64::MAX)
}

/// Returns whether the processor has numbers that differ.
pub(crate) fn serves() -> bool {
    let numbers = [(); 4].map(|()| number());
    numbers.iter().all(Option::is_some) && numbers.windows(2).all(|pair| pair[0] != pair[1])
}

/// Mixes hardware numbers into UUIDs that come straight from the kernel.
///
/// It is made before the kernel is asked. So few instructions stand between the
/// number and the end of the call, and what is stopped there, to be cloned, is
/// the one UUID that both clones return.
pub(crate) struct Mixer {
    key: u64,
}

impl Mixer {
    pub(crate) fn new() -> Self {
        /// A hash of `AT_RANDOM`, 16 bytes that the kernel drew for this program
        /// alone; 0 until it is made. Relaxed: each thread makes the same.
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
    /// A uniform block stays uniform, as what is added to it does not depend on it.
    /// Two equal blocks become different ones but for once in 2^61.
    #[inline]
    pub(crate) fn mix_into(&self, block: &mut Block) {
        if let Some(number) = number() {
            let mixed = u128::from_be_bytes(*block) ^ u128::from(hash(self.key, number));
            *block = mixed.to_be_bytes();
        }
    }
}

/// Returns the product's halves added without carry: a universal hash, of which
/// each bit depends on the key and on the number.
///
/// It need not withstand more. Nobody sees it but under the kernel's bytes, or,
/// of two clones, added to the other's, which hides both.
#[inline]
fn hash(key: u64, number: u64) -> u64 {
    let product = u128::from(key) * u128::from(number);
    (product ^ product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_the_processor_returns_differ() {
        assert_eq!(number().is_some(), serves());
    }

    #[test]
    fn a_number_changes_the_lower_half_of_a_block_and_nothing_else() {
        let mut block = [0x55; 16];
        Mixer::new().mix_into(&mut block);
        assert_eq!(block[..8], [0x55; 8]);
        assert_eq!(block[8..] != [0x55; 8], number().is_some());
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
