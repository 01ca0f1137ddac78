//! Rows in which the state of a generator is copied, interrupted or shown.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};
use std::{mem, ptr};

use fork_safe_uuid::Uuid;
use support::harness::{step, turns};
use support::process::fork;
use support::{SLOTS, ok};

use super::generators::{GENERATORS, LIBUUID, Make, OURS, UUID7, many};
use super::{Outcome, Outcome::*, assert_row};
use crate::arena::{Arena, duplicates};
use crate::guest;
use crate::guest::rows::Rows;
use crate::p2::copies::{both, both_as_pid_1};
use crate::p3::torture::{hung_of, one_hangs};
use crate::p5::snapshots::{freeze_kernel, keep_on_fork};

pub fn a_fork() {
    assert_row("fork", |number| {
        Outcome::of_repeated(&mut both(fork, |count| many(GENERATORS[number], count)))
    });
}

pub fn a_fork_while_threads_generate() {
    assert_row("fork while threads generate", |number| {
        let make = GENERATORS[number];
        let hangs = match number {
            // Of 100 children, 10 hang with `uuid7`, and 2 to 12 with libuuid.
            UUID7 | LIBUUID => one_hangs(|ids| ids.fill_with(make)),
            _ => hung_of(turns(500), |ids| ids.fill_with(make)) > 0,
        };
        if hangs {
            return Hangs;
        }
        Outcome::of_repeated(&mut both(fork, |count| many(make, count)))
    });
}

pub fn pid_1_inside_pid_1() {
    assert_row("fork, pid 1 inside pid 1", |number| {
        let make = |count| many(GENERATORS[number], count);
        Outcome::of_repeated(&mut both_as_pid_1(make, || {}))
    });
}

/// A handler makes UUIDs at any time while the interrupted code makes others.
pub fn a_signal_handler() {
    const ROOM: usize = 1 << 22;
    static MAKE: OnceLock<Make> = OnceLock::new();
    static MADE: AtomicPtr<Uuid> = AtomicPtr::new(ptr::null_mut());
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    fn make_and_keep() {
        let id = MAKE.get().expect("set")();
        let place = COUNT.fetch_add(1, Relaxed);
        if place < ROOM {
            // SAFETY: the place is inside the room, and no other call has it.
            unsafe { MADE.load(Relaxed).add(place).write(id) };
        }
    }
    static HANDLED: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn handler(_: i32) {
        make_and_keep();
        HANDLED.fetch_add(1, Relaxed);
    }
    assert_row("a signal handler makes one", |number| {
        // The first UUID is made here, because it may allocate.
        GENERATORS[number]();
        MAKE.set(GENERATORS[number]).expect("a process of its own");
        let room = Arena::new(ROOM).claim(ROOM).expect("room");
        MADE.store(room.as_mut_ptr(), Relaxed);
        // SAFETY: the handler has this type. The pointers lead to the structures, in which
        // zeros are valid.
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
        let mut told = 0;
        while HANDLED.load(Relaxed) < turns(100_000) && COUNT.load(Relaxed) < ROOM {
            (0..100).for_each(|_| make_and_keep());
            let thousands = HANDLED.load(Relaxed) / 1000;
            if thousands != told {
                told = thousands;
                step(format_args!("{told} thousand signals"));
            }
        }
        // SAFETY: the signal is ignored from now on.
        unsafe { libc::signal(libc::SIGUSR1, libc::SIG_IGN) };
        Outcome::of_repeated(&mut room[..COUNT.load(Relaxed).min(ROOM)])
    });
}

/// Returns what happens to two clones of a machine that `before` has prepared.
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

/// getrandom(2) returns different bytes in the two copies, as in clones whose kernels are
/// told.
pub fn a_snapshot() {
    assert_row("a virtual machine cloned, its kernel is told", |number| {
        of_clones(number, || {})
    });
}

pub fn a_snapshot_of_which_the_kernel_is_not_told() {
    assert_row(
        "a virtual machine cloned, its kernel is not told",
        |number| {
            match of_clones(number, freeze_kernel) {
                // libuuid adds the output of rand(3) to the kernel's bytes, which are the
                // same.
                Good if number == LIBUUID => Predictable,
                outcome => outcome,
            }
        },
    );
}

/// The row is about a release build: without optimisation, a compiler leaves copies anywhere.
pub fn a_core_dump() {
    let program = guest::build("dumped", &[]);
    assert_row(
        "a core dump of a release build between two calls, and the UUIDs to come",
        |number| {
            let output = guest::run(&program, &[&number.to_string()]);
            let text = guest::text(&output);
            assert!(output.status.success(), "{text}");
            let rows = Rows::read(&text);
            match (rows.count("there"), rows.count("shown")) {
                (0, _) => NotThere,
                (_, 0) => Good,
                _ => Dumped,
            }
        },
    );
}
