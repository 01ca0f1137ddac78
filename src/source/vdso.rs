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

/// The states of 4,096 threads. Further threads make system calls.
static STATES: WipedSlab<VdsoState, 64> = WipedSlab::new();

/// How often all states were discarded. Relaxed: a call that the program orders after
/// `reseed` sees it.
static DISCARDS: AtomicU32 = AtomicU32::new(0);

struct ThreadState {
    /// Whether a call is under way. It stays set for good if the thread was refused a state.
    busy: Cell<bool>,
    state: Cell<Option<&'static VdsoState>>,
    /// The value of [`DISCARDS`] when the state was last cleared.
    discards: Cell<u32>,
}

thread_local! {
    static THREAD: ThreadState = const {
        ThreadState {
            busy: Cell::new(false),
            state: Cell::new(None),
            discards: Cell::new(0),
        }
    };
}

/// Fills all of `dest`, or returns `false` if the system call must be made instead.
pub(super) fn fill(dest: &mut [u8]) -> bool {
    THREAD.with(|thread| {
        // [P2 claim-state] The vDSO's own flag is in the state, which a fork wipes. If a handler
        // forks, its calls in the child would use the state of the interrupted call.
        if thread.busy.get() {
            return false;
        }
        thread.busy.set(true);
        compiler_fence(SeqCst);
        let state = match thread.state.get() {
            Some(state) => state,
            None => match thread.ask() {
                Ok(state) => state,
                Err(Refusal::UnknownThread) => {
                    thread.busy.set(false);
                    return false;
                }
                // The thread stays busy, so that later calls do not ask again.
                Err(Refusal::NoMemory) => return false,
            },
        };
        let discards = DISCARDS.load(Relaxed);
        if discards != thread.discards.get() {
            // [P5 clear-state] Both copies of a process that is restored twice have the same
            // key. The thread itself clears it: if another thread did, the function might use a
            // key of zeros.
            state.clear();
            thread.discards.set(discards);
        }
        let filled = fill_from_state(state, dest);
        compiler_fence(SeqCst);
        thread.busy.set(false);
        filled
    })
}

fn fill_from_state(state: &VdsoState, mut dest: &mut [u8]) -> bool {
    while !dest.is_empty() {
        match sys::vdso_getrandom(dest, state) {
            Some(filled @ 1..) => dest = &mut dest[filled..],
            // A signal came, or a sandbox refuses the call. The system call will tell.
            _ => return false,
        }
    }
    true
}

/// Maps a state for the calling thread, if the vDSO has getrandom.
pub(crate) fn prepare() {
    THREAD.with(|thread| {
        if thread.busy.get() || thread.state.get().is_some() {
            return;
        }
        thread.busy.set(true);
        compiler_fence(SeqCst);
        // Without a state, system calls are made.
        let _ = thread.ask();
        compiler_fence(SeqCst);
        thread.busy.set(false);
    });
}

/// Discards all states: each gets a new key at its next use.
pub(super) fn reseed() {
    DISCARDS.fetch_add(1, Relaxed);
}

pub(super) fn mark_again() {
    // [P2 mark-states] CRIU before 4.2 loses the mark, as that of the pool's pages.
    STATES.mark_again();
}

impl ThreadState {
    #[cold]
    fn ask(&self) -> Result<&'static VdsoState, Refusal> {
        let state = STATES.lend(Borrower::Thread)?;
        self.state.set(Some(state));
        Ok(state)
    }
}
