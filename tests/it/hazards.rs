//! The table of docs/hazards.md: what happens to this crate and to its peers, each in a
//! process of its own. A cell that is not what is seen here is a failure.

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{mem, ptr};

use fork_safe_uuid::Uuid;
use libloading::os::unix::{Library, Symbol};
use seccompiler::SeccompAction;
use support::decoy::{Decoy, Kind, shows_decoy};
use support::descriptors::{close_all, is_closed};
use support::memory::mappings;
use support::namespaces::{may_unshare, mount, unshare};
use support::process::{fork, wait};
use support::sandbox::{confine, refuse};
use support::seccomp::SYS_OPEN;
use support::{SLOTS, ok};

use crate::arena::{Arena, duplicates};
use crate::copies::{both, both_as_pid_1};
use crate::guest::{self, on_x86_64};
use crate::snapshots::{freeze_kernel, keep_on_fork};
use crate::torture::{IMPATIENCE, hung_of, patience};

support::scenarios![
    the_readme_has_rows_of_the_table,
    a_fork,
    a_fork_while_threads_generate { seconds: 180 },
    pid_1_inside_pid_1 {
        possible: may_unshare
    },
    descriptors_closed,
    descriptors_closed_in_a_static_program {
        possible: static_glibc,
        seconds: 600
    },
    descriptors_closed_and_getrandom_refused,
    a_sandbox_entered_later,
    a_sandbox_entered_later_and_a_fork,
    another_file_at_the_devices_path {
        possible: may_unshare
    },
    no_entropy_at_all,
    a_signal_handler { seconds: 180 },
    a_snapshot {
        possible: may_unshare
    },
    a_snapshot_of_which_the_kernel_is_not_told {
        possible: || on_x86_64() && may_unshare()
    },
    a_core_dump,
];

/// What is seen of a generator, as docs/hazards.md says it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Good,
    Error,
    FewRepeat,
    Repeats,
    Foreign,
    Panics,
    Hangs,
    Predictable,
    Dumped,
    /// Not on this machine, and not compared.
    NotThere,
}

use Outcome::*;

impl Outcome {
    /// By number, which is the exit status of the process that saw it.
    const ALL: [(Self, &str); 10] = [
        (Good, "✓"),
        (Error, "✓ `Err`"),
        (FewRepeat, "251 a thread; none after `reseed()`"),
        (Repeats, "✗ repeats"),
        (Foreign, "✗ foreign bytes"),
        (Panics, "✗ panics"),
        (Hangs, "✗ hangs"),
        (Predictable, "✗ `rand()`"),
        (Dumped, "✗ shows them"),
        (NotThere, "not there"),
    ];

    fn of(text: &str) -> Self {
        let known = Self::ALL.iter().find(|(_, known)| *known == text);
        known.unwrap_or_else(|| panic!("{text:?} is no outcome")).0
    }

    fn of_repeated(ids: &mut [Uuid]) -> Self {
        match duplicates(ids) {
            0 => Good,
            _ => Repeats,
        }
    }
}

type Make = fn() -> Uuid;

/// In the order of the table's columns. `uuid` by default is what its features
/// make of it in 1.29, as this build switches `fast-rng` on.
const GENERATORS: [Make; 5] = [
    fork_safe_uuid::new_v4,
    || {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("entropy");
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    },
    Uuid::new_v4,
    || Uuid::from_bytes(uuid7::uuid4().into()),
    || {
        let mut id = Uuid::nil();
        // SAFETY: uuid_generate_random(3) writes a `uuid_t`.
        unsafe { libuuid().expect("asked before")(&mut id) };
        id
    },
];
const OURS: usize = 0;
const UUID7: usize = 3;
const LIBUUID: usize = 4;

type Generate = unsafe extern "C" fn(*mut Uuid);

