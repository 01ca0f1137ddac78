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

use crate::drbg::Block;
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

/// What mixes hardware numbers into UUIDs that come straight from the kernel.
///
/// Made before the kernel is asked, so that little stands between its answer and
/// the end of the call.
pub(crate) struct Mixer {
    key: [u64; 2],
}

impl Mixer {
    /// The key is `AT_RANDOM`, 16 bytes that the kernel drew for this program alone.
    pub(crate) fn new() -> Self {
        let key = u128::from_le_bytes(sys::at_random());
        Self {
            key: [key as u64, (key >> 64) as u64],
        }
    }

    /// Mixes a hash of a new number into the lower half of `block`, to which the
    /// random bits of version 7 belong.
    ///
    /// By an exclusive or with what does not depend on the block, a uniform block
    /// stays uniform. Hashed, a UUID tells nothing of the number, and whoever chose
    /// the number without the key has not chosen the UUID.
    #[inline]
    pub(crate) fn mix_into(&self, block: &mut Block) {
        if let Some(number) = number() {
            let mixed = u128::from_be_bytes(*block) ^ u128::from(siphash(self.key, number));
            *block = mixed.to_be_bytes();
        }
    }
}

/// Returns SipHash-1-3 of the 8 bytes of `message`, little-endian (Aumasson and
/// Bernstein, [SipHash](https://www.aumasson.jp/siphash/siphash.pdf), of which
/// `std` uses this variant).
///
/// AES would need its key schedule first, which takes five times as long.
#[inline]
fn siphash([k0, k1]: [u64; 2], message: u64) -> u64 {
    /// The length in the topmost byte of the last word.
    const LAST: u64 = 8 << 56;
    let mut state = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    for word in [message, LAST] {
        state[3] ^= word;
        sip_round(&mut state);
        state[0] ^= word;
    }
    state[2] ^= 0xff;
    (0..3).for_each(|_| sip_round(&mut state));
    state.into_iter().fold(0, |hash, word| hash ^ word)
}

#[inline(always)]
fn sip_round([a, b, c, d]: &mut [u64; 4]) {
    *a = a.wrapping_add(*b);
    *c = c.wrapping_add(*d);
    *b = b.rotate_left(13) ^ *a;
    *d = d.rotate_left(16) ^ *c;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*b);
    *a = a.wrapping_add(*d);
    *b = b.rotate_left(17) ^ *c;
    *d = d.rotate_left(21) ^ *a;
    *c = c.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hasher};

    use super::*;

    /// OpenSSL's (`openssl mac -macopt hexkey:000102030405060708090a0b0c0d0e0f
    /// -macopt size:8 -macopt c-rounds:1 -macopt d-rounds:3 SIPHASH`).
    #[test]
    fn siphash_is_the_known_one() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let hash = siphash(key, 0x0706_0504_0302_0100);
        assert_eq!(format!("{hash:016x}"), "369095118d299a8e");
    }

    #[test]
    fn siphash_is_that_of_std_under_its_key() {
        for message in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            let mut hasher = DefaultHasher::new();
            hasher.write(&message.to_le_bytes());
            assert_eq!(siphash([0, 0], message), hasher.finish());
        }
    }

    #[test]
    fn a_number_changes_the_lower_half_of_a_block_and_nothing_else() {
        let mut block = [0x55; 16];
        Mixer::new().mix_into(&mut block);
        assert_eq!(block[..8], [0x55; 8]);
        assert_eq!(block[8..] != [0x55; 8], number().is_some());
    }
}
