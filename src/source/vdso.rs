//! The kernel's generator without the system call, where the vDSO has it.
//!
//! It is as good as getrandom(2): the kernel tells it of each reseeding, and zeroes its
//! state in a forked child. Unbuffered UUIDs come from here; a seed is worth a system call.

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

/// How often all states were given up. Relaxed: a call that the program orders after
/// `reseed` sees it.
static GIVEN_UP: AtomicU32 = AtomicU32::new(0);

struct Lent {
    /// A call is under way; or the thread was refused a state, for good.
    busy: Cell<bool>,
    state: Cell<Option<&'static VdsoState>>,
    /// What [`GIVEN_UP`] was when the state was last cleared.
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
        // [P2 claim-state] The function has such a flag in its state, which a fork wipes:
        // a handler that forks and makes UUIDs in the child would use the state under the
        // interrupted call.
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
                // It stays busy, so that later calls do not ask again.
                Err(Refusal::None) => return false,
            },
        };
        let given_up = GIVEN_UP.load(Relaxed);
        if given_up != lent.given_up.get() {
            // [P5 clear-state] A process that is restored twice has the same key in both. Its
            // own thread clears it: under another one, the function might use a key of zeros.
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
pub(super) fn reseed() {
    GIVEN_UP.fetch_add(1, Relaxed);
}

pub(super) fn mark_again() {
    // [P2 mark-states] As the pool's pages, after a restore by CRIU before 4.2.
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
