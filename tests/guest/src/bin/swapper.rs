//! Puts a decoy at the device's number, at each instruction of a draw.
//!
//! The decoy is a regular file, a kind that pread(2) reads from, or a descriptor
//! of the same device that the program itself opened. It must keep its offset, its
//! bytes must not come out, and it must not be closed or replaced. In a process
//! that tracks a descriptor, in a forked child that puts its own in the place of
//! the inherited one, and in a process that may not use the record, so that each
//! draw opens and closes a descriptor. With an argument, only in one of them:
//! `Tracking`, `Forked`, `Foreign`.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::AsRawFd;
use std::process::exit;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering::SeqCst};

use fork_safe_uuid::source::{Device, EntropySource, TrackedDevice};
use guest::trap;
use support::seccomp::refuse;

static STEP: AtomicUsize = AtomicUsize::new(0);
static TARGET: AtomicUsize = AtomicUsize::new(0);
static DECOY: AtomicI32 = AtomicI32::new(-1);
static TAKEN: AtomicI32 = AtomicI32::new(-1);

const SHOWN: i32 = 1;
const CONSUMED: i32 = 2;
const CLOSED: i32 = 4;
const LEFT: i32 = 8;
const OVER: i32 = 64;

/// Between the last proof and close(2) or dup3(2) stand some instructions, 28 with
/// glibc 2.36 and 47 with musl 1.2.5, and nothing can be done about them.
const BEFORE_CLOSE: usize = 60;

/// Who draws.
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
    /// Nothing is put there: the process is forked, and the child draws. Each of the
    /// two must end with one descriptor, which it tracks.
    Fork,
}

/// Which of the device's numbers is taken, where there are two.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Which {
    Lowest,
    Highest,
}

static HIGHEST: AtomicBool = AtomicBool::new(false);
static FORKS: AtomicBool = AtomicBool::new(false);

/// The child that was forked; 0 in it, and -1 before.
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
    if STEP.fetch_add(1, SeqCst) != TARGET.load(SeqCst) {
        return;
    }
    // SAFETY: what the kernel gave this handler; errno is the interrupted
    // code's.
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

/// The child: a draw with a swap at one instruction; returns what went wrong.
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
        // SAFETY: one thread.
        Who::Forked => unsafe {
            let pid = libc::fork();
            if pid != 0 {
                let mut status = 0;
                libc::waitpid(pid, &raw mut status, 0);
                return libc::WEXITSTATUS(status);
            }
        },
        // The record is then another process's.
        Who::Foreign => refuse(&[libc::SYS_getpid], libc::EPERM),
    }

    trap(true);
    let drawn = Device.fill(&mut bytes);
    trap(false);

    drawn.expect("the device, opened anew");
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
    // SAFETY: asks for flags.
    let flags = |fd| unsafe { libc::fcntl(fd, libc::F_GETFL) };
    let identity = |fd| stat(fd).map(|stat| (stat.st_dev, stat.st_ino, flags(fd)));
    let taken = TAKEN.load(SeqCst);
    if taken >= 0 && identity(taken) != identity(decoy.as_raw_fd()) {
        wrong |= CLOSED;
    }
    // Past the end of the call there is nothing to inject.
    if STEP.load(SeqCst) <= TARGET.load(SeqCst) {
        return OVER;
    }
    wrong
}

/// What is wrong in this process or in the one that it forked.
fn after_fork(who: Who) -> i32 {
    Device.fill(&mut [0; 16]).expect("the device");
    let devices = (3..64).filter(|&number| is_device(number)).count();
    let is_tracked = matches!(
        fork_safe_uuid::status().device(),
        TrackedDevice::Open { .. }
    );
    let mut wrong = 0;
    if devices != 1 || is_tracked == (who == Who::Foreign) {
        wrong |= LEFT;
    }
    let child = CHILD.load(SeqCst);
    if child > 0 {
        let mut status = 0;
        // SAFETY: the pointer leads to an int.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        wrong |= if libc::WIFEXITED(status) {
            libc::WEXITSTATUS(status)
        } else {
            LEFT
        };
    }
    match child {
        -1 => OVER,
        _ => wrong,
    }
}

/// Returns whether all is well.
fn swap_at_each_instruction(who: Who, what: What, which: Which) -> bool {
    HIGHEST.store(which == Which::Highest, SeqCst);
    FORKS.store(what == What::Fork, SeqCst);
    let mut wrong = BTreeMap::<i32, Vec<usize>>::new();
    for target in 0.. {
        TARGET.store(target, SeqCst);
        let mut status = 0;
        // SAFETY: one thread; the pointer leads to an int.
        unsafe {
            let pid = libc::fork();
            if pid == 0 {
                libc::_exit(draw(who, what));
            }
            libc::waitpid(pid, &raw mut status, 0);
        }
        assert!(
            libc::WIFEXITED(status),
            "ended with {status:#x} at {target}"
        );
        match libc::WEXITSTATUS(status) {
            0 => {}
            OVER => {
                println!("{who:?}, {what:?} at the {which:?}: {target} instructions");
                break;
            }
            what => wrong.entry(what).or_default().push(target),
        }
    }
    println!("shown: 1, consumed: 2, closed: 4, not one descriptor: 8: {wrong:?}");
    let closed = wrong.remove(&CLOSED).map_or(0, |at| at.len());
    let most = match who {
        Who::Tracking => 0,
        Who::Foreign => BEFORE_CLOSE,
        // Of the inherited one, which is replaced, or of the new one.
        Who::Forked => BEFORE_CLOSE,
    };
    wrong.is_empty() && closed <= most
}

fn main() {
    guest::on(libc::SIGTRAP, on_trap);
    let only = std::env::args().nth(1);
    let mut well = true;
    for who in [Who::Tracking, Who::Forked, Who::Foreign] {
        if only
            .as_ref()
            .is_some_and(|only| *only != format!("{who:?}"))
        {
            continue;
        }
        // The record of another process it leaves alone, whoever forks.
        if who != Who::Foreign {
            well &= swap_at_each_instruction(who, What::Fork, Which::Lowest);
        }
        for what in [What::File, What::OwnDevice] {
            well &= swap_at_each_instruction(who, what, Which::Lowest);
            // There is only one otherwise.
            if who != Who::Tracking {
                well &= swap_at_each_instruction(who, what, Which::Highest);
            }
        }
    }
    exit(i32::from(!well));
}
