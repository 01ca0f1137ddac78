//! The loan of a wiped value, and whether it is over.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::sys;

/// The borrower of a value, and the end of its loan.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Borrower {
    /// The calling thread, until it ends.
    Thread,
    /// An object, until [`take_back`](super::WipedSlab::take_back).
    Object,
}

/// The reason why no value was lent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no wiped memory, or all of it is lent.
    None,
    /// The process shares its parent's memory, or the libc does not know the thread: its
    /// loan could never end.
    NotAtHome,
}

/// A thread, its process, and a count: of 22, 22 and 20 bits, as Linux has at most 2^22 of
/// both (`PID_MAX_LIMIT`).
///
/// The process, because a handler may fork before the loan is stored: the child stores its
/// parent's, and keeps the value. The count, because two threads may find the borrower gone,
/// one of them after the other one has lent the value to a thread with the same number.
#[derive(Clone, Copy)]
pub(super) struct Loan(pub(super) u64);

/// The calling thread, if the libc and the kernel know it by the same number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) process: u32,
    pub(super) thread: u32,
}

impl Caller {
    /// Returns the caller, or `None` where the thread runs on another one's variables.
    pub(super) fn new() -> Option<Self> {
        // The process first: a handler that forks in between leaves a child with its
        // parent's process and its own thread. Such a loan never counts as over.
        let process = sys::pid();
        let thread = sys::thread_at_home()?.get();
        Some(Self { process, thread })
    }
}

impl Loan {
    const BITS: u32 = 22;
    const MASK: u64 = (1 << Self::BITS) - 1;

    pub(super) fn new(Caller { process, thread }: Caller) -> Self {
        /// Relaxed: only a count.
        static LOANS: AtomicU32 = AtomicU32::new(0);
        let number = u64::from(LOANS.fetch_add(1, Relaxed)) << (2 * Self::BITS);
        let process = (u64::from(process) & Self::MASK) << Self::BITS;
        Self(number | process | u64::from(thread))
    }

    /// Returns whether the loan's thread was one of the caller's process and is gone. A
    /// caller that is borrowing has no value, so a loan with its number is over, too.
    pub(super) fn is_over(self, caller: Caller, is_borrowing: bool) -> bool {
        let thread = (self.0 & Self::MASK) as u32;
        let process = (self.0 >> Self::BITS & Self::MASK) as u32;
        thread != 0
            && process == caller.process
            && (is_borrowing && thread == caller.thread || sys::is_gone(process, thread))
    }
}
