//! The processor's random numbers, which are in no snapshot: RDRAND on x86, RNDR on 64-bit
//! Arm.
//!
//! Two virtual machines that start from one snapshot have the same memory, and the same
//! state of the kernel's generator, unless the hypervisor tells the kernel (`vmgenid`).
//! The processor's numbers differ between them from the first call on.
//!
//! The numbers are no source. [`hedge`](super::hedge) hashes them under a key and adds them
//! to entropy, so a processor whose numbers are constant or known weakens nothing.

use crate::sys;

/// Returns 64 random bits, or `None` if the processor has none.
///
/// Some processors of AMD return 64 ones instead of failing: those of families 15h and 16h
/// after a suspend, and those of family 17h with an early microcode. A failed RNDR returns
/// zeros.
#[inline]
pub(crate) fn number() -> Option<u64> {
    sys::hardware_random().filter(|&number| number != 0 && number != u64::MAX)
}

/// Returns whether the processor has random numbers, and they differ.
pub(crate) fn works() -> bool {
    let numbers = [(); 4].map(|()| number());
    numbers.iter().all(Option::is_some) && numbers.windows(2).all(|pair| pair[0] != pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_the_processor_returns_differ() {
        assert_eq!(number().is_some(), works());
    }
}
