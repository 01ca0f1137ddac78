//! Sandboxes that refuse getrandom(2) from the start or later, and the calls that the crate
//! makes instead.

use std::fs::File;

use fork_safe_uuid::{ErrorKind, Generator, SystemSource};
use support::descriptors::{descriptors, device_number};
use support::memory;
use support::namespaces::may_unshare;
use support::ok;
use support::process::{fork, in_copy, pipe};
use support::sandbox::{refuse, refuse_getrandom};
use support::seccomp::{SYS_MMAP, SYS_OPEN};
use support::text_of;
use support::uuids::{assert_all_good, make};

mod prepare;

use prepare::*;

// In one list, so that all names begin with `sandboxes::` and no module's name follows.
support::scenarios![
    getrandom_refused_with_eperm_from_the_start,
    getrandom_refused_with_enosys_from_the_start,
    getrandom_refused_after_the_first_thousand_uuids,
    another_failure_of_getrandom_is_an_error_that_names_it,
    prepared_before_a_chroot_a_process_makes_a_million_uuids {
        possible: may_unshare
    },
    unprepared_in_a_chroot_the_error_names_both_failures {
        possible: may_unshare
    },
    no_descriptor_allowed_is_an_error_that_is_not_remembered,
    every_descriptor_in_use_is_an_error_that_is_not_remembered,
    the_error_names_each_refused_call,
    where_ioctl_is_refused_poll_waits_for_entropy,
    where_statx_is_refused_fstat_replaces_it {
        possible: fstat_is_no_statx
    },
    prepare_without_a_free_descriptor_fails_and_says_so,
    status_tells_that_the_descriptor_of_prepare_was_closed,
    under_exactly_the_documented_filter_a_prepared_process_lives,
    without_a_call_of_the_documented_filter_the_process_is_killed,
    without_memory_for_a_pool_uuids_are_made,
    unbuffered_makes_no_system_call {
        possible: vdso_has_getrandom
    },
];

#[track_caller]
fn assert_served_by(source: SystemSource) {
    assert_eq!(fork_safe_uuid::status().source(), Some(source));
}

fn getrandom_refused_with_eperm_from_the_start() {
    refused_from_the_start(libc::EPERM);
}

fn getrandom_refused_with_enosys_from_the_start() {
    refused_from_the_start(libc::ENOSYS);
}

fn refused_from_the_start(errno: i32) {
    refuse(&[libc::SYS_getrandom], errno);
    let mut ids = make(100_000);
    assert_served_by(SystemSource::Device);
    ids.extend(in_copy(fork, || make(100_000)));
    let unbuffered = Generator::unbuffered();
    ids.extend((0..1000).map(|_| unbuffered.new_v4()));
    assert_all_good(&ids);
    assert!(device_number().is_some());
}

fn getrandom_refused_after_the_first_thousand_uuids() {
    let mut ids = make(1000);
    assert_served_by(SystemSource::Kernel);
    refuse_getrandom();
    ids.extend(make(100_000));
    assert_served_by(SystemSource::Device);
    assert_eq!(fork_safe_uuid::status().missed_reseeds(), 0);
    ids.extend(in_copy(fork, || make(1000)));
    assert_all_good(&ids);
}

fn another_failure_of_getrandom_is_an_error_that_names_it() {
    refuse(&[libc::SYS_getrandom], libc::EIO);
    let error = fork_safe_uuid::try_new_v4().expect_err("no entropy");
    assert_eq!(error.kind(), ErrorKind::Kernel);
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    assert_eq!(
        error.to_string(),
        format!("no entropy source: getrandom(2): {}", text_of(libc::EIO))
    );
    assert_eq!(device_number(), None);
}

fn limit_descriptors(limit: libc::rlim_t) {
    // SAFETY: the pointer leads to a limit in each call.
    unsafe {
        let mut limits = std::mem::zeroed::<libc::rlimit>();
        ok(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limits));
        limits.rlim_cur = limit.min(limits.rlim_max);
        ok(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limits));
    }
}

#[track_caller]
fn assert_no_descriptor_left() {
    for _ in 0..2 {
        let error = fork_safe_uuid::try_new_v4().expect_err("no descriptor");
        assert_eq!(error.kind(), ErrorKind::NoSource);
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        let expected = format!("/dev/urandom: openat(2): {}; free a", text_of(libc::EMFILE));
        assert!(error.to_string().contains(&expected), "{error}");
    }
}

fn no_descriptor_allowed_is_an_error_that_is_not_remembered() {
    refuse_getrandom();
    limit_descriptors(0);
    assert_no_descriptor_left();
    limit_descriptors(1000);
    assert_all_good(&make(1000));
}

fn every_descriptor_in_use_is_an_error_that_is_not_remembered() {
    refuse_getrandom();
    limit_descriptors(64);
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    assert_no_descriptor_left();
    files.pop();
    assert_all_good(&make(1000));
}

