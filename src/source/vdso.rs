//! The kernel's generator without the system call, if the vDSO has it.
//!
//! It is as good as getrandom(2): the kernel tells it of each reseeding, and zeroes its
//! state in a forked child. Unbuffered UUIDs are drawn from it. Seeds are not, because they
//! are so few that the system call costs little.

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

/// How often all states were discarded. Relaxed: a call that the program orders after
/// `reseed` sees it.
static DISCARDS: AtomicU32 = AtomicU32::new(0);

struct Lent {
    /// Whether a call is under way. It stays so for good if the thread was refused a state.
    busy: Cell<bool>,
    state: Cell<Option<&'static VdsoState>>,
    /// The value of [`DISCARDS`] when the state was last cleared.
    discards: Cell<u32>,
}

thread_local! {
    static LENT: Lent = const {
        Lent {
            busy: Cell::new(false),
            state: Cell::new(None),
            discards: Cell::new(0),
        }
    };
}

/// Fills all of `dest`, or returns `false` if the system call must be made instead.
pub(super) fn fill(dest: &mut [u8]) -> bool {
    LENT.with(|lent| {
        // [P2 claim-state] The vDSO's own flag is in the state, which a fork wipes. If a handler
        // forks and makes UUIDs in the child, they would use the state of the interrupted call.
        if lent.busy.get() {
            return false;
        }
        lent.busy.set(true);
        compiler_fence(SeqCst);
        let state = match lent.state.get() {
            Some(state) => state,
            None => match lent.ask() {
                Ok(state) => state,
                Err(Refusal::UnknownThread) => {
                    lent.busy.set(false);
                    return false;
                }
                // The thread stays busy, so that later calls do not ask again.
                Err(Refusal::NoMemory) => return false,
            },
        };
        let discards = DISCARDS.load(Relaxed);
        if discards != lent.discards.get() {
            // [P5 clear-state] A process that is restored twice has the same key in both. The
            // thread itself clears it: if another thread did, the function might use a key of
            // zeros.
            state.clear();
            lent.discards.set(discards);
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
            // A signal came, or a sandbox refuses the call. The system call will tell.
            _ => return false,
        }
    }
    true
}

/// Discards all states: each gets a new key at its next use.
pub(super) fn reseed() {
    DISCARDS.fetch_add(1, Relaxed);
}

pub(super) fn mark_again() {
    // [P2 mark-states] CRIU before 4.2 loses the mark, as that of the pool's pages.
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
