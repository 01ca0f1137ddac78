//! Memory that the kernel zeroes in a forked child.
//!
//! What belongs to one process lives here, and zero means "nothing yet": a
//! child finds what a fresh process finds, whichever call made it (fork,
//! `_Fork`, clone, clone3), and nobody has to notice that it was made.
#![allow(unsafe_code)]

use core::ptr::NonNull;
use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use once_cell::race::OnceRef;

use crate::sys::{self, VdsoState};

/// A value that may live in wiped memory.
///
/// # Safety
///
/// - All bytes zero are a valid value.
/// - It has no destructor.
pub(crate) unsafe trait Wiped: Sync + Sized + 'static {
    /// Maps zeroed memory that is wiped at fork.
    fn memory(len: usize) -> Option<NonNull<u8>> {
        sys::map_wiped(len)
    }

    /// Maps a zeroed value of its own, or returns `None` where the kernel does
    /// not promise to wipe it, or refuses the memory.
    fn map() -> Option<&'static Self> {
        let memory = Self::memory(size_of::<Self>())?;
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

// SAFETY: zero is valid, it is an atomic, and has no destructor.
unsafe impl Wiped for AtomicU64 {}

// SAFETY: what holds of each element holds of all.
unsafe impl<T: Wiped, const N: usize> Wiped for [T; N] {
    fn memory(len: usize) -> Option<NonNull<u8>> {
        T::memory(len)
    }
}

// SAFETY: the kernel, whose state it is, has zero mean that there is no key;
// no destructor.
unsafe impl Wiped for VdsoState {
    fn memory(len: usize) -> Option<NonNull<u8>> {
        sys::map_vdso_states(len)
    }
}

/// A wiped value for the whole process, mapped at the first use.
///
/// Its address stays the same in a forked child; only the value is zeroed.
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

const GROUP: usize = 64;

/// Wiped values that are lent to threads and taken back.
///
/// They are mapped 64 at a time and never unmapped, so that any thread may
/// reach all of them at any time ([`WipedSlab::iter`]), a new thread costs no
/// system call, and threads that come and go leave nothing behind.
pub(crate) struct WipedSlab<T: Wiped, const GROUPS: usize>([Group<T>; GROUPS]);

struct Group<T: Wiped> {
    values: WipedCell<[T; GROUP]>,
    /// A bit for each value that is lent. In ordinary memory: after a fork the
    /// values of the parent's other threads stay lent, for their owners may be
    /// in the middle of anything. Acquire and release: what the last borrower
    /// wrote comes before what the next one does.
    lent: AtomicU64,
}

impl<T: Wiped, const GROUPS: usize> WipedSlab<T, GROUPS> {
    pub(crate) const fn new() -> Self {
        Self(
            [const {
                Group {
                    values: WipedCell::new(),
                    lent: AtomicU64::new(0),
                }
            }; GROUPS],
        )
    }

    /// Lends a value, or `None` where there is no wiped memory, or all are lent.
    pub(crate) fn lend(&self) -> Option<&'static T> {
        for group in &self.0 {
            let values = group.values.get_or_map()?;
            let mut lent = group.lent.load(Relaxed);
            while lent != u64::MAX {
                let free = lent.trailing_ones();
                match group
                    .lent
                    .compare_exchange_weak(lent, lent | 1 << free, Acquire, Relaxed)
                {
                    Ok(_) => return values.get(free as usize),
                    Err(now) => lent = now,
                }
            }
        }
        None
    }

    /// Takes back a value that was lent, as the next borrower may find it.
    pub(crate) fn take_back(&self, value: &'static T) {
        for group in &self.0 {
            let Some(values) = group.values.get() else {
                return;
            };
            if let Some(index) = values.iter().position(|other| core::ptr::eq(other, value)) {
                group.lent.fetch_and(!(1 << index), Release);
                return;
            }
        }
    }

    /// All values, lent or not.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static T> {
        self.0
            .iter()
            .filter_map(|group| group.values.get())
            .flatten()
    }
}
