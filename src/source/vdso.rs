//! The kernel's generator without the system call, where the vDSO has it.
//!
//! It is as good as getrandom(2): the kernel says in memory that it shares with
//! the vDSO when it was reseeded, a restored virtual machine included, and
//! zeroes the state in a forked child. It serves what is handed out as it is;
//! seeds are worth a system call.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;

use crate::sys::{self, ThreadExit, VdsoState};
use crate::wipe::WipedSlab;

/// The states of 4,096 threads; more make system calls.
static STATES: WipedSlab<VdsoState, 64> = WipedSlab::new();

static EXIT: ThreadExit = ThreadExit::new();

/// The calling thread's state.
struct Lent {
    state: Cell<Option<&'static VdsoState>>,
    /// Set before a state is asked for, and for good: a handler that comes
    /// meanwhile, and a thread that was refused one or has ended, do without.
    asked: Cell<bool>,
}

thread_local! {
    static LENT: Lent = const {
        Lent {
            state: Cell::new(None),
            asked: Cell::new(false),
        }
    };
}

/// Fills all of `dest`, or returns `false` where the system call must.
pub(super) fn fill(mut dest: &mut [u8]) -> bool {
    let Some(state) = LENT.with(Lent::get) else {
        return false;
    };
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
    fn get(&self) -> Option<&'static VdsoState> {
        if self.state.get().is_none() && !self.asked.replace(true) {
            self.state.set(Self::ask());
        }
        self.state.get()
    }

    #[cold]
    fn ask() -> Option<&'static VdsoState> {
        extern "C" fn give_back(_: *mut c_void) {
            if let Some(state) = LENT.with(|lent| lent.state.take()) {
                STATES.take_back(state);
            }
        }
        let state = STATES.lend()?;
        // Not null, or the hook is not called.
        if !EXIT.call(give_back, ptr::dangling_mut::<u8>().cast()) {
            STATES.take_back(state);
            return None;
        }
        Some(state)
    }
}
