//! Systems that fork and do not wipe memory, and whatever else is not known
//! here: there is no pool.
#![allow(unsafe_code)]

use core::num::NonZeroU32;
use core::ptr::NonNull;

pub(crate) fn map_wiped(_: usize) -> Option<NonNull<u8>> {
    None
}

/// # Safety
///
/// None: there is no memory that could be given back.
pub(crate) unsafe fn unmap(_: NonNull<u8>, _: usize) {}

/// # Safety
///
/// None: there is no such memory.
pub(crate) unsafe fn mark_wiped(_: NonNull<u8>, _: usize) -> bool {
    false
}

pub(crate) fn pid() -> u32 {
    0
}

pub(crate) fn thread_at_home() -> Option<NonZeroU32> {
    None
}

pub(crate) fn is_gone(_: u32, _: u32) -> bool {
    false
}