/// Returns the text of the error in a sandbox that refuses `call` and getrandom(2).
fn text_without(call: libc::c_long, before: impl FnOnce()) -> String {
    let (mut output, mut input) = pipe();
    in_copy(fork, || {
        before();
        refuse_getrandom();
        refuse(&[call], libc::EACCES);
        // A generator with a pool would continue with its key.
        let text = Generator::unbuffered()
            .try_new_v4()
            .expect_err("no entropy")
            .to_string();
        std::io::Write::write_all(&mut input, text.as_bytes()).expect("a pipe");
        vec![]
    });
    drop(input);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut output, &mut text).expect("a pipe");
    text
}

fn the_error_names_each_refused_call() {
    let nothing = || {};
    // A copy does not use the descriptor that it inherits, and opens another one.
    let opened = || drop(make(1));
    let closed_stdio = || {
        for number in 0..3 {
            // SAFETY: the scenario does not use them: panics are reported by another
            // descriptor.
            ok(unsafe { libc::close(number) });
        }
    };
    let refused = text_of(libc::EACCES);
    for (text, call) in [
        (text_without(libc::SYS_statx, nothing), "statx(2)"),
        (text_without(libc::SYS_openat, nothing), "openat(2)"),
        (text_without(libc::SYS_fcntl, closed_stdio), "fcntl(2)"),
        (text_without(libc::SYS_pread64, nothing), "pread(2)"),
        (text_without(libc::SYS_pread64, opened), "pread(2)"),
    ] {
        let expected = format!("; /dev/urandom: {call}: {refused}; call prepare()");
        assert!(text.contains(&expected), "{call}: {text}");
    }
}

/// A sandbox refuses ioctl(2) with `EPERM`, and an emulator that does not know the request
/// with `ENOTTY`.
fn where_ioctl_is_refused_poll_waits_for_entropy() {
    for errno in [libc::ENOTTY, libc::EPERM] {
        in_copy(fork, || {
            refuse_getrandom();
            refuse(&[libc::SYS_ioctl], errno);
            let ids = make(1000);
            assert_served_by(SystemSource::Device);
            // poll(2) waits on /dev/random, which must be closed again.
            assert_eq!(
                descriptors()
                    .values()
                    .filter(|name| *name == "/dev/random")
                    .count(),
                0
            );
            ids
        });
    }
    // The control: if poll(2) is refused, too, there is no UUID.
    in_copy(fork, || {
        refuse_getrandom();
        refuse(&[libc::SYS_ioctl, libc::SYS_ppoll], libc::EPERM);
        let error = fork_safe_uuid::try_new_v4().expect_err("no entropy");
        assert!(
            error.to_string().contains("/dev/random: ppoll(2): "),
            "{error}"
        );
        vec![]
    });
}

/// Returns whether fstat(2) is another call than statx(2), which a 32-bit glibc uses for it.
fn fstat_is_no_statx() -> bool {
    cfg!(not(target_pointer_width = "32"))
}

/// Kernels before Linux 4.11 do not have statx(2), and container runtimes of that time refuse
/// it.
fn where_statx_is_refused_fstat_replaces_it() {
    for errno in [libc::ENOSYS, libc::EPERM] {
        in_copy(fork, || {
            refuse_getrandom();
            refuse(&[libc::SYS_statx], errno);
            let ids = make(10_000);
            assert_served_by(SystemSource::Device);
            ids
        });
    }
}

fn without_memory_for_a_pool_uuids_are_made() {
    // The scenario itself needs memory, which it gets before mmap(2) is refused.
    drop(vec![0_u8; 100_000]);
    in_copy(fork, || {
        let mut ids = vec![uuid::Uuid::nil(); 100];
        refuse(&[SYS_MMAP], libc::ENOMEM);
        ids.fill_with(fork_safe_uuid::new_v4);
        // Nor is there memory for the state of the vDSO's function.
        ids[0] = Generator::unbuffered().new_v4();
        assert!(!fork_safe_uuid::status().pooled());
        ids
    });
}

/// Returns whether the kernel provides getrandom in the vDSO, and the crate knows how to call
/// it on this architecture.
pub fn vdso_has_getrandom() -> bool {
    let known = cfg!(all(
        any(
            target_arch = "x86_64",
            target_arch = "aarch64",
            target_arch = "riscv64"
        ),
        target_pointer_width = "64"
    ));
    let image = memory::vdso().unwrap_or_default();
    let has = |name: &[u8]| image.windows(name.len()).any(|bytes| bytes == name);
    known && (has(b"\0__vdso_getrandom\0") || has(b"\0__kernel_getrandom\0"))
}

fn unbuffered_makes_no_system_call() {
    let unbuffered = Generator::unbuffered();
    let mut ids = vec![unbuffered.new_v4()];
    refuse(
        &[libc::SYS_getrandom, libc::SYS_openat, SYS_OPEN],
        libc::EPERM,
    );
    ids.extend((0..1000).map(|_| unbuffered.new_v4()));
    assert_all_good(&ids);
    assert_served_by(SystemSource::Kernel);
    // In a child the state of the vDSO's function is wiped, and only the system call can make
    // another one.
    let child = in_copy(fork, || {
        let refused = unbuffered.try_new_v4().map_err(|error| error.kind());
        assert_eq!(refused, Err(ErrorKind::NoSource));
        vec![]
    });
    assert!(child.is_empty());
}
