//! getrandom(2) refused, from the start or later; the device refused, replaced
//! or out of reach.

use std::fs::{self, File};
use std::path::Path;

use fork_safe_uuid::source::Device;
use fork_safe_uuid::{ErrorKind, Generator, Serving};

use crate::scene::{
    SYS_MMAP, SYS_OPEN, assert_all_good, descriptors, device_number, fork, in_copy, make,
    may_unshare, mount, ok, refuse, refuse_getrandom, unshare,
};

crate::scenarios![
    getrandom_refused_with_eperm_from_the_start,
    getrandom_refused_with_enosys_from_the_start,
    getrandom_refused_after_the_first_thousand,
    getrandom_failing_otherwise_is_an_error_that_names_it,
    with_getrandom_no_descriptor_is_ever_opened,
    prepared_before_a_chroot_a_million_go_on {
        possible: may_unshare
    },
    unprepared_in_a_chroot_the_error_names_both_failures {
        possible: may_unshare
    },
    no_descriptor_allowed_is_an_error_that_is_not_remembered,
    every_descriptor_in_use_is_an_error_that_is_not_remembered,
    a_regular_file_at_the_path_is_refused {
        possible: may_unshare
    },
    a_symbolic_link_at_the_path_is_refused {
        possible: may_unshare
    },
    zero_null_full_and_random_at_the_path_are_refused {
        possible: may_unshare
    },
    a_fifo_at_the_path_is_refused_and_not_waited_for {
        possible: may_unshare
    },
    stdio_closed_our_descriptor_is_above_it,
    an_executed_program_does_not_inherit_the_descriptor,
    memory_that_is_not_wiped_is_not_used,
    advice_that_is_accepted_and_ignored_is_noticed,
    no_memory_is_no_error,
    unbuffered_makes_no_system_call {
        possible: vdso_has_getrandom
    },
];

#[track_caller]
fn assert_served_by(source: Serving) {
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
    assert_served_by(Serving::Device);
    // The child opens the device anew and leaves the inherited one alone.
    ids.extend(in_copy(fork, || {
        let inherited = device_number().expect("open");
        let ids = make(100_000);
        let opened = descriptors()
            .into_iter()
            .filter(|(_, target)| target == "/dev/urandom");
        assert_eq!(opened.count(), 2);
        assert!(descriptors().contains_key(&inherited));
        ids
    }));
    let unbuffered = Generator::unbuffered();
    ids.extend((0..1000).map(|_| unbuffered.new_v4()));
    assert_all_good(&ids);
    assert!(device_number().is_some(), "one is enough");
}

fn getrandom_refused_after_the_first_thousand() {
    let mut ids = make(1000);
    assert_served_by(Serving::Kernel);
    refuse_getrandom();
    ids.extend(make(100_000));
    assert_served_by(Serving::Device);
    assert_eq!(fork_safe_uuid::status().missed_reseeds(), 0);
    ids.extend(in_copy(fork, || make(1000)));
    assert_all_good(&ids);
}

/// As this libc puts it.
fn text_of(errno: i32) -> String {
    std::io::Error::from_raw_os_error(errno).to_string()
}

