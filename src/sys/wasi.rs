//! WASI, which has no fork: a pool needs no more than ordinary memory. (WASIX
//! has fork; it is not meant here.)
#![allow(unsafe_code)]

use core::arch::wasm32::memory_grow;
use core::num::NonZeroU32;
use core::ptr::NonNull;

pub(crate) fn map_wiped(len: usize) -> Option<NonNull<u8>> {
    const PAGE: usize = 65_536;
    // Too large a number of the page stands for a refusal.
    let address = memory_grow::<0>(len.div_ceil(PAGE)).checked_mul(PAGE)?;
    NonNull::new(core::ptr::with_exposed_provenance_mut(address))
}

/// # Safety
///
/// None: a WebAssembly memory does not shrink.
pub(crate) unsafe fn unmap(_: NonNull<u8>, _: usize) {}

/// # Safety
///
/// None: nothing is changed.
pub(crate) unsafe fn mark_wiped(_: NonNull<u8>, _: usize) -> bool {
    true
}

pub(crate) fn pid() -> u32 {
    0
}

/// Of several threads none has a number that would tell whether it has ended.
pub(crate) fn thread_at_home() -> Option<NonZeroU32> {
    NonZeroU32::new(1).filter(|_| !cfg!(target_feature = "atomics"))
}

pub(crate) fn is_gone(_: u32, _: u32) -> bool {
    false
}
