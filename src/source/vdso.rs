//! The kernel's generator without the system call, where the vDSO has it.
//!
//! It is as good as getrandom(2): the kernel says in memory that it shares with
//! the vDSO when it was reseeded, a restored virtual machine included, and
//! zeroes the state in a forked child. It serves what is handed out as it is;
//! seeds are worth a system call.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{Ordering::SeqCst, compiler_fence};

use crate::sys::{self, ThreadExit, VdsoState};
use crate::wipe::WipedSlab;

/// The states of 4,096 threads; more make system calls.
static STATES: WipedSlab<VdsoState, 64> = WipedSlab::new();

static EXIT: ThreadExit = ThreadExit::new();

/// The calling thread's state.
struct Lent {
    /// A call is under way; or, for good, the thread was refused a state or has
    /// ended.
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
        let Some(state) = lent.state.get().or_else(|| lent.ask()) else {
            // Stays busy: not asked again at each call.
            return false;
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
            Some(Ok(filled @ 1..)) => dest = &mut dest[filled..],
            // A signal, or the refusal of a sandbox: the system call will tell.
            _ => return false,
        }
    }
    true
}

impl Lent {
    #[cold]
    fn ask(&self) -> Option<&'static VdsoState> {
        extern "C" fn give_back(_: *mut c_void) {
            LENT.with(|lent| {
                lent.busy.set(true);
                compiler_fence(SeqCst);
                if let Some(state) = lent.state.take() {
                    STATES.take_back(state);
                }
            });
        }
        let state = STATES.lend()?;
        // Not null, or the hook is not called.
        if !EXIT.call(give_back, ptr::dangling_mut::<u8>().cast()) {
            STATES.take_back(state);
            return None;
        }
        self.state.set(Some(state));
        Some(state)
    }
}