fn getrandom_failing_otherwise_is_an_error_that_names_it() {
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

fn with_getrandom_no_descriptor_is_ever_opened() {
    let before = descriptors();
    let mut ids = make(1_000_000);
    ids.extend(in_copy(fork, || {
        let before = descriptors();
        let ids = make(1000);
        assert_eq!(descriptors(), before);
        ids
    }));
    assert_all_good(&ids);
    assert_eq!(descriptors(), before);
}

/// Goes into an empty directory for good, and refuses both ways out of it.
fn enter_empty_chroot() {
    let directory = tempfile::tempdir().expect("a directory").keep();
    unshare(libc::CLONE_NEWNS);
    std::os::unix::fs::chroot(&directory).expect("root in a namespace");
    std::env::set_current_dir("/").expect("the empty directory");
    refuse(
        &[libc::SYS_getrandom, libc::SYS_openat, SYS_OPEN],
        libc::EPERM,
    );
}

fn prepared_before_a_chroot_a_million_go_on() {
    let status = fork_safe_uuid::prepare().expect("all is there");
    assert!(status.device_is_open() && status.pooled());
    enter_empty_chroot();
    assert!(File::open("/dev/urandom").is_err());
    assert_all_good(&make(1_000_000));
    assert_served_by(Serving::Device);
    assert_eq!(fork_safe_uuid::status().missed_reseeds(), 0);
}

fn unprepared_in_a_chroot_the_error_names_both_failures() {
    enter_empty_chroot();
    for _ in 0..2 {
        let error = fork_safe_uuid::try_new_v4().expect_err("no entropy");
        assert_eq!(error.kind(), ErrorKind::NoSource);
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        assert_eq!(
            error.to_string(),
            format!(
                "no entropy source: getrandom(2): {}; /dev/urandom: {}; \
                 call prepare() in this process before it enters a chroot or sandbox",
                text_of(libc::EPERM),
                text_of(libc::ENOENT),
            )
        );
    }
    let panic = std::panic::catch_unwind(fork_safe_uuid::new_v4).expect_err("no entropy");
    let text = panic.downcast_ref::<String>().expect("a text");
    assert_eq!(
        *text,
        fork_safe_uuid::prepare().expect_err("none").to_string()
    );
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
        let expected = format!("/dev/urandom: {}; free a", text_of(libc::EMFILE));
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

/// Puts `source` where the device stood, for this process.
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
        let device = Generator::with_source(Device)
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

fn a_symbolic_link_at_the_path_is_refused() {
    unshare(libc::CLONE_NEWNS);
    mount(Path::new("none"), "/", "", libc::MS_REC | libc::MS_PRIVATE);
    // To the real device even: a link can be turned at any time.
    let real = tempfile::NamedTempFile::new().expect("a file");
    mount(
        Path::new("/dev/urandom"),
        real.path().to_str().expect("UTF-8"),
        "",
        libc::MS_BIND,
    );
    mount(Path::new("none"), "/dev", "tmpfs", 0);
    std::os::unix::fs::symlink(real.path(), "/dev/urandom").expect("a link");
    let mut byte = [0];
    std::io::Read::read_exact(
        &mut File::open("/dev/urandom").expect("the device"),
        &mut byte,
    )
    .expect("a byte");
    assert_refused(IMPOSTOR);
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

fn stdio_closed_our_descriptor_is_above_it() {
    refuse_getrandom();
    for number in 0..3 {
        // SAFETY: the scenario reports elsewhere.
        ok(unsafe { libc::close(number) });
    }
    assert_all_good(&make(1000));
    let ours = device_number().expect("open");
    assert!(ours >= 3, "{ours}");
    // SAFETY: asks for flags.
    let flags = ok(unsafe { libc::fcntl(ours, libc::F_GETFD) });
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

#[track_caller]
fn assert_unbuffered() {
    let mut ids = make(1000);
    assert!(!fork_safe_uuid::status().pooled());
    ids.extend(in_copy(fork, || make(1000)));
    ids.extend(make(1000));
    let generator = Generator::new();
    let mut more = [uuid::Uuid::nil(); 100];
    generator.fill_v4(&mut more);
    ids.extend(more);
    assert_all_good(&ids);
}

fn memory_that_is_not_wiped_is_not_used() {
    refuse(&[libc::SYS_madvise], libc::EINVAL);
    assert_unbuffered();
}

fn advice_that_is_accepted_and_ignored_is_noticed() {
    // Errno 0: the call succeeds without being made, as in some emulators.
    refuse(&[libc::SYS_madvise], 0);
    assert_unbuffered();
}

fn no_memory_is_no_error() {
    // Maps what the scenario itself needs before it is refused.
    drop(vec![0_u8; 100_000]);
    in_copy(fork, || {
        let ids: [uuid::Uuid; 100] = {
            let mut ids = [uuid::Uuid::nil(); 100];
            refuse(&[SYS_MMAP], libc::ENOMEM);
            ids.fill_with(fork_safe_uuid::new_v4);
            // No memory for the vDSO's state either.
            ids[0] = Generator::unbuffered().new_v4();
            ids
        };
        assert!(!fork_safe_uuid::status().pooled());
        ids.to_vec()
    });
}

/// Since which Linux is said in `src/sys/linux/vdso.rs`.
fn vdso_has_getrandom() -> bool {
    let since = match std::env::consts::ARCH {
        "x86_64" => (6, 11),
        "aarch64" => (6, 12),
        "riscv64" => (7, 2),
        _ => return false,
    };
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse().ok());
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    cfg!(target_pointer_width = "64") && version >= since
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
    assert_served_by(Serving::Kernel);
    // The child's state is wiped, and a new one needs the system call.
    let child = in_copy(fork, || {
        let refused = unbuffered.try_new_v4().map_err(|error| error.kind());
        assert_eq!(refused, Err(ErrorKind::NoSource));
        vec![]
    });
    assert!(child.is_empty());
}