/// The system's, or `None` where there is none.
fn libuuid() -> Option<Generate> {
    static LIBUUID: OnceLock<Option<Generate>> = OnceLock::new();
    *LIBUUID.get_or_init(|| {
        // SAFETY: it has no initialisation that could disturb anything, and
        // its function has this type (uuid/uuid.h).
        unsafe {
            let library = Library::new("libuuid.so.1").ok()?;
            let function: Symbol<Generate> = library.get(b"uuid_generate_random").ok()?;
            let function = *function;
            mem::forget(library);
            Some(function)
        }
    })
}

fn many(make: Make, count: usize) -> Vec<Uuid> {
    (0..count).map(|_| make()).collect()
}

const TABLE: &str = include_str!("../../docs/hazards.md");

fn the_readme_has_rows_of_the_table() {
    let readme = include_str!("../../README.md");
    let rows: Vec<_> = readme
        .lines()
        .filter(|line| line.contains(" | ✓"))
        .collect();
    assert_eq!(rows.len(), 6);
    for row in rows {
        assert!(TABLE.lines().any(|line| line == row), "{row}");
    }
}

/// The row's cells.
fn cells(row: &str) -> Vec<Outcome> {
    let mut rows = TABLE.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.find_map(|line| line.strip_prefix(row)?.strip_prefix(" | "));
    let cells = cells.unwrap_or_else(|| panic!("docs/hazards.md has no row {row:?}"));
    let cells = cells.trim_end_matches(" |").split(" | ");
    cells.map(Outcome::of).collect()
}

/// Asserts that `scene` shows of each generator, by its number, what the table
/// says of it. A hang is what takes more than `seconds`.
#[track_caller]
fn assert_row(row: &str, seconds: u32, scene: impl Fn(usize) -> Outcome) {
    let cells = cells(row);
    assert_eq!(cells.len(), GENERATORS.len());
    let mut seen = vec![];
    for (number, expected) in cells.iter().enumerate() {
        // Loaded here: not every scene leaves a child the means to.
        let is_there = number != LIBUUID || libuuid().is_some();
        let pid = ok(fork());
        if pid == 0 {
            // SAFETY: has the kernel end whoever hangs.
            unsafe { libc::alarm(seconds) };
            let scene = AssertUnwindSafe(|| if is_there { scene(number) } else { NotThere });
            let outcome = catch_unwind(scene).unwrap_or(Panics);
            let status = Outcome::ALL.iter().position(|(known, _)| *known == outcome);
            // SAFETY: ends without the parent's destructors.
            unsafe { libc::_exit(status.expect("known") as i32) };
        }
        let status = wait(pid);
        let outcome = match status {
            libc::SIGALRM => Hangs,
            libc::SIGABRT => Panics,
            _ if libc::WIFEXITED(status) => Outcome::ALL[libc::WEXITSTATUS(status) as usize].0,
            _ => panic!("generator {number} ended with {status:#x}"),
        };
        seen.push(if outcome == NotThere {
            *expected
        } else {
            outcome
        });
    }
    assert_eq!(seen, cells, "{row}");
}

fn a_fork() {
    assert_row("fork", 30, |number| {
        Outcome::of_repeated(&mut both(fork, |count| many(GENERATORS[number], count)))
    });
}

fn a_fork_while_threads_generate() {
    assert_row("fork while threads generate", 120, |number| {
        let make = GENERATORS[number];
        let patience = match number {
            UUID7 | LIBUUID => IMPATIENCE,
            _ => patience(),
        };
        // Of 100 children 10 of `uuid7` hang, and 2 to 12 of libuuid.
        if (0..5).any(|_| hung_of(100, patience, |ids| ids.fill_with(make)) > 0) {
            return Hangs;
        }
        Outcome::of_repeated(&mut both(fork, |count| many(make, count)))
    });
}

fn pid_1_inside_pid_1() {
    assert_row("fork, pid 1 inside pid 1", 30, |number| {
        let make = |count| many(GENERATORS[number], count);
        Outcome::of_repeated(&mut both_as_pid_1(make, || {}))
    });
}

