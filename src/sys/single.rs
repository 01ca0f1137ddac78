//! Systems whose threads are not told apart. WASI has no fork, so that any memory
//! will do; those that fork and do not wipe memory have no pool.
#![allow(unsafe_code)]

use core::num::NonZeroU32;
use core::ptr::NonNull;

#[cfg(all(target_os = "wasi", target_vendor = "unknown"))] // Not WASIX, which has fork.
pub(crate) fn map_wiped(len: usize) -> Option<NonNull<u8>> {
    const PAGE: usize = 65_536;
    // The greatest number stands for a refusal.
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
/// None: nothing is done.
pub(crate) unsafe fn unmap(_: NonNull<u8>, _: usize) {}

pub(crate) fn pid() -> u32 {
    0
}

/// `None` where there are several threads: nobody tells when one has ended.
pub(crate) fn thread_at_home() -> Option<NonZeroU32> {
    NonZeroU32::new(1).filter(|_| !cfg!(target_feature = "atomics"))
}

pub(crate) fn is_gone(_: u32, _: u32) -> bool {
    false
}
