//! Puts a decoy at the number of the device's descriptor, at each instruction of a draw.
//!
//! The decoy is a regular file, from which pread(2) reads, or another descriptor of the
//! device, which the program has opened itself. It must keep its offset, its bytes must not
//! come out, and it must not be closed or replaced.
//!
//! Three processes draw: `Tracking` has a descriptor in its record. `Forked` is a forked
//! child, which puts its own descriptor in the place of the inherited one. `Foreign` may not
//! use the record, so that each draw opens and closes a descriptor.
//!
//! `swapper [STRIDE [PROCESS]]`: it swaps at every STRIDE-th instruction, and only the process
//! of that name draws. A hardware breakpoint stops at the instruction, or the trap flag where
//! there is none.
//!
//! It prints a row for each process and decoy, which counts the instructions at which
//! something was wrong.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::AsRawFd;
use std::process::exit;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering::SeqCst};

use fork_safe_uuid::source::{Device, EntropySource, TrackedDevice};
use guest::{Target, trap};
use perf_event::Counter;
use support::memory::map_shared;
use support::seccomp::refuse;

/// Where the draw of a process is interrupted.
struct Plan {
    /// `None`: the process only records its instructions.
    target: Cell<Option<Target>>,
    breakpoint: OnceCell<Option<Counter>>,
}

// SAFETY: each process has one thread.
unsafe impl Sync for Plan {}

static PLAN: Plan = Plan {
    target: Cell::new(None),
    breakpoint: OnceCell::new(),
};

/// Returns the breakpoint, or `None` if the trap flag is used instead.
fn breakpoint() -> Option<&'static Counter> {
    PLAN.breakpoint.get().and_then(Option::as_ref)
}

/// The instructions of a draw that nothing interrupts, in memory that all processes share.
struct Trace {
    length: AtomicUsize,
    steps: [AtomicU64; 1 << 14],
}

static TRACE: AtomicUsize = AtomicUsize::new(0);

fn recorded() -> &'static Trace {
    let address = std::ptr::with_exposed_provenance::<Trace>(TRACE.load(SeqCst));
    // SAFETY: `main` has mapped it. Zeros are valid, and it is never unmapped.
    unsafe { &*address }
}

/// How many instructions were executed since the trap flag was set.
static STEP: AtomicUsize = AtomicUsize::new(0);
/// Whether the target was executed.
static CAME: AtomicBool = AtomicBool::new(false);
static DECOY: AtomicI32 = AtomicI32::new(-1);
static TAKEN: AtomicI32 = AtomicI32::new(-1);

/// What was wrong, as bits of a process's exit status: bytes of the decoy came out, its
/// offset moved, it was closed, or a process has not exactly one descriptor of the device.
const SHOWN: i32 = 1;
const CONSUMED: i32 = 2;
const CLOSED: i32 = 4;
const NOT_ONE: i32 = 8;

/// The exit status if the draw has not executed the instruction this time.
const MISSED: i32 = 64;

/// The crate cannot notice a decoy that comes between the last proof and close(2) or dup3(2).
/// There are 28 instructions with glibc 2.36, and 47 with musl 1.2.5.
const BEFORE_CLOSE: usize = 60;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Tracking,
    Forked,
    Foreign,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    File,
    OwnDevice,
    /// No decoy: the process is forked, and the child draws. Each of the two must end with
    /// one descriptor, which it tracks.
    Fork,
}

/// The number that the decoy takes if the device is open at two numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Which {
    Lowest,
    Highest,
}

static HIGHEST: AtomicBool = AtomicBool::new(false);
static FORKS: AtomicBool = AtomicBool::new(false);

/// The child that was forked. It is 0 in the child, and -1 before the fork.
static CHILD: AtomicI32 = AtomicI32::new(-1);

fn stat(fd: i32) -> Option<libc::stat> {
    // SAFETY: zeros are a valid structure, and the pointer leads to it.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        (libc::fstat(fd, &raw mut stat) == 0).then_some(stat)
    }
}

fn is_device(fd: i32) -> bool {
    stat(fd).is_some_and(|stat| {
        stat.st_mode & libc::S_IFMT == libc::S_IFCHR && stat.st_rdev == libc::makedev(1, 9)
    })
}

