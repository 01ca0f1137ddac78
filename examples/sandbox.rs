//! Calls `prepare()` before a worker enters a sandbox: an empty directory as its root, and a
//! filter that refuses getrandom(2).
//!
//! ```text
//! cargo run --example sandbox
//! ```
//!
//! Two workers enter the sandbox, one of them without `prepare()`, and each makes 100,000
//! UUIDs in two threads. A third process has no descriptor left, so that its `prepare()`
//! fails. The exit status is 0 if of the two workers only the unprepared one fails, and if
//! both errors say why.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::{env, fs, thread};

use fork_safe_uuid::source::TrackedDevice;
use fork_safe_uuid::{Error, ErrorKind, Uuid};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

fn main() -> ExitCode {
    if !without_descriptors() {
        return ExitCode::FAILURE;
    }
    let jail = env::temp_dir().join(fork_safe_uuid::new_v4().to_string());
    fs::create_dir(&jail).expect("a directory");
    let outcomes = [true, false].map(|prepared| {
        // SAFETY: this process has one thread.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let passed = worker(prepared, &jail);
            // SAFETY: the worker ends without running its parent's destructors.
            unsafe { libc::_exit(i32::from(!passed)) };
        }
        let mut status = -1;
        // SAFETY: the pointer leads to an int.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        status == 0
    });
    fs::remove_dir(&jail).expect("the directory");
    ExitCode::from(u8::from(outcomes != [true, true]))
}

/// Returns whether `prepare()` fails with the expected error in a process that has no
/// descriptor left.
fn without_descriptors() -> bool {
    // SAFETY: this process has one thread, and the pointers lead to a limit and an int.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            let none = libc::rlimit {
                rlim_cur: 3,
                rlim_max: 3,
            };
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const none);
            let error = fork_safe_uuid::prepare().expect_err("no descriptor");
            println!("not prepared: {error}");
            let is_device = error.kind() == ErrorKind::Device;
            libc::_exit(i32::from(
                !(is_device && error.raw_os_error() == Some(libc::EMFILE)),
            ));
        }
        let mut status = -1;
        libc::waitpid(pid, &raw mut status, 0);
        status == 0
    }
}

fn worker(prepared: bool, jail: &std::path::Path) -> bool {
    if prepared {
        // The worker calls it after the fork, because a child needs its own descriptor. A
        // server that gets none should end here, and not enter the sandbox.
        let status = fork_safe_uuid::prepare().expect("a device in reserve");
        assert!(matches!(status.device(), TrackedDevice::Open { .. }));
        println!("prepared: {status}");
    }
    confine(jail);
    let made = [(); 2].map(|()| thread::spawn(make));
    let made = made.map(|thread| thread.join().expect("no panic"));
    match made {
        [Ok(()), Ok(())] => println!("in the sandbox: {}", fork_safe_uuid::status()),
        [Err(ref error), _] | [_, Err(ref error)] => println!("unprepared: {error}"),
    }
    made.iter().all(|made| match made {
        Ok(()) => prepared,
        Err(error) => !prepared && error.kind() == ErrorKind::NoSource,
    })
}

fn make() -> Result<(), Error> {
    let mut ids = vec![Uuid::nil(); 50_000];
    ids.iter_mut().try_for_each(|id| {
        *id = fork_safe_uuid::try_new_v4()?;
        Ok(())
    })
}

fn confine(jail: &std::path::Path) {
    let path = std::ffi::CString::new(jail.to_str().expect("text")).expect("no zero in it");
    // In a new user namespace, an ordinary user may change the root directory.
    // SAFETY: the path ends in a zero byte, and this process has one thread.
    unsafe {
        if libc::geteuid() != 0 {
            assert_eq!(libc::unshare(libc::CLONE_NEWUSER), 0, "no namespaces here");
        }
        assert_eq!(libc::chroot(path.as_ptr()), 0);
        assert_eq!(libc::chdir(c"/".as_ptr()), 0);
    }
    let filter: BpfProgram = SeccompFilter::new(
        BTreeMap::from([(libc::SYS_getrandom, vec![])]),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        env::consts::ARCH.try_into().expect("a known architecture"),
    )
    .and_then(TryInto::try_into)
    .expect("a filter");
    apply_filter(&filter).expect("seccomp");
}
