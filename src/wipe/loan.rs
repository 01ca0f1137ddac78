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
    NoMemory,
    /// The libc does not know the calling thread, or the process shares its parent's memory.
    /// A loan to this thread could never end.
    UnknownThread,
}

/// A thread of 22 bits, its process of 22 bits, and a count of 20 bits. Linux has at most 2^22
/// processes and threads (`PID_MAX_LIMIT`).
///
/// - The process tells a loan of the parent: if a handler forks before the loan is stored, the
///   child stores its parent's loan, which is never over in the child.
/// - The count tells loans to equal numbers apart: two threads may find a borrower gone, and
///   one of them may lend the value to a new thread with the same number before the other one
///   takes it back.
#[derive(Clone, Copy)]
pub(super) struct Loan(pub(super) u64);

/// The calling thread, which the libc and the kernel know by the same number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) process: u32,
    pub(super) thread: u32,
}

impl Caller {
    /// Returns the caller, or `None` if it runs with another thread's variables.
    pub(super) fn new() -> Option<Self> {
        // The process first: if a handler forks in between, the child has its parent's process
        // and its own thread here, and such a loan is never over.
        let process = sys::pid();
        let thread = sys::known_thread()?.get();
        Some(Self { process, thread })
    }
}

impl Loan {
    const BITS: u32 = 22;
    const MASK: u64 = (1 << Self::BITS) - 1;

    pub(super) fn new(Caller { process, thread }: Caller) -> Self {
        /// Relaxed: it is only a count.
        static LOANS: AtomicU32 = AtomicU32::new(0);
        let number = u64::from(LOANS.fetch_add(1, Relaxed)) << (2 * Self::BITS);
        let process = (u64::from(process) & Self::MASK) << Self::BITS;
        Self(number | process | u64::from(thread))
    }

    /// Returns whether the loan's thread belonged to the caller's process and is gone. A caller
    /// that is borrowing has no value yet, so a loan to its own number is over, too.
    pub(super) fn is_over(self, caller: Caller, is_borrowing: bool) -> bool {
        let thread = (self.0 & Self::MASK) as u32;
        let process = (self.0 >> Self::BITS & Self::MASK) as u32;
        thread != 0
            && process == caller.process
            && (is_borrowing && thread == caller.thread || sys::is_gone(process, thread))
    }
}
