//! The crate opens no descriptor while getrandom(2) answers. Where a sandbox refuses it, the
//! crate uses nothing but the kernel's /dev/urandom.

use std::fs;
use std::path::Path;

use fork_safe_uuid::source::Device;
use fork_safe_uuid::{ErrorKind, Generator, SystemSource};
use support::descriptors::{descriptors, device_number};
use support::harness::turns;
use support::namespaces::{may_unshare, mount, unshare};
use support::ok;
use support::process::{fork, in_copy};
use support::sandbox::refuse_getrandom;
use support::uuids::{assert_all_good, make};

support::scenarios![
    with_getrandom_no_descriptor_is_ever_opened,
    with_stdio_closed_the_descriptor_is_above_2,
    an_executed_program_does_not_inherit_the_descriptor,
    a_regular_file_at_the_path_is_refused {
        possible: may_unshare
    },
    a_symbolic_link_to_the_true_device_is_followed {
        possible: may_unshare
    },
    a_symbolic_link_to_anything_else_is_refused {
        possible: may_unshare
    },
    zero_null_full_and_random_at_the_path_are_refused {
        possible: may_unshare
    },
    a_fifo_at_the_path_is_refused_and_not_waited_for {
        possible: may_unshare
    },
];

fn with_getrandom_no_descriptor_is_ever_opened() {
    let before = descriptors();
    let mut ids = make(turns(1_000_000));
    ids.extend(in_copy(fork, || {
        let before = descriptors();
        let ids = make(1000);
        assert_eq!(descriptors(), before);
        ids
    }));
    assert_all_good(&ids);
    assert_eq!(descriptors(), before);
}

/// Mounts `source` on the path of the device, for this process alone.
fn replace_device(source: &Path) {
    unshare(libc::CLONE_NEWNS);
    mount(Path::new("none"), "/", "", libc::MS_REC | libc::MS_PRIVATE);
    mount(source, "/dev/urandom", "", libc::MS_BIND);
}

#[track_caller]
fn assert_refused(cause: &str) {
    refuse_getrandom();
    let before = descriptors();
    for _ in 0..2 {
        let error = fork_safe_uuid::try_new_v4().expect_err("not the device");
        assert_eq!(error.kind(), ErrorKind::NoSource);
        assert!(error.to_string().contains(cause), "{error}");
        let device = Generator::new()
            .with_source(Device)
            .try_new_v4()
            .expect_err("not the device");
        assert_eq!(device.kind(), ErrorKind::Device);
    }
    assert_eq!(descriptors(), before);
}

const IMPOSTOR: &str = "/dev/urandom: is not the kernel's /dev/urandom";

fn a_regular_file_at_the_path_is_refused() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&file, b"not random at all".repeat(100)).expect("a file");
    replace_device(file.path());
    assert_refused(IMPOSTOR);
}

/// Gives this process a /dev in which the device is a symbolic link to `target`.
fn link_device(target: &Path) {
    mount(Path::new("none"), "/dev", "tmpfs", 0);
    std::os::unix::fs::symlink(target, "/dev/urandom").expect("a link");
}

/// Mounts the device on an empty file, and returns the path of that file.
fn true_device_elsewhere() -> tempfile::TempPath {
    unshare(libc::CLONE_NEWNS);
    mount(Path::new("none"), "/", "", libc::MS_REC | libc::MS_PRIVATE);
    let real = tempfile::NamedTempFile::new().expect("a file");
    let path = real.path().to_str().expect("UTF-8").to_owned();
    mount(Path::new("/dev/urandom"), &path, "", libc::MS_BIND);
    real.into_temp_path()
}

fn a_symbolic_link_to_the_true_device_is_followed() {
    let real = true_device_elsewhere();
    link_device(&real);
    refuse_getrandom();
    assert_all_good(&make(1000));
    assert_eq!(
        fork_safe_uuid::status().source(),
        Some(SystemSource::Device)
    );
    // A file can be removed only after the device was unmounted.
    let name = std::ffi::CString::new(real.to_str().expect("UTF-8")).expect("no zero byte");
    // SAFETY: the name ends in a zero byte.
    ok(unsafe { libc::umount2(name.as_ptr(), libc::MNT_DETACH) });
}

fn a_symbolic_link_to_anything_else_is_refused() {
    for target in ["/etc/passwd", "/proc/self/fd/0", "/nowhere"] {
        in_copy(fork, || {
            unshare(libc::CLONE_NEWNS);
            mount(Path::new("none"), "/", "", libc::MS_REC | libc::MS_PRIVATE);
            link_device(Path::new(target));
            assert_refused(match target {
                "/nowhere" => "/dev/urandom: statx(2): No such file",
                _ => {
                    "/dev/urandom: is a symbolic link that does not lead to the kernel's /dev/urandom"
                }
            });
            vec![]
        });
    }
}

fn zero_null_full_and_random_at_the_path_are_refused() {
    for device in ["/dev/zero", "/dev/null", "/dev/full", "/dev/random"] {
        in_copy(fork, || {
            replace_device(Path::new(device));
            assert_refused(IMPOSTOR);
            vec![]
        });
    }
}

fn a_fifo_at_the_path_is_refused_and_not_waited_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let fifo = directory.path().join("fifo");
    let name = std::ffi::CString::new(fifo.to_str().expect("UTF-8")).expect("no zero byte");
    // SAFETY: the name ends in a zero byte.
    ok(unsafe { libc::mkfifo(name.as_ptr(), 0o600) });
    replace_device(&fifo);
    assert_refused(IMPOSTOR);
}

fn with_stdio_closed_the_descriptor_is_above_2() {
    refuse_getrandom();
    for number in 0..3 {
        // SAFETY: the scenario does not use them: panics are reported by another descriptor.
        ok(unsafe { libc::close(number) });
    }
    assert_all_good(&make(1000));
    let device = device_number().expect("open");
    assert!(device >= 3, "{device}");
    // SAFETY: the call uses no memory.
    let flags = ok(unsafe { libc::fcntl(device, libc::F_GETFD) });
    assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    for number in 0..3 {
        assert!(
            !descriptors().contains_key(&number),
            "{number} was left open"
        );
    }
}

fn an_executed_program_does_not_inherit_the_descriptor() {
    refuse_getrandom();
    assert_all_good(&make(10));
    assert!(device_number().is_some());
    let output = std::process::Command::new("/bin/ls")
        .args(["-l", "/proc/self/fd"])
        .output()
        .expect("ls");
    let listing = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(listing.contains("->"), "{listing}");
    assert!(!listing.contains("urandom"), "{listing}");
}
