//! A thread is stopped while it opens or tracks the device. Meanwhile the process forks, or
//! another thread calls `prepare()`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::{mem, ptr, thread};

use fork_safe_uuid::Uuid;
use seccompiler::SeccompAction;
use support::ok;
use support::process::{fork, in_copy};
use support::sandbox::{confine, refuse_getrandom};

use crate::arena::Arena;
use crate::p3::torture::{PORTION, assert_all_distinct, hung, make_each_way, start_child};

support::scenarios![
    forking_while_a_thread_opens_the_device_hangs_nobody {
        possible: on_x86_64_glibc
    },
    forking_while_a_thread_opens_the_device_hangs_getrandom {
        possible: on_x86_64_glibc
    },
    prepare_waits_for_a_thread_that_tracks_the_device {
        possible: on_x86_64_glibc
    },
];

/// Returns whether the libc opens files by openat(2), and the handlers know the registers.
fn on_x86_64_glibc() -> bool {
    cfg!(all(target_arch = "x86_64", target_env = "gnu"))
}

/// Whether a thread is in one of the handlers below.
static HELD: AtomicBool = AtomicBool::new(false);
/// Whether a thread that is about to open the device may continue.
static CONTINUE: AtomicBool = AtomicBool::new(false);

/// Opens a file in place of openat(2), which the filter refuses. Before it opens a device, it
/// waits until the scenario lets it continue.
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
extern "C" fn handler(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes the context to this handler.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let [path, flags] = [libc::REG_RSI, libc::REG_RDX].map(|name| registers[name as usize]);
    // SAFETY: the libc passes a path, which ends in a zero byte.
    let name = unsafe { std::ffi::CStr::from_ptr(ptr::with_exposed_provenance(path as usize)) };
    if name.to_bytes().starts_with(b"/dev/") {
        HELD.store(true, Relaxed);
        while !CONTINUE.load(Relaxed) {
            thread::yield_now();
        }
    }
    // SAFETY: open(2), which the filter allows, gets the arguments of the refused call.
    registers[libc::REG_RAX as usize] = unsafe {
        match libc::syscall(libc::SYS_open, path, flags) {
            -1 => -i64::from(*libc::__errno_location()),
            number => number,
        }
    };
}

#[cfg(not(all(target_arch = "x86_64", target_env = "gnu")))]
extern "C" fn handler(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    unreachable!("not possible here");
}

const CHILDREN: usize = 4;

type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

fn on_sigsys(handler: Handler) {
    // SAFETY: the handler has this type. The pointer leads to the structure, in which zeros
    // are valid.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        ok(libc::sigaction(
            libc::SIGSYS,
            &raw const action,
            ptr::null_mut(),
        ));
    }
}

/// Forks while a thread is about to open the device, and returns how many of the children
/// hang.
fn hung_meanwhile(make: fn(&mut [Uuid])) -> usize {
    on_sigsys(handler);
    refuse_getrandom();
    confine(&[libc::SYS_openat], SeccompAction::Trap);
    let arena = Arena::new((CHILDREN + 1) * PORTION);
    let hung = thread::scope(|scope| {
        scope.spawn(|| make(arena.claim(PORTION).expect("room")));
        while !HELD.load(Relaxed) {
            thread::yield_now();
        }
        let in_child = |ids: &mut [Uuid]| {
            CONTINUE.store(true, Relaxed);
            make(ids);
        };
        let children = (0..CHILDREN).map(|_| start_child(&arena, in_child));
        let hung = hung(children.collect());
        CONTINUE.store(true, Relaxed);
        hung
    });
    if hung == 0 {
        assert_all_distinct(arena.into_ids());
    }
    hung
}

fn forking_while_a_thread_opens_the_device_hangs_nobody() {
    assert_eq!(hung_meanwhile(make_each_way), 0);
}

/// The control: in each child, the `getrandom` crate waits for a thread that the child does
/// not have.
fn forking_while_a_thread_opens_the_device_hangs_getrandom() {
    let hung = hung_meanwhile(|ids| {
        ids.fill_with(|| {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).expect("the device");
            Uuid::from_bytes(bytes)
        });
    });
    assert_eq!(hung, CHILDREN, "getrandom was mended?");
}

/// How often a thread has slept.
static SLEPT: AtomicUsize = AtomicUsize::new(0);

/// Sleeps in place of the calls of [`SLEEPS`], which the filter refuses. Each sleep takes 50 ms,
/// so that on a busy machine, too, other threads run meanwhile.
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
extern "C" fn sleep_longer(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    SLEPT.fetch_add(1, Relaxed);
    // SAFETY: poll(2) gets no descriptors. The kernel passes the context to this handler.
    unsafe {
        libc::poll(ptr::null_mut(), 0, 50);
        (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RAX as usize] = 0;
    }
}

/// The calls by which `prepare` waits for another thread.
const SLEEPS: [libc::c_long; 2] = [libc::SYS_nanosleep, libc::SYS_clock_nanosleep];

/// Lets each wait of `prepare` take 50 ms. It waits a limited number of times, for a thread
/// that may have to wait for a processor.
pub fn let_prepare_wait_longer() {
    if on_x86_64_glibc() {
        on_sigsys(sleep_longer);
        confine(&SLEEPS, SeccompAction::Trap);
    }
}

/// Duplicates a descriptor in place of dup3(2), which the filter refuses, when `prepare` has
/// waited for this thread three times, or has returned. A thread of a forked child calls dup3(2)
/// to track its descriptor.
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
extern "C" fn hold_dup3(number: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes the context to this handler.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    if registers[libc::REG_RAX as usize] != libc::SYS_dup3 {
        return sleep_longer(number, info, context);
    }
    let [from, to] = [libc::REG_RDI, libc::REG_RSI].map(|name| registers[name as usize] as i32);
    HELD.store(true, Relaxed);
    while SLEPT.load(Relaxed) < 3 && !CONTINUE.load(Relaxed) {
        thread::yield_now();
    }
    // SAFETY: the filter allows dup2(2), which has no argument for the flag, and fcntl(2).
    registers[libc::REG_RAX as usize] = unsafe {
        ok(libc::dup2(from, to));
        ok(libc::fcntl(to, libc::F_SETFD, libc::FD_CLOEXEC));
        to.into()
    };
}

#[cfg(not(all(target_arch = "x86_64", target_env = "gnu")))]
extern "C" fn hold_dup3(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    unreachable!("not possible here");
}

#[cfg(not(all(target_arch = "x86_64", target_env = "gnu")))]
extern "C" fn sleep_longer(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    unreachable!("not possible here");
}

fn prepare_waits_for_a_thread_that_tracks_the_device() {
    refuse_getrandom();
    fork_safe_uuid::prepare().expect("the device");
    in_copy(fork, || {
        on_sigsys(hold_dup3);
        let [nanosleep, clock_nanosleep] = SLEEPS;
        let calls = [libc::SYS_dup3, nanosleep, clock_nanosleep];
        confine(&calls, SeccompAction::Trap);
        thread::scope(|scope| {
            scope.spawn(fork_safe_uuid::new_v4);
            while !HELD.load(Relaxed) {
                thread::yield_now();
            }
            let prepared = fork_safe_uuid::prepare();
            let waits = SLEPT.load(Relaxed);
            CONTINUE.store(true, Relaxed);
            let status = prepared.expect("a descriptor that stays");
            assert!(status.device_is_open(), "{status}");
            assert!(waits >= 3, "it waited {waits} times");
        });
        vec![]
    });
}
