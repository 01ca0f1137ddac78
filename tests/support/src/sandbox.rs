//! Filters of system calls for scenarios. A scenario is left out if its emulator has no such
//! filters.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use seccompiler::{SeccompAction, apply_filter};

use crate::harness::{is_emulated, leave_out};
use crate::seccomp::filter;

/// Puts a filter over the calling thread that does `action` to `calls`.
pub fn confine(calls: &[libc::c_long], action: SeccompAction) {
    enter(calls, action, SeccompAction::Allow);
}

/// Puts a filter over the process that kills it at any call that is not among `calls`.
pub fn allow_only(calls: &[libc::c_long]) {
    enter(calls, SeccompAction::Allow, SeccompAction::KillProcess);
}

/// Puts a filter over the calling thread that answers `calls` with `errno`.
pub fn refuse(calls: &[libc::c_long], errno: i32) {
    confine(calls, SeccompAction::Errno(errno as u32));
}

/// Puts a filter over the calling thread that answers getrandom(2) with `EPERM`.
pub fn refuse_getrandom() {
    refuse(&[libc::SYS_getrandom], libc::EPERM);
}

fn enter(calls: &[libc::c_long], action: SeccompAction, otherwise: SeccompAction) {
    if is_emulated() && calls.contains(&libc::SYS_getrandom) && !DEVICE_ANSWERS.load(Relaxed) {
        leave_out("RNDGETENTCNT");
    }
    let Some(program) = filter(calls, action, otherwise) else {
        leave_out("filter for this architecture");
    };
    let applied = apply_filter(&program);
    // The filter may refuse a call that frees memory.
    std::mem::forget(program);
    match applied {
        Err(seccompiler::Error::Seccomp(error)) if error.raw_os_error() == Some(libc::ENOSYS) => {
            leave_out("seccomp(2)")
        }
        result => result.expect("a filter"),
    }
}

/// Whether /dev/urandom answered RNDGETENTCNT before the scenario began. Some emulators do not
/// have this request, by which the crate asks whether the kernel's generator is initialised.
static DEVICE_ANSWERS: AtomicBool = AtomicBool::new(false);

/// Asks the device under an emulator, before the scenario refuses calls.
pub(crate) fn begin() {
    DEVICE_ANSWERS.store(is_emulated() && device_answers(), Relaxed);
}

fn device_answers() -> bool {
    File::open("/dev/urandom").is_ok_and(|device| {
        // RNDGETENTCNT is `_IOR('R', 0, int)` in linux/random.h.
        let mut bits = 0;
        // SAFETY: the pointer leads to an int.
        unsafe { libc::ioctl(device.as_raw_fd(), 0x8004_5200_u32 as _, &raw mut bits) == 0 }
    })
}
