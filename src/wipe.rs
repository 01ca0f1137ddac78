//! Memory that the kernel zeroes in a forked child.
//!
//! What belongs to one process lives here, and zero means "nothing yet": a
//! child finds what a fresh process finds, whichever call made it (fork,
//! `_Fork`, clone, clone3), and nobody has to notice that it was made.
#![allow(unsafe_code)]

use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;

use once_cell::race::OnceRef;

use crate::sys;

/// A value that may live in wiped memory.
///
/// # Safety
///
/// - All bytes zero are a valid value.
/// - It changes only through atomics, since the kernel writes it too.
/// - It has no destructor.
pub(crate) unsafe trait Wiped: Sync + Sized + 'static {
    /// Maps a zeroed value of its own, or returns `None` where the kernel does
    /// not promise to wipe it, or refuses the memory.
    fn map() -> Option<&'static Self> {
        let memory = sys::map_wiped(size_of::<Self>())?;
        // SAFETY: the mapping is zeroed, which is a valid value, at the start
        // of a page, which is aligned for any type, and stays until `unmap`.
        Some(unsafe { memory.cast::<Self>().as_ref() })
    }

    /// Gives the value back to the kernel.
    ///
    /// # Safety
    ///
    /// - `self` came from [`Wiped::map`].
    /// - No other reference to it is used from now on.
    unsafe fn unmap(&'static self) {
        // SAFETY: the caller vouches for both conditions.
        unsafe { sys::unmap(NonNull::from(self).cast(), size_of::<Self>()) };
    }
}

// SAFETY: atomics, for which zero is valid, and no destructor.
unsafe impl<const N: usize> Wiped for [AtomicU64; N] {}

/// A wiped value for the whole process, mapped at the first use.
///
/// What it is mapped at stays the same after a fork; only the value is zeroed.
/// `race`: of two threads that map at once neither waits for the other.
pub(crate) struct WipedCell<T: Wiped>(OnceRef<'static, T>);

impl<T: Wiped> WipedCell<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceRef::new())
    }

    pub(crate) fn get(&self) -> Option<&'static T> {
        self.0.get()
    }

    /// The value, or `None` where [`Wiped::map`] has none.
    pub(crate) fn get_or_map(&self) -> Option<&'static T> {
        if self.0.get().is_none() {
            let mapped = T::map()?;
            if self.0.set(mapped).is_err() {
                // SAFETY: mapped above, and the cell did not take it.
                unsafe { mapped.unmap() };
            }
        }
        self.0.get()
    }
}