/// More than any of them makes of one seed.
const MANY: usize = 20_000;

/// Whether it needs no source at all.
fn is_predictable(make: Make) -> bool {
    let pid = ok(fork());
    if pid == 0 {
        refuse(&[libc::SYS_getrandom], libc::EPERM);
        confine(&[libc::SYS_openat, SYS_OPEN], SeccompAction::KillProcess);
        let made = catch_unwind(make).is_ok();
        // SAFETY: ends without the parent's destructors.
        unsafe { libc::_exit(i32::from(!made)) };
    }
    wait(pid) == 0
}

/// The daemon: every descriptor closed, and a socket at each low number.
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

fn descriptors_closed() {
    assert_row("descriptors closed, numbers reused", 30, |number| {
        after_closing(GENERATORS[number])
    });
}

fn descriptors_closed_and_getrandom_refused() {
    assert_row("descriptors closed, getrandom(2) refused", 30, |number| {
        if is_predictable(GENERATORS[number]) {
            return Predictable;
        }
        refuse(&[libc::SYS_getrandom], libc::EPERM);
        after_closing(GENERATORS[number])
    });
}

fn static_glibc() -> bool {
    cfg!(all(target_env = "gnu", target_pointer_width = "64"))
}

fn descriptors_closed_in_a_static_program() {
    let flags = ["-C", "target-feature=+crt-static"];
    let program = guest::build("retaken", &flags);
    let of_libuuid = guest::compile_static("retaken.c", "-luuid");
    assert_row("descriptors closed, static glibc", 30, |number| {
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

/// Some made before the sandbox, and what comes `after`.
#[track_caller]
fn assert_row_of_a_late_sandbox(row: &str, after: fn(Make) -> Vec<Uuid>) {
    assert_row(row, 30, |number| {
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

fn a_sandbox_entered_later() {
    assert_row_of_a_late_sandbox("getrandom(2) refused later", |make| many(make, MANY));
}

fn a_sandbox_entered_later_and_a_fork() {
    assert_row_of_a_late_sandbox("getrandom(2) refused later, then fork", |make| {
        both(fork, |count| many(make, count))
    });
}

/// Whether anybody reads a file that stands at the device's path.
fn another_file_at_the_devices_path() {
    assert_row(
        "another file at /dev/urandom, getrandom(2) refused",
        30,
        |number| {
            let mut file = tempfile::NamedTempFile::new().expect("a file");
            file.write_all(&[0x5a; 1 << 16]).expect("a file");
            let path = CString::new(file.path().to_str().expect("UTF-8")).expect("no zero byte");
            // SAFETY: makes a descriptor, and the path ends in a zero byte.
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
            // Not EPERM, at which libuuid asks for no file at all.
            refuse(&[libc::SYS_getrandom], libc::ENOSYS);
            let outcome = no_entropy(number);
            let mut event = [0_u8; 64];
            // SAFETY: the kernel writes at most as many bytes.
            let seen = unsafe { libc::read(reads, event.as_mut_ptr().cast(), event.len()) };
            if seen > 0 { Foreign } else { outcome }
        },
    );
}

fn no_entropy(number: usize) -> Outcome {
    // The others have nothing that returns.
    match number {
        OURS if fork_safe_uuid::try_new_v4().is_err() => Error,
        OURS => Predictable,
        _ if catch_unwind(GENERATORS[number]).is_ok() => Predictable,
        _ => Panics,
    }
}

fn no_entropy_at_all() {
    assert_row("no entropy source at all", 30, |number| {
        refuse(
            &[libc::SYS_getrandom, libc::SYS_openat, SYS_OPEN],
            libc::EPERM,
        );
        no_entropy(number)
    });
}

/// A handler that makes one, at any time while others are made.
fn a_signal_handler() {
    const ROOM: usize = 1 << 22;
    static MAKE: OnceLock<Make> = OnceLock::new();
    static MADE: AtomicPtr<Uuid> = AtomicPtr::new(ptr::null_mut());
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    fn make_and_keep() {
        let id = MAKE.get().expect("set")();
        let place = COUNT.fetch_add(1, Relaxed);
        if place < ROOM {
            // SAFETY: inside the room, and nobody else's place.
            unsafe { MADE.load(Relaxed).add(place).write(id) };
        }
    }
    extern "C" fn handler(_: i32) {
        make_and_keep();
    }
    assert_row("a signal handler makes one", 15, |number| {
        // The first may allocate, which is another matter.
        GENERATORS[number]();
        MAKE.set(GENERATORS[number]).expect("a process of its own");
        let room = Arena::new(ROOM).claim(ROOM).expect("room");
        MADE.store(room.as_mut_ptr(), Relaxed);
        // SAFETY: a handler of this type; zeros are valid in both structures, to
        // which the pointers lead.
        unsafe {
            libc::signal(libc::SIGUSR1, handler as *const () as usize);
            let mut event: libc::sigevent = mem::zeroed();
            event.sigev_notify = libc::SIGEV_SIGNAL;
            event.sigev_signo = libc::SIGUSR1;
            let mut timer = ptr::null_mut();
            let clock = libc::CLOCK_MONOTONIC;
            ok(libc::timer_create(clock, &raw mut event, &raw mut timer));
            let mut often: libc::itimerspec = mem::zeroed();
            often.it_value.tv_nsec = 20_000;
            often.it_interval = often.it_value;
            ok(libc::timer_settime(
                timer,
                0,
                &raw const often,
                ptr::null_mut(),
            ));
        }
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            (0..100).for_each(|_| make_and_keep());
        }
        // SAFETY: no handler from now on.
        unsafe { libc::signal(libc::SIGUSR1, libc::SIG_IGN) };
        Outcome::of_repeated(&mut room[..COUNT.load(Relaxed).min(ROOM)])
    });
}

/// What both of two clones make; `before` prepares the machine that is cloned.
fn of_clones(number: usize, before: fn()) -> Outcome {
    let before = || {
        if number == OURS {
            keep_on_fork();
        }
        before();
    };
    let mut ids = both_as_pid_1(|count| many(GENERATORS[number], count), before);
    match duplicates(&mut ids) {
        0 => Good,
        1..=SLOTS => FewRepeat,
        _ => Repeats,
    }
}

/// This kernel gives each copy of a process bytes of its own, as one does that
/// knows that it was cloned.
fn a_snapshot() {
    assert_row(
        "a virtual machine cloned, its kernel is told",
        30,
        |number| of_clones(number, || {}),
    );
}

fn a_snapshot_of_which_the_kernel_is_not_told() {
    assert_row(
        "a virtual machine cloned, its kernel is not told",
        30,
        |number| {
            match of_clones(number, freeze_kernel) {
                // It adds rand(3) to the kernel's bytes, which were the same for both.
                Good if number == LIBUUID => Predictable,
                outcome => outcome,
            }
        },
    );
}

/// What the next UUID is made of, in what the kernel would dump.
fn a_core_dump() {
    assert_row(
        "a core dump between two calls, and the UUIDs to come",
        30,
        |number| {
            let make = GENERATORS[number];
            make();
            let memory = File::open("/proc/self/mem").expect("proc");
            let mut dump = vec![];
            for range in mappings(|has| has.contains(&"wr") && !has.contains(&"dd")) {
                let mut bytes = vec![0; range.len()];
                // Guard pages cannot be read.
                if memory.read_exact_at(&mut bytes, range.start as u64).is_ok() {
                    dump.push(bytes);
                }
            }
            let id = make().into_bytes();
            let mut reversed = id;
            reversed.reverse();
            // Version and variant stand before these.
            let shown = [&id[9..], &reversed[..7]];
            let shows = |bytes: &Vec<u8>| bytes.windows(7).any(|window| shown.contains(&window));
            if dump.iter().any(shows) { Dumped } else { Good }
        },
    );
}
