//! Systems whose threads this crate cannot tell apart. WASI has no fork, so any memory may hold
//! a pool. Systems that fork and do not wipe memory have no pool.
#![allow(unsafe_code)]

use core::num::NonZeroU32;
use core::ptr::NonNull;

#[cfg(all(target_os = "wasi", target_vendor = "unknown"))] // Not WASIX, which has fork.
pub(crate) fn map_wiped(len: usize) -> Option<NonNull<u8>> {
    const PAGE: usize = 65_536;
    // A refusal is the greatest number.
    let page = core::arch::wasm32::memory_grow::<0>(len.div_ceil(PAGE));
    let address = page.checked_mul(PAGE)?;
    NonNull::new(core::ptr::with_exposed_provenance_mut(address))
}

#[cfg(not(all(target_os = "wasi", target_vendor = "unknown")))]
pub(crate) fn map_wiped(_: usize) -> Option<NonNull<u8>> {
    None
}

/// # Safety
///
/// It is always safe, because it does nothing.
pub(crate) unsafe fn unmap(_: NonNull<u8>, _: usize) {}

pub(crate) fn pid() -> u32 {
    0
}

/// Returns `None` if there may be several threads, because nothing tells when one has ended.
pub(crate) fn known_thread() -> Option<NonZeroU32> {
    NonZeroU32::new(1).filter(|_| !cfg!(target_feature = "atomics"))
}

pub(crate) fn is_gone(_: u32, _: u32) -> bool {
    false
}
