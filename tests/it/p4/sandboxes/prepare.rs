//! `prepare()` before a sandbox, and what happens without it.

use std::fs::File;
use std::hint::black_box;

use fork_safe_uuid::source::TrackedDevice;
use fork_safe_uuid::{ErrorKind, Generator, SystemSource, Uuid};
use support::descriptors::device_number;
use support::harness::turns;
use support::namespaces::unshare;
use support::process::status_of;
use support::sandbox::{allow_only, refuse, refuse_getrandom};
use support::seccomp::SYS_OPEN;
use support::uuids::{assert_all_good, make};
use support::{ok, text_of};

use super::{assert_served_by, limit_descriptors};

/// Enters an empty directory as the root, and refuses getrandom(2) and the opening of files.
fn enter_empty_chroot() {
    let directory = support::tempfile::tempdir().expect("a directory").keep();
    unshare(libc::CLONE_NEWNS);
    std::os::unix::fs::chroot(&directory).expect("root in a namespace");
    std::env::set_current_dir("/").expect("the empty directory");
    refuse(
        &[libc::SYS_getrandom, libc::SYS_openat, SYS_OPEN],
        libc::EPERM,
    );
}

pub fn prepared_before_a_chroot_a_process_makes_a_million_uuids() {
    let status = fork_safe_uuid::prepare().expect("all is there");
    assert!(status.device_is_open() && status.pooled());
    enter_empty_chroot();
    assert!(File::open("/dev/urandom").is_err());
    assert_all_good(&make(turns(1_000_000)));
    assert_served_by(SystemSource::Device);
    assert_eq!(fork_safe_uuid::status().missed_reseeds(), 0);
}

fn text_unprepared() -> String {
    format!(
        "no entropy source: getrandom(2): {}; /dev/urandom: statx(2): {}; \
         call prepare() in this process before it enters a chroot or sandbox",
        text_of(libc::EPERM),
        text_of(libc::ENOENT),
    )
}

pub fn unprepared_in_a_chroot_the_error_names_both_failures() {
    enter_empty_chroot();
    for _ in 0..2 {
        let error = fork_safe_uuid::try_new_v4().expect_err("no entropy");
        assert_eq!(error.kind(), ErrorKind::NoSource);
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        assert_eq!(error.to_string(), text_unprepared());
    }
    let panic = std::panic::catch_unwind(fork_safe_uuid::new_v4).expect_err("no entropy");
    let text = panic.downcast_ref::<String>().expect("a text");
    assert_eq!(*text, text_unprepared());
    // If prepare() was called and failed, the text does not advise to call it.
    let prepared = fork_safe_uuid::prepare().expect_err("none").to_string();
    let advice = "; prepare() failed in this process: look at the error that it returned";
    assert!(prepared.ends_with(advice), "{prepared}");
}

pub fn prepare_without_a_free_descriptor_fails_and_says_so() {
    limit_descriptors(0);
    let error = fork_safe_uuid::prepare().expect_err("no device in reserve");
    assert_eq!(error.kind(), ErrorKind::Device);
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    let full = text_of(libc::EMFILE);
    assert_eq!(
        error.to_string(),
        format!(
            "no device in reserve: /dev/urandom: openat(2): {full}; \
             free a descriptor or raise the limit"
        )
    );
    // prepare() fills the pool even if it fails.
    assert!(fork_safe_uuid::status().pooled());
    assert_eq!(fork_safe_uuid::status().device(), TrackedDevice::None);
    refuse_getrandom();
    let error = Generator::new().try_new_v4().expect_err("no source");
    assert!(!error.to_string().contains("call prepare()"), "{error}");
    limit_descriptors(1000);
    fork_safe_uuid::prepare().expect("a free descriptor");
    assert_all_good(&make(1000));
}

pub fn status_tells_that_the_descriptor_of_prepare_was_closed() {
    let status = fork_safe_uuid::prepare().expect("all is there");
    let number = device_number().expect("open");
    let process = std::process::id();
    assert_eq!(status.device(), TrackedDevice::Open { number, process });
    let text = format!("; device: descriptor {number}, opened by process {process};");
    assert!(status.to_string().contains(&text), "{status}");
    // SAFETY: nothing but the crate uses the number.
    ok(unsafe { libc::close(number) });
    let status = fork_safe_uuid::status();
    assert_eq!(status.device(), TrackedDevice::Lost { number });
    assert!(!status.device_is_open());
    let text = format!("; device: descriptor {number} was closed or replaced;");
    assert!(status.to_string().contains(&text), "{status}");
    refuse_getrandom();
    refuse(&[libc::SYS_openat], libc::EPERM);
    let error = Generator::unbuffered().try_new_v4().expect_err("no source");
    let advice = "openat(2): Operation not permitted (os error 1); the descriptor that prepare() \
                  opened is gone: close no descriptors that you did not open";
    assert!(error.to_string().ends_with(advice), "{error}");
}

/// The calls that a prepared process makes, as the documentation of `prepare` lists them.
const DOCUMENTED: [libc::c_long; 4] = [
    libc::SYS_statx,
    libc::SYS_pread64,
    libc::SYS_getpid,
    SYS_CLOCK_GETTIME,
];

#[cfg(not(target_pointer_width = "32"))]
const SYS_CLOCK_GETTIME: libc::c_long = libc::SYS_clock_gettime;
/// `clock_gettime64`, which has this number on each 32-bit architecture (Linux 5.1).
#[cfg(target_pointer_width = "32")]
const SYS_CLOCK_GETTIME: libc::c_long = 403;

/// Makes UUIDs in a prepared process to which getrandom(2) is refused, and which is killed at
/// any call that is not `allowed`. Returns how the process ended.
fn in_killing_filter(allowed: &[libc::c_long]) -> i32 {
    status_of(|| {
        // malloc(3) may make other calls.
        let ids = vec![Uuid::nil(); 5000].leak();
        fork_safe_uuid::prepare().expect("all is there");
        refuse_getrandom();
        allow_only(&[allowed, &[libc::SYS_getrandom, libc::SYS_exit_group]].concat());
        for _ in 0..100_000 {
            black_box(fork_safe_uuid::new_v4());
        }
        make_each_kind(ids);
    })
}

/// Makes UUIDs of each kind, each for the first time after `prepare()`.
fn make_each_kind(ids: &mut [Uuid]) {
    let node = fork_safe_uuid::random_node();
    black_box((fork_safe_uuid::now_v6(&node), fork_safe_uuid::now_v1(&node)));
    for generator in [Generator::new(), Generator::unbuffered()] {
        black_box((generator.new_v4(), generator.now_v7()));
        generator.fill_v4(ids);
        generator.fill_v7(ids);
    }
    fork_safe_uuid::fill_v4(ids);
    fork_safe_uuid::fill_v7(ids);
    black_box((fork_safe_uuid::now_v7(), fork_safe_uuid::status()));
}

pub fn under_exactly_the_documented_filter_a_prepared_process_lives() {
    assert_eq!(in_killing_filter(&DOCUMENTED), 0);
}

pub fn without_a_call_of_the_documented_filter_the_process_is_killed() {
    for left_out in &DOCUMENTED[..3] {
        let mut allowed = DOCUMENTED.to_vec();
        allowed.retain(|call| call != left_out);
        let status = in_killing_filter(&allowed);
        assert!(libc::WIFSIGNALED(status), "{left_out}: {status:#x}");
        assert_eq!(libc::WTERMSIG(status), libc::SIGSYS);
    }
}
