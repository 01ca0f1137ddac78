//! Puts a decoy at the device's number, at each instruction of a draw.
//!
//! The decoy is a regular file, the one kind that pread(2) reads from. It must
//! keep its offset, its bytes must not come out, and it must not be closed.
//! Twice: with the descriptor tracked, and where there is no wiped memory to
//! track it in, so that each draw opens and closes one.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::collections::BTreeMap;
use std::io::{Seek, Write};
use std::os::fd::AsRawFd;
use std::process::exit;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst};

use fork_safe_uuid::source::{Device, EntropySource};
use guest::trap;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

static STEP: AtomicUsize = AtomicUsize::new(0);
static TARGET: AtomicUsize = AtomicUsize::new(0);
static DECOY: AtomicI32 = AtomicI32::new(-1);
static TAKEN: AtomicI32 = AtomicI32::new(-1);

const SHOWN: i32 = 1;
const CONSUMED: i32 = 2;
const CLOSED: i32 = 4;

/// Between the last proof and close(2) stand some instructions, 40 with glibc
/// 2.36 and 121 with musl 1.2.5, which converts what fstat(2) said, and nothing
/// can be done about them.
const BEFORE_CLOSE: usize = if cfg!(target_env = "musl") { 150 } else { 60 };

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
        if let Some(number) = (3..64).find(|&number| is_device(number)) {
            libc::dup2(DECOY.load(SeqCst), number);
            TAKEN.store(number, SeqCst);
        }
        *libc::__errno_location() = errno;
    }
}

/// The child: a draw with a swap at one instruction; returns what went wrong.
fn draw(tracked: bool) -> i32 {
    let mut decoy = tempfile::tempfile().expect("a file");
    decoy.write_all(&b"DECOYDEC".repeat(100)).expect("a file");
    decoy.rewind().expect("a file");
    DECOY.store(decoy.as_raw_fd(), SeqCst);
    if !tracked {
        let refused = BTreeMap::from([(libc::SYS_madvise, vec![])]);
        let action = SeccompAction::Errno(libc::EINVAL as u32);
        let arch = std::env::consts::ARCH.try_into().expect("known");
        let filter: BpfProgram = SeccompFilter::new(refused, SeccompAction::Allow, action, arch)
            .and_then(TryInto::try_into)
            .expect("a filter");
        apply_filter(&filter).expect("seccomp");
    }
    let mut bytes = [0; 16];
    Device.fill(&mut bytes).expect("the device");

    trap(true);
    let drawn = Device.fill(&mut bytes);
    trap(false);

    drawn.expect("the device, opened anew");
    let mut wrong = 0;
    if bytes
        .windows(5)
        .any(|part| b"DECOYDECOYDEC".windows(5).any(|other| part == other))
    {
        wrong |= SHOWN;
    }
    if decoy.stream_position().expect("a file") != 0 {
        wrong |= CONSUMED;
    }
    let identity = |fd| stat(fd).map(|stat| (stat.st_dev, stat.st_ino));
    let taken = TAKEN.load(SeqCst);
    if taken >= 0 && identity(taken) != identity(decoy.as_raw_fd()) {
        wrong |= CLOSED;
    }
    wrong
}

fn main() {
    guest::on(libc::SIGTRAP, on_trap);
    let mut failed = false;
    for tracked in [true, false] {
        let mut wrong = BTreeMap::<i32, Vec<usize>>::new();
        for target in 0.. {
            TARGET.store(target, SeqCst);
            let mut status = 0;
            // SAFETY: one thread; the pointer leads to an int.
            unsafe {
                let pid = libc::fork();
                if pid == 0 {
                    let wrong = draw(tracked);
                    // Past the end of the call there is nothing to inject.
                    let over = STEP.load(SeqCst) <= target;
                    libc::_exit(if over { 64 } else { wrong });
                }
                libc::waitpid(pid, &raw mut status, 0);
            }
            assert!(
                libc::WIFEXITED(status),
                "ended with {status:#x} at {target}"
            );
            match libc::WEXITSTATUS(status) {
                0 => {}
                64 => {
                    println!(
                        "{}: {target} instructions",
                        if tracked { "tracked" } else { "untracked" }
                    );
                    break;
                }
                what => wrong.entry(what).or_default().push(target),
            }
        }
        println!("shown: 1, consumed: 2, closed: 4: {wrong:?}");
        let closed = wrong.remove(&CLOSED).map_or(0, |at| at.len());
        failed |= !wrong.is_empty() || closed > if tracked { 0 } else { BEFORE_CLOSE };
    }
    exit(i32::from(failed));
}
