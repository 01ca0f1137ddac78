//! Rows in which an entropy source is taken away or replaced.

use std::ffi::CString;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fork_safe_uuid::Uuid;
use seccompiler::SeccompAction;
use support::decoy::{Decoy, Kind, shows_decoy};
use support::descriptors::{close_all, is_closed};
use support::namespaces::{mount, unshare};
use support::ok;
use support::process::{fork, wait};
use support::sandbox::{confine, refuse};
use support::seccomp::SYS_OPEN;

use super::generators::{GENERATORS, LIBUUID, Make, OURS, many};
use super::{Outcome, Outcome::*, assert_row};
use crate::guest;
use crate::p2::copies::both;

/// More UUIDs than any of the generators makes of one seed.
const MANY: usize = 20_000;

/// Returns whether it makes UUIDs without any entropy source.
fn is_predictable(make: Make) -> bool {
    let pid = ok(fork());
    if pid == 0 {
        refuse(&[libc::SYS_getrandom], libc::EPERM);
        confine(&[libc::SYS_openat, SYS_OPEN], SeccompAction::KillProcess);
        let made = catch_unwind(make).is_ok();
        // SAFETY: the child ends without running its parent's destructors.
        unsafe { libc::_exit(i32::from(!made)) };
    }
    wait(pid) == 0
}

/// Closes all descriptors as a daemon does, puts a socket at each low number, and makes UUIDs.
fn after_closing(make: Make) -> Outcome {
    make();
    close_all();
    let decoy = Decoy::new(Kind::Udp);
    for number in (0..40).filter(|&number| is_closed(number)) {
        decoy.take(number);
    }
    let mut ids = vec![];
    let made = catch_unwind(AssertUnwindSafe(|| {
        (0..MANY).for_each(|_| ids.push(make()));
    }));
    if !decoy.is_untouched() || ids.iter().any(|id| shows_decoy(id.as_bytes())) {
        return Foreign;
    }
    match made {
        Ok(()) => Outcome::of_repeated(&mut ids),
        Err(_) => Panics,
    }
}

pub fn descriptors_closed() {
    assert_row("descriptors closed, numbers reused", |number| {
        after_closing(GENERATORS[number])
    });
}

pub fn descriptors_closed_and_getrandom_refused() {
    assert_row("descriptors closed, getrandom(2) refused", |number| {
        if is_predictable(GENERATORS[number]) {
            return Predictable;
        }
        refuse(&[libc::SYS_getrandom], libc::EPERM);
        after_closing(GENERATORS[number])
    });
}

pub fn static_glibc() -> bool {
    cfg!(all(target_env = "gnu", target_pointer_width = "64"))
}

pub fn descriptors_closed_in_a_static_program() {
    let flags = ["-C", "target-feature=+crt-static"];
    let program = guest::build("retaken", &flags);
    let of_libuuid = guest::compile_static("retaken.c", "-luuid");
    assert_row("descriptors closed, static glibc", |number| {
        let output = match number {
            LIBUUID => match &of_libuuid {
                Some(program) => guest::run(program, &[]),
                None => return NotThere,
            },
            _ => guest::run(&program, &[&number.to_string()]),
        };
        let rows = guest::rows::Rows::read(&guest::text(&output));
        Outcome::of(rows.values("outcome")[0])
    });
}

/// Asserts a row in which UUIDs are made before and `after` a sandbox refuses getrandom(2).
#[track_caller]
fn assert_row_of_a_late_sandbox(row: &str, after: fn(Make) -> Vec<Uuid>) {
    assert_row(row, |number| {
        let make = GENERATORS[number];
        if is_predictable(make) {
            return Predictable;
        }
        let mut ids = many(make, 100);
        refuse(&[libc::SYS_getrandom], libc::EPERM);
        ids.extend(after(make));
        Outcome::of_repeated(&mut ids)
    });
}

pub fn a_sandbox_entered_later() {
    assert_row_of_a_late_sandbox("getrandom(2) refused later", |make| many(make, MANY));
}

pub fn a_sandbox_entered_later_and_a_fork() {
    assert_row_of_a_late_sandbox("getrandom(2) refused later, then fork", |make| {
        both(fork, |count| many(make, count))
    });
}

/// inotify(7) shows whether a generator reads the file that is mounted on the device's path.
pub fn another_file_at_the_devices_path() {
    assert_row(
        "another file at /dev/urandom, getrandom(2) refused",
        |number| {
            let mut file = support::tempfile::NamedTempFile::new().expect("a file");
            file.write_all(&[0x5a; 1 << 16]).expect("a file");
            let path = CString::new(file.path().to_str().expect("UTF-8")).expect("no zero byte");
            // SAFETY: the path ends in a zero byte.
            let reads = unsafe {
                let inotify = ok(libc::inotify_init1(libc::IN_NONBLOCK));
                ok(libc::inotify_add_watch(
                    inotify,
                    path.as_ptr(),
                    libc::IN_ACCESS,
                ));
                inotify
            };
            unshare(libc::CLONE_NEWNS);
            mount(Path::new("none"), "/", "", libc::MS_REC | libc::MS_PRIVATE);
            mount(file.path(), "/dev/urandom", "", libc::MS_BIND);
            // After EPERM, libuuid would open no file.
            refuse(&[libc::SYS_getrandom], libc::ENOSYS);
            let outcome = no_entropy(number);
            let mut event = [0_u8; 64];
            // SAFETY: the kernel writes at most as many bytes.
            let seen = unsafe { libc::read(reads, event.as_mut_ptr().cast(), event.len()) };
            if seen > 0 { Foreign } else { outcome }
        },
    );
}

/// Makes a UUID of which there should be none, and returns what happened.
fn no_entropy(number: usize) -> Outcome {
    // Only this crate has a function that returns an error.
    match number {
        OURS if fork_safe_uuid::try_new_v4().is_err() => Error,
        OURS => Predictable,
        _ if catch_unwind(GENERATORS[number]).is_ok() => Predictable,
        _ => Panics,
    }
}

pub fn no_entropy_at_all() {
    assert_row("no entropy source at all", |number| {
        refuse(
            &[libc::SYS_getrandom, libc::SYS_openat, SYS_OPEN],
            libc::EPERM,
        );
        no_entropy(number)
    });
}
