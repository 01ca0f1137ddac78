//! Memory that the kernel zeroes in a forked child.
//!
//! Zero means "nothing yet", so a child starts as a new process does, whichever call made it,
//! and no code has to notice the fork.
#![allow(unsafe_code)]

use core::ptr::{self, NonNull};
use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use once_cell::race::OnceRef;

use crate::sys::{self, VdsoState};

mod loan;
#[cfg(test)]
mod tests;

pub(crate) use loan::{Borrower, Refusal};
use loan::{Caller, Loan};

/// A value that may live in wiped memory.
///
/// # Safety
///
/// - All bytes zero are a valid value.
/// - It has no destructor.
pub(crate) unsafe trait Wiped: Sync + Sized + 'static {
    /// Maps zeroed memory that is wiped at fork, where there is fork.
    fn memory(len: usize) -> Option<NonNull<u8>> {
        sys::map_wiped(len)
    }

    /// Maps a zeroed value, or returns `None` if the kernel does not promise to wipe it, or
    /// refuses the memory.
    fn map() -> Option<&'static Self> {
        let memory = Self::memory(size_of::<Self>())?;
        // SAFETY: the mapping is zeroed, which is a valid value. It begins at a page, which is
        // aligned for any type, and stays until `unmap`.
        Some(unsafe { memory.cast::<Self>().as_ref() })
    }

    /// Marks the memory of the value again, unless the kernel refuses: CRIU before 4.2
    /// restores the memory of a process without the mark.
    ///
    /// # Safety
    ///
    /// `self` came from [`Wiped::map`].
    unsafe fn mark_again(&'static self) {
        // SAFETY: the caller promises that the value has its own mapping.
        unsafe { sys::mark_wiped(NonNull::from(self).cast(), size_of::<Self>()) };
    }

    /// Gives the value back to the kernel.
    ///
    /// # Safety
    ///
    /// - `self` came from [`Wiped::map`].
    /// - No other reference to it is used afterwards.
    unsafe fn unmap(&'static self) {
        // SAFETY: the caller promises both.
        unsafe { sys::unmap(NonNull::from(self).cast(), size_of::<Self>()) };
    }
}

// SAFETY: it is an atomic, for which zero is valid, and has no destructor.
unsafe impl Wiped for AtomicU64 {}

// SAFETY: this is true of each element.
unsafe impl<T: Wiped, const N: usize> Wiped for [T; N] {
    fn memory(len: usize) -> Option<NonNull<u8>> {
        T::memory(len)
    }
}

// SAFETY: to the kernel, which defines the state, zero means that there is no key. It has no
// destructor.
unsafe impl Wiped for VdsoState {
    fn memory(len: usize) -> Option<NonNull<u8>> {
        sys::map_vdso_states(len)
    }
}

impl Lent for VdsoState {
    unsafe fn clear(&self) {
        VdsoState::clear(self);
    }
}

/// A wiped value for the whole process, mapped at the first use.
///
/// If two threads map it at once, neither waits for the other.
pub(crate) struct WipedCell<T: Wiped>(OnceRef<'static, T>);

impl<T: Wiped> WipedCell<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceRef::new())
    }

    pub(crate) fn get(&self) -> Option<&'static T> {
        self.0.get()
    }

    pub(crate) fn mark_again(&self) {
        if let Some(value) = self.get() {
            // SAFETY: `get_or_map` stored it.
            unsafe { value.mark_again() };
        }
    }

    pub(crate) fn get_or_map(&self) -> Option<&'static T> {
        if self.0.get().is_none() {
            let mapped = T::map()?;
            if self.0.set(mapped).is_err() {
                // SAFETY: it was mapped above, and the cell did not take it.
                unsafe { mapped.unmap() };
            }
        }
        self.0.get()
    }
}

/// A wiped value that is lent to one borrower after another.
pub(crate) trait Lent: Wiped {
    /// Clears the value, so that it equals a new one.
    ///
    /// # Safety
    ///
    /// No call uses the value.
    unsafe fn clear(&self);
}

/// The number of values in a group. Each has a bit of a word.
const GROUP: usize = u64::BITS as usize;

/// Wiped values that are lent to threads and to generators.
///
/// They are mapped 64 at a time, so that most new threads need no mapping. They are never
/// unmapped, so that any thread can visit all of them at any time ([`WipedSlab::iter`]).
///
/// A thread does not give its value back. The slab remembers the thread's number, and
/// when all mapped values are lent, it asks the kernel which of those threads are gone.
pub(crate) struct WipedSlab<T: Lent, const GROUPS: usize>([Group<T>; GROUPS]);