extern "C" fn on_trap(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let step = STEP.fetch_add(1, SeqCst);
    let Some(target) = PLAN.target.get() else {
        // SAFETY: the kernel passed this context to this handler.
        let address = *unsafe { guest::register(context, libc::REG_RIP) } as u64;
        recorded().steps[step].store(address, SeqCst);
        recorded().length.store(step + 1, SeqCst);
        return;
    };
    match breakpoint() {
        Some(breakpoint) => guest::switch(breakpoint, false),
        None if step != target.step => return,
        None => {}
    }
    CAME.store(true, SeqCst);
    // SAFETY: the kernel passed this context to this handler. The handler restores errno,
    // which belongs to the interrupted code.
    unsafe {
        let errno = *libc::__errno_location();
        guest::trap_later(context, false);
        if FORKS.load(SeqCst) {
            CHILD.store(libc::fork(), SeqCst);
            if CHILD.load(SeqCst) == 0 {
                Device.fill(&mut [0; 16]).expect("the device");
            }
            *libc::__errno_location() = errno;
            return;
        }
        let decoy = DECOY.load(SeqCst);
        let mut numbers = (3..64).filter(|&number| number != decoy && is_device(number));
        let number = match HIGHEST.load(SeqCst) {
            true => numbers.next_back(),
            false => numbers.next(),
        };
        if let Some(number) = number {
            libc::dup2(DECOY.load(SeqCst), number);
            TAKEN.store(number, SeqCst);
        }
        *libc::__errno_location() = errno;
    }
}

/// Draws, with the decoy at one instruction, and returns what was wrong.
fn draw(who: Who, what: What) -> i32 {
    let mut decoy = match what {
        What::File => {
            let mut decoy = tempfile::tempfile().expect("a file");
            decoy.write_all(&b"DECOYDEC".repeat(100)).expect("a file");
            decoy.rewind().expect("a file");
            decoy
        }
        What::OwnDevice => File::open("/dev/urandom").expect("the device"),
        What::Fork => File::open("/dev/null").expect("a file"),
    };
    DECOY.store(decoy.as_raw_fd(), SeqCst);
    let mut bytes = [0; 16];
    Device.fill(&mut bytes).expect("the device");
    match who {
        Who::Tracking => {}
        // SAFETY: this process has one thread.
        Who::Forked => unsafe {
            let pid = libc::fork();
            if pid != 0 {
                let mut status = 0;
                libc::waitpid(pid, &raw mut status, 0);
                return libc::WEXITSTATUS(status);
            }
        },
        // The process then has another id than the record.
        Who::Foreign => refuse(&[libc::SYS_getpid], libc::EPERM),
    }

    // The breakpoint is made even where the instructions are only recorded, so that each draw
    // finds the same descriptors.
    let (address, nth) = match PLAN.target.get() {
        Some(target) => (target.address, target.nth),
        None => (trap as *const () as u64, 1),
    };
    PLAN.breakpoint
        .get_or_init(|| guest::breakpoint(address, nth));
    match breakpoint() {
        Some(breakpoint) if PLAN.target.get().is_some() => guest::switch(breakpoint, true),
        _ => trap(true),
    }
    let drawn = Device.fill(&mut bytes);
    trap(false);
    if let Some(breakpoint) = breakpoint() {
        guest::switch(breakpoint, false);
    }

    drawn.expect("the device, opened again");
    if what == What::Fork {
        return after_fork(who);
    }
    let mut wrong = 0;
    if bytes
        .windows(5)
        .any(|part| b"DECOYDECOYDEC".windows(5).any(|other| part == other))
    {
        wrong |= SHOWN;
    }
    if what == What::File && decoy.stream_position().expect("a file") != 0 {
        wrong |= CONSUMED;
    }
    // SAFETY: the call only reads flags.
    let flags = |fd| unsafe { libc::fcntl(fd, libc::F_GETFL) };
    let identity = |fd| stat(fd).map(|stat| (stat.st_dev, stat.st_ino, flags(fd)));
    let taken = TAKEN.load(SeqCst);
    if taken >= 0 && identity(taken) != identity(decoy.as_raw_fd()) {
        wrong |= CLOSED;
    }
    if CAME.load(SeqCst) { wrong } else { MISSED }
}

