//! The kernel's generator without the system call, where the vDSO has it.
//!
//! It is as good as getrandom(2): the kernel says in memory that it shares with
//! the vDSO when it was reseeded, a restored virtual machine included, and
//! zeroes the state in a forked child. It serves what is handed out as it is;
//! seeds are worth a system call.

use core::cell::Cell;
use core::sync::atomic::{Ordering::SeqCst, compiler_fence};

use crate::sys::{self, VdsoState};
use crate::wipe::{Borrower, Refusal, WipedSlab};

/// The states of 4,096 threads; more make system calls.
static STATES: WipedSlab<VdsoState, 64> = WipedSlab::new();

/// The calling thread's state.
struct Lent {
    /// A call is under way; or, for good, the thread was refused a state.
    ///
    /// The function has such a flag in its state. But that is wiped in a forked
    /// child, and a handler that forks in the middle of a call and goes on to
    /// make UUIDs in the child would use the state under the interrupted call.
    busy: Cell<bool>,
    state: Cell<Option<&'static VdsoState>>,
}

thread_local! {
    static LENT: Lent = const {
        Lent {
            busy: Cell::new(false),
            state: Cell::new(None),
        }
    };
}

/// Fills all of `dest`, or returns `false` where the system call must.
pub(super) fn fill(dest: &mut [u8]) -> bool {
    LENT.with(|lent| {
        if lent.busy.get() {
            return false;
        }
        lent.busy.set(true);
        compiler_fence(SeqCst);
        let state = match lent.state.get() {
            Some(state) => state,
            None => match lent.ask() {
                Ok(state) => state,
                Err(Refusal::NotAtHome) => {
                    lent.busy.set(false);
                    return false;
                }
                // Stays busy: not asked again at each call.
                Err(Refusal::None) => return false,
            },
        };
        let filled = fill_by(state, dest);
        compiler_fence(SeqCst);
        lent.busy.set(false);
        filled
    })
}

fn fill_by(state: &VdsoState, mut dest: &mut [u8]) -> bool {
    while !dest.is_empty() {
        match sys::vdso_getrandom(dest, state) {
            Some(filled @ 1..) => dest = &mut dest[filled..],
            // A signal, or the refusal of a sandbox: the system call will tell.
            _ => return false,
        }
    }
    true
}

impl Lent {
    #[cold]
    fn ask(&self) -> Result<&'static VdsoState, Refusal> {
        let state = STATES.lend(Borrower::Thread)?;
        self.state.set(Some(state));
        Ok(state)
    }
}