struct Group<T: Wiped> {
    values: WipedCell<[T; GROUP]>,
    /// A bit for each value that is lent. It is not wiped: all values stay lent in a forked
    /// child, which cannot tell the value of the thread that forked from the others. Acquire
    /// and release, so that the last borrower's writes come before the next one's.
    lent: AtomicU64,
    /// The [`Loan`] of each value that a thread has, or 0 if the value is lent until it is
    /// given back. A fork wipes the loans, so in a child the values of the parent's threads are
    /// never taken back. Release and acquire, as `lent`.
    loans: WipedCell<[AtomicU64; GROUP]>,
}

impl<T: Lent, const GROUPS: usize> WipedSlab<T, GROUPS> {
    pub(crate) const fn new() -> Self {
        Self(
            [const {
                Group {
                    values: WipedCell::new(),
                    lent: AtomicU64::new(0),
                    loans: WipedCell::new(),
                }
            }; GROUPS],
        )
    }

    pub(crate) fn lend(&self, borrower: Borrower) -> Result<&'static T, Refusal> {
        // The very first value has no loan and is never taken back from a thread, so that a
        // process with one thread need not ask for the thread's number.
        if self.0[0].lent.load(Relaxed) & 1 == 0 {
            let values = self.0[0].values.get_or_map().ok_or(Refusal::NoMemory)?;
            if self.0[0].lent.fetch_or(1, Acquire) & 1 == 0 {
                return Ok(&values[0]);
            }
        }
        let is_thread = borrower == Borrower::Thread;
        let owner = match is_thread {
            true => Some(Caller::new().ok_or(Refusal::UnknownThread)?),
            false => None,
        };
        let mapped = || {
            self.0
                .iter()
                .take_while(|group| group.values.get().is_some())
        };
        if let Some(value) = mapped().find_map(|group| group.lend(owner)) {
            return Ok(value);
        }
        // If the kernel says that even the caller is gone, its answers are of no use: the
        // process shares its memory with another one, or a sandbox answers.
        let known = |caller: &Caller| !sys::is_gone(caller.process, caller.thread);
        if let Some(caller) = owner.or_else(Caller::new).filter(known) {
            for group in mapped() {
                group.take_back_from_ended(caller, is_thread);
            }
        }
        let free = mapped().map(|group| group.lent.load(Relaxed).count_zeros());
        // If few values are free, each new thread would soon ask the kernel again.
        if free.sum::<u32>() < GROUP as u32 / 4 {
            if let Some(group) = self.0.iter().find(|group| group.values.get().is_none()) {
                group.values.get_or_map();
            }
        }
        mapped()
            .find_map(|group| group.lend(owner))
            .ok_or(Refusal::NoMemory)
    }

    /// Takes back a value that was lent to an object.
    ///
    /// # Safety
    ///
    /// The borrower must not use it any more.
    pub(crate) unsafe fn take_back(&self, value: &'static T) {
        for group in &self.0 {
            let Some(values) = group.values.get() else {
                return;
            };
            if let Some(index) = values.iter().position(|other| ptr::eq(other, value)) {
                // SAFETY: the caller promises that no call uses it.
                unsafe { value.clear() };
                group.lent.fetch_and(!(1 << index), Release);
                return;
            }
        }
    }

    pub(crate) fn mark_again(&self) {
        for group in &self.0 {
            group.values.mark_again();
            group.loans.mark_again();
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static T> {
        self.0
            .iter()
            .filter_map(|group| group.values.get())
            .flatten()
    }
}

impl<T: Lent> Group<T> {
    fn lend(&self, owner: Option<Caller>) -> Option<&'static T> {
        let values = self.values.get()?;
        // Mapped before the value is lent, because without a loan it could never be taken back.
        let owner = match owner {
            Some(owner) => Some((owner, self.loans.get_or_map()?)),
            None => None,
        };
        let mut lent = self.lent.load(Relaxed);
        while lent != u64::MAX {
            let free = lent.trailing_ones() as usize;
            match self
                .lent
                .compare_exchange_weak(lent, lent | 1 << free, Acquire, Relaxed)
            {
                Ok(_) => {
                    if let Some((owner, loans)) = owner {
                        loans[free].store(Loan::new(owner).0, Release);
                    }
                    return Some(&values[free]);
                }
                Err(now) => lent = now,
            }
        }
        None
    }

    fn take_back_from_ended(&self, caller: Caller, is_borrowing: bool) {
        let (Some(values), Some(loans)) = (self.values.get(), self.loans.get()) else {
            return;
        };
        for (index, (value, loan)) in values.iter().zip(loans).enumerate() {
            let found = loan.load(Acquire);
            // [P3 ask-for-ended] The kernel is asked, because no destructor tells of the end of
            // a thread (`no-destructor`).
            if Loan(found).is_over(caller, is_borrowing)
                && loan.compare_exchange(found, 0, Acquire, Relaxed).is_ok()
            {
                // SAFETY: the loan is over, so its borrower does not use the value any more, and
                // the exchange succeeds in only one call.
                unsafe { value.clear() };
                self.lent.fetch_and(!(1 << index), Release);
            }
        }
    }
}
