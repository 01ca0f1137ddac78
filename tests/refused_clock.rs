//! A clock that a sandbox refuses is an error. The standard library panics.
//!
//! The vDSO reads the clock without a system call, which no seccomp filter could refuse. So
//! this program defines clock_gettime(2) itself, and the linker uses its function instead of
//! the libc's.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(missing_docs)]

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use fork_safe_uuid::{ErrorKind, Uuid};

static REFUSED: AtomicBool = AtomicBool::new(false);

/// # Safety
///
/// `time` leads to a `timespec` that may be written.
// SAFETY: the function has the type of the libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(id: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    if id == libc::CLOCK_REALTIME && REFUSED.load(Relaxed) {
        // SAFETY: the pointer leads to this thread's errno.
        unsafe { *libc::__errno_location() = libc::EPERM };
        return -1;
    }
    // SAFETY: the caller promises that the pointer is valid.
    unsafe { libc::syscall(libc::SYS_clock_gettime, id, time) as libc::c_int }
}

#[test]
fn a_refused_clock_is_an_error_and_the_next_call_tries_again() {
    let node = fork_safe_uuid::random_node();
    let mut ids = [Uuid::max(); 3];
    REFUSED.store(true, Relaxed);
    for error in [
        fork_safe_uuid::try_now_v7().expect_err("refused"),
        fork_safe_uuid::try_fill_v7(&mut ids).expect_err("refused"),
        fork_safe_uuid::try_now_v6(&node).expect_err("refused"),
        fork_safe_uuid::try_now_v1(&node).expect_err("refused"),
    ] {
        assert_eq!(error.kind(), ErrorKind::Clock);
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        let cause = io::Error::from_raw_os_error(libc::EPERM);
        let text =
            format!("no timestamp: clock_gettime(2): {cause}; allow this call in the sandbox");
        assert_eq!(error.to_string(), text);
    }
    assert_eq!(ids, [Uuid::nil(); 3]);
    // Version 4 needs only entropy. The clock is a part of the hedge, which works without it.
    fork_safe_uuid::reseed();
    assert_eq!(fork_safe_uuid::new_v4().get_version_num(), 4);
    // The control: the standard library panics.
    assert!(std::panic::catch_unwind(std::time::SystemTime::now).is_err());
    REFUSED.store(false, Relaxed);
    assert_eq!(fork_safe_uuid::now_v7().get_version_num(), 7);
    assert_eq!(fork_safe_uuid::now_v1(&node).get_version_num(), 1);
}