/// Returns what is wrong in this process or in its child.
fn after_fork(who: Who) -> i32 {
    Device.fill(&mut [0; 16]).expect("the device");
    let devices = (3..64).filter(|&number| is_device(number)).count();
    let is_tracked = matches!(
        fork_safe_uuid::status().device(),
        TrackedDevice::Open { .. }
    );
    let mut wrong = 0;
    if devices != 1 || is_tracked == (who == Who::Foreign) {
        wrong |= NOT_ONE;
    }
    let child = CHILD.load(SeqCst);
    if child > 0 {
        let mut status = 0;
        // SAFETY: the pointer leads to an int.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        wrong |= if libc::WIFEXITED(status) {
            libc::WEXITSTATUS(status)
        } else {
            NOT_ONE
        };
    }
    match child {
        -1 => MISSED,
        _ => wrong,
    }
}

/// Draws in a new process, and returns its exit status.
fn status_of_draw(who: Who, what: What, target: Option<Target>) -> i32 {
    let mut status = 0;
    // SAFETY: this process has one thread. The pointer leads to an int.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            PLAN.target.set(target);
            libc::_exit(draw(who, what));
        }
        libc::waitpid(pid, &raw mut status, 0);
    }
    assert!(libc::WIFEXITED(status), "ended with {status:#x}");
    libc::WEXITSTATUS(status)
}

/// Prints a row, and returns whether all is well.
fn swap(who: Who, what: What, which: Which, stride: usize) -> bool {
    HIGHEST.store(which == Which::Highest, SeqCst);
    FORKS.store(what == What::Fork, SeqCst);
    let mut wrong = BTreeMap::<i32, Vec<usize>>::new();
    let (mut swapped, mut missed) = (0, 0);
    assert_eq!(status_of_draw(who, what, None), MISSED);
    let trace = recorded().steps[..recorded().length.load(SeqCst)].iter();
    let trace: Vec<_> = trace.map(|step| step.load(SeqCst)).collect();
    let targets = guest::targets(&trace);
    // The process id decides where a row begins, so that runs with a stride differ.
    let first = std::process::id() as usize % stride;
    for target in targets.iter().skip(first).step_by(stride) {
        if swapped % 50 == 0 {
            eprintln!("{who:?}, {what:?}: {} of {}", target.step, trace.len());
        }
        match status_of_draw(who, what, Some(*target)) {
            MISSED => missed += 1,
            status => {
                swapped += 1;
                if status != 0 {
                    wrong.entry(status).or_default().push(target.step);
                }
            }
        }
    }
    // The first and the last instructions are those of the trap flag itself.
    let missed_limit = 16;
    let closed_limit = match who {
        Who::Tracking => 0,
        // The descriptor is the inherited one, which is replaced, or the new one.
        Who::Foreign | Who::Forked => BEFORE_CLOSE,
    };
    let count = |bit| -> usize {
        let with_it = wrong.iter().filter(|(status, _)| *status & bit != 0);
        with_it.map(|(_, at)| at.len()).sum()
    };
    let closed = count(CLOSED);
    let row = guest::row(&[
        ("who", &who),
        ("what", &what),
        ("which", &which),
        ("instructions", &targets.len()),
        ("swapped", &swapped),
        ("missed", &missed),
        ("missed_limit", &missed_limit),
        ("shown", &count(SHOWN)),
        ("consumed", &count(CONSUMED)),
        ("closed", &closed),
        ("closed_limit", &closed_limit),
        ("not_one", &count(NOT_ONE)),
    ]);
    println!("{row}");
    if !wrong.is_empty() {
        println!("  the instructions by what was wrong: {wrong:?}");
    }
    wrong.keys().all(|&status| status == CLOSED) && closed <= closed_limit && missed <= missed_limit
}

fn main() {
    guest::on(libc::SIGTRAP, on_trap);
    TRACE.store(map_shared(size_of::<Trace>()).expose_provenance(), SeqCst);
    let mut arguments = std::env::args().skip(1);
    let stride = arguments
        .next()
        .map_or(1, |stride| stride.parse().expect("a number"));
    let only = arguments.next();
    let mut well = true;
    for who in [Who::Tracking, Who::Forked, Who::Foreign] {
        if only
            .as_ref()
            .is_some_and(|only| *only != format!("{who:?}"))
        {
            continue;
        }
        // A process leaves the record of another process alone, so that a fork changes
        // nothing there.
        if who != Who::Foreign {
            well &= swap(who, What::Fork, Which::Lowest, stride);
        }
        for what in [What::File, What::OwnDevice] {
            well &= swap(who, what, Which::Lowest, stride);
            // Only these two have the device open at two numbers.
            if who != Who::Tracking {
                well &= swap(who, what, Which::Highest, stride);
            }
        }
    }
    exit(i32::from(!well));
}
