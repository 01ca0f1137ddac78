//! The kernel's generator without the system call, where the vDSO has it.
//!
//! It is as good as getrandom(2): the kernel says in memory that it shares with
//! the vDSO when it was reseeded, as it is after a restore of which it is told, and
//! zeroes the state in a forked child. It serves what is handed out as it is;
//! seeds are worth a system call.

use core::cell::Cell;
use core::sync::atomic::{
    AtomicU32,
    Ordering::{Relaxed, SeqCst},
    compiler_fence,
};

use crate::sys::{self, VdsoState};
use crate::wipe::{Borrower, Refusal, WipedSlab};

/// The states of 4,096 threads; more make system calls.
static STATES: WipedSlab<VdsoState, 64> = WipedSlab::new();

/// How often all states were given up. Relaxed, as the pools' word: a call that the
/// program orders after `reseed` sees it.
static GIVEN_UP: AtomicU32 = AtomicU32::new(0);

/// The calling thread's state.
struct Lent {
    /// A call is under way; or, for good, the thread was refused a state.
    ///
    /// The function has such a flag in its state. But that is wiped in a forked
    /// child, and a handler that forks in the middle of a call and goes on to
    /// make UUIDs in the child would use the state under the interrupted call.
    busy: Cell<bool>,
    state: Cell<Option<&'static VdsoState>>,
    /// What [`GIVEN_UP`] was when the state was last as a new one.
    given_up: Cell<u32>,
}

thread_local! {
    static LENT: Lent = const {
        Lent {
            busy: Cell::new(false),
            state: Cell::new(None),
            given_up: Cell::new(0),
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
        let given_up = GIVEN_UP.load(Relaxed);
        if given_up != lent.given_up.get() {
            state.clear();
            lent.given_up.set(given_up);
        }
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

/// Gives up all states: each has a new key at its next use.
///
/// Its thread clears it, outside of the function. Cleared by another one, the
/// function might use a key of zeros.
pub(super) fn reseed() {
    GIVEN_UP.fetch_add(1, Relaxed);
}

/// Marks the memory of all states again.
pub(super) fn mark_again() {
    STATES.mark_again();
}

impl Lent {
    #[cold]
    fn ask(&self) -> Result<&'static VdsoState, Refusal> {
        let state = STATES.lend(Borrower::Thread)?;
        self.state.set(Some(state));
        Ok(state)
    }
}
