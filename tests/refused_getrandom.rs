//! A sandbox that refuses getrandom(2), on architectures for which `seccompiler`, and so the
//! scenarios, have no filter.
//!
//! On powerpc the vDSO's getrandom returns a positive errno, which looks like a length: 1 for
//! EPERM, and 38 for ENOSYS. If the crate took it for a length, the rest of a UUID would be
//! what was in memory before.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::thread;

use fork_safe_uuid::{ErrorKind, Generator, SystemSource, status};

/// Makes the kernel answer `call` with `errno` in this thread from now on.
fn refuse(call: libc::c_long, errno: i32) {
    let instruction = |code: u32, yes, no, k| libc::sock_filter {
        code: code as u16,
        jt: yes,
        jf: no,
        k,
    };
    let errno = libc::SECCOMP_RET_ERRNO | errno as u32;
    let mut program = [
        // The number of the call is the first word of the data that a filter sees.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            call as u32,
        ),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, errno),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the pointer leads to a filter.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(
            libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const filter),
            0
        );
    }
}

/// Asserts that no UUID has bytes of memory if getrandom(2) is refused with `errno`.
fn assert_all_are_whole(errno: i32) {
    let mut ids = BTreeSet::new();
    let mut make = |count: usize| {
        for _ in 0..count {
            let id = Generator::unbuffered().new_v4();
            // 122 fair bits have fewer than 20 ones once in 10^14.
            assert!(id.as_u128().count_ones() >= 20, "{id} is not random");
            assert!(ids.insert(id), "{id} twice");
        }
    };
    // The vDSO's function has random bytes ready after these, and uses them up later.
    make(100);
    assert_eq!(status().source(), Some(SystemSource::Kernel));
    refuse(libc::SYS_getrandom, errno);
    make(1000);
    thread::scope(|scope| scope.spawn(|| make(1000)).join()).expect("no panic");
    assert_eq!(status().source(), Some(SystemSource::Device));
    for call in [libc::SYS_openat, libc::SYS_pread64] {
        refuse(call, libc::EACCES);
    }
    // A new thread has nothing ready.
    let last = thread::spawn(|| Generator::unbuffered().try_new_v4()).join();
    let error = last.expect("no panic").expect_err("no entropy");
    assert_eq!(error.kind(), ErrorKind::NoSource);
}

#[test]
fn each_uuid_is_whole_whatever_errno_refuses_getrandom() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        // A filter is in force in the thread that installs it, and in the threads that it
        // starts.
        let ended = thread::spawn(move || assert_all_are_whole(errno)).join();
        ended.expect("no panic");
    }
}
