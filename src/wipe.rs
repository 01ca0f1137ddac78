//! Memory that the kernel zeroes in a forked child.
//!
//! What belongs to one process lives here, and zero means "nothing yet": a
//! child finds what a fresh process finds, whichever call made it (fork,
//! `_Fork`, clone, clone3), and nobody has to notice that it was made.
#![allow(unsafe_code)]

use core::ptr::{self, NonNull};
use core::sync::atomic::{
    AtomicU32, AtomicU64,
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
    /// Maps zeroed memory that is wiped at fork, where there is fork.
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

    /// Marks the memory of the value again, in case the mark was lost: CRIU before
    /// 4.2 restores the memory of a process without it. Where the kernel refuses,
    /// the memory stays as it is.
    fn mark_again(&'static self) {
        // SAFETY: each value is a mapping of its own (`Wiped::map`).
        unsafe { sys::mark_wiped(NonNull::from(self).cast(), size_of::<Self>()) };
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

impl Lent for VdsoState {
    unsafe fn clear(&self) {
        VdsoState::clear(self);
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

    /// Marks the memory of the value again, if there is one.
    pub(crate) fn mark_again(&self) {
        if let Some(value) = self.get() {
            value.mark_again();
        }
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

/// A wiped value that one borrower after the other uses.
pub(crate) trait Lent: Wiped {
    /// Makes it what a new one is.
    ///
    /// # Safety
    ///
    /// Nobody uses the value.
    unsafe fn clear(&self);
}

/// As many as a word has bits.
const GROUP: usize = u64::BITS as usize;

/// Wiped values that are lent to threads and to generators.
///
/// They are mapped 64 at a time and never unmapped, so that any thread may
/// reach all of them at any time ([`WipedSlab::iter`]), and most new threads
/// cost no mapping.
///
/// **A thread does not give its value back.** To be called when a thread ends, a
/// function has to be registered, which allocates, takes the libc's locks, and
/// leaves the libc with an address that is gone once this library is unloaded.
/// Instead the slab remembers the thread's number. When all mapped values are
/// lent, it asks the kernel which of those threads are gone.
pub(crate) struct WipedSlab<T: Lent, const GROUPS: usize>([Group<T>; GROUPS]);

struct Group<T: Wiped> {
    values: WipedCell<[T; GROUP]>,
    /// A bit for each value that is lent. In ordinary memory: after a fork the
    /// values of the parent's other threads stay lent, for this process cannot
    /// tell them from that of the thread which forked. Acquire and release: what
    /// the last borrower wrote comes before what the next one does.
    lent: AtomicU64,
    /// To whom each value is lent, a [`Loan`]; or 0: it is kept until it is given
    /// back. In wiped memory, for the loans of a parent end with its threads.
    /// Release and acquire, as `lent`.
    loans: WipedCell<[AtomicU64; GROUP]>,
}

/// Who borrows a value, and when it ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Borrower {
    /// The calling thread, until it ends.
    Thread,
    /// An object, until [`WipedSlab::take_back`].
    Object,
}

/// Why nothing was lent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no wiped memory, or all of it is lent.
    None,
    /// The process shares the memory of the one that it was made by, or its
    /// thread is not known to the libc: what it borrows could never be taken
    /// back.
    NotAtHome,
}

/// A thread, its process, and a number: of 22, 22 and 20 bits, as Linux has at
/// most 2^22 of both (`PID_MAX_LIMIT`).
///
/// The process, because a handler may fork before the loan is stored: the child
/// stores its parent's, and then keeps the value. The number, because of two
/// threads that find the borrower gone, one may do so after the other lent the
/// value anew, to a thread with the same number.
#[derive(Clone, Copy)]
struct Loan(u64);

/// The calling thread, where it is known to the libc as the kernel knows it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Caller {
    process: u32,
    thread: u32,
}

impl Caller {
    /// The process first: a handler that forks in between leaves a child with its
    /// parent's process and its own thread, which is no loan that could be over.
    fn new() -> Option<Self> {
        let process = sys::pid();
        let thread = sys::thread_at_home()?.get();
        Some(Self { process, thread })
    }
}

impl Loan {
    const BITS: u32 = 22;
    const MASK: u64 = (1 << Self::BITS) - 1;

    fn new(Caller { process, thread }: Caller) -> Self {
        /// Relaxed: only a count.
        static LOANS: AtomicU32 = AtomicU32::new(0);
        let number = u64::from(LOANS.fetch_add(1, Relaxed)) << (2 * Self::BITS);
        let process = (u64::from(process) & Self::MASK) << Self::BITS;
        Self(number | process | u64::from(thread))
    }

    /// Whether its thread was one of the caller's process, and is gone; or had the
    /// caller's number, which is borrowing because it has nothing.
    fn is_over(self, caller: Caller, is_borrowing: bool) -> bool {
        let thread = (self.0 & Self::MASK) as u32;
        let process = (self.0 >> Self::BITS & Self::MASK) as u32;
        thread != 0
            && process == caller.process
            && (is_borrowing && thread == caller.thread || sys::is_gone(process, thread))
    }
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

    /// Lends a value, which is as a new one.
    pub(crate) fn lend(&self, borrower: Borrower) -> Result<&'static T, Refusal> {
        // The very first value is never taken back from a thread: a process that has
        // only one need not ask for its number.
        if self.0[0].lent.load(Relaxed) & 1 == 0 {
            let values = self.0[0].values.get_or_map().ok_or(Refusal::None)?;
            if self.0[0].lent.fetch_or(1, Acquire) & 1 == 0 {
                return Ok(&values[0]);
            }
        }
        let caller = Caller::new();
        let is_thread = borrower == Borrower::Thread;
        let owner = match is_thread {
            true => Some(caller.ok_or(Refusal::NotAtHome)?),
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
        // Not where the kernel does not know the caller itself by these numbers: in a
        // process that shares this memory, or where a sandbox answers.
        if let Some(caller) = caller
            && !sys::is_gone(caller.process, caller.thread)
        {
            for group in mapped() {
                group.take_back_from_ended(caller, is_thread);
            }
        }
        let free = mapped().map(|group| group.lent.load(Relaxed).count_zeros());
        // More are mapped unless this was worth the calls that it took.
        if free.sum::<u32>() < GROUP as u32 / 4
            && let Some(group) = self.0.iter().find(|group| group.values.get().is_none())
        {
            group.values.get_or_map();
        }
        mapped()
            .find_map(|group| group.lend(owner))
            .ok_or(Refusal::None)
    }

    /// Takes back a value that was lent to an object.
    ///
    /// # Safety
    ///
    /// The borrower does not use it any more.
    pub(crate) unsafe fn take_back(&self, value: &'static T) {
        for group in &self.0 {
            let Some(values) = group.values.get() else {
                return;
            };
            if let Some(index) = values.iter().position(|other| ptr::eq(other, value)) {
                // SAFETY: the caller vouches for it.
                unsafe { value.clear() };
                group.lent.fetch_and(!(1 << index), Release);
                return;
            }
        }
    }

    /// Marks the memory of all values again.
    pub(crate) fn mark_again(&self) {
        for group in &self.0 {
            group.values.mark_again();
            group.loans.mark_again();
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

impl<T: Lent> Group<T> {
    /// Lends a value of this group, which is mapped.
    fn lend(&self, owner: Option<Caller>) -> Option<&'static T> {
        let values = self.values.get()?;
        // Before anything is lent that could never be taken back.
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

    /// Takes back what threads have that are gone.
    fn take_back_from_ended(&self, caller: Caller, is_borrowing: bool) {
        let (Some(values), Some(loans)) = (self.values.get(), self.loans.get()) else {
            return;
        };
        for (index, (value, loan)) in values.iter().zip(loans).enumerate() {
            let found = loan.load(Acquire);
            if Loan(found).is_over(caller, is_borrowing)
                && loan.compare_exchange(found, 0, Acquire, Relaxed).is_ok()
            {
                // SAFETY: its thread is gone, and nobody else takes it back.
                unsafe { value.clear() };
                self.lent.fetch_and(!(1 << index), Release);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    impl Lent for AtomicU64 {
        unsafe fn clear(&self) {
            self.store(0, Relaxed);
        }
    }

    type Slab = WipedSlab<AtomicU64, 8>;

    const THREADS: usize = 150;

    /// The values that so many threads have at once, each of which was as new.
    fn lend_to_threads(slab: &Slab) -> BTreeSet<usize> {
        let all_have = Barrier::new(THREADS);
        let borrow = || {
            let value = slab.lend(Borrower::Thread).ok().expect("a value");
            assert_eq!(value.swap(1, Relaxed), 0, "not as a new one");
            all_have.wait();
            (
                ptr::from_ref(value).addr(),
                Caller::new().expect("a thread"),
            )
        };
        let all = thread::scope(|scope| {
            let threads = [(); THREADS].map(|()| scope.spawn(borrow));
            threads.map(|thread| thread.join().expect("no panic"))
        });
        // The kernel knows a thread a little longer than `join` waits for it.
        for (_, borrower) in &all {
            while !sys::is_gone(borrower.process, borrower.thread) {
                thread::yield_now();
            }
        }
        all.map(|(value, _)| value).into()
    }

    #[test]
    fn what_a_thread_has_is_lent_again_only_when_the_thread_is_gone() {
        let slab = Slab::new();
        if slab.lend(Borrower::Object).is_err() {
            return; // There is no wiped memory here.
        }
        let mut all = BTreeSet::new();
        for _ in 0..20 {
            let values = lend_to_threads(&slab);
            assert_eq!(values.len(), THREADS);
            all.extend(values);
        }
        // Of 3000 threads, 150 at once.
        assert!(all.len() <= 3 * GROUP, "{}", all.len());
    }

    #[test]
    fn what_an_object_has_is_lent_again_only_when_it_was_taken_back() {
        let slab = Slab::new();
        let Ok(first) = slab.lend(Borrower::Object) else {
            return;
        };
        let others: Vec<_> = (1..8 * GROUP)
            .map(|_| slab.lend(Borrower::Object).ok().expect("a value"))
            .collect();
        assert!(!others.iter().any(|other| ptr::eq(*other, first)));
        assert!(slab.lend(Borrower::Object).err() == Some(Refusal::None));
        first.store(1, Relaxed);
        // SAFETY: not used from here on.
        unsafe { slab.take_back(first) };
        let again = slab.lend(Borrower::Object).ok().expect("a value");
        assert!(ptr::eq(again, first));
        assert_eq!(again.load(Relaxed), 0);
    }
}
