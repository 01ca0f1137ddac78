//! Measures how much of an alternate signal stack (sigaltstack(2)) a handler needs if it
//! makes UUIDs.
//!
//! It prints a row for each case, in bytes: `case="refill" used=7100 own=3900`. `used`
//! contains the kernel's frame, which holds the registers of the interrupted code and
//! differs between processors. `own` is what the call needs in addition to a handler that
//! does nothing.
//!
//! Each case runs in its own process. It fills the stack with one byte, runs the handler on
//! it, and counts the bytes up to the last one that has changed.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::fmt::Debug;
use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use fork_safe_uuid::{Generator, Uuid, fill_v4, new_v4, now_v1, now_v7, prepare, reseed};
use support::SLOTS;
use support::seccomp::refuse;

struct Case {
    name: &'static str,
    /// Runs before the signal.
    before: fn(),
    handler: fn(),
}

const fn case(name: &'static str, before: fn(), handler: fn()) -> Case {
    Case {
        name,
        before,
        handler,
    }
}

/// How many UUIDs are made before the seed is renewed.
const BLOCKS_PER_SEED: usize = 4096;

const CASES: [Case; 15] = [
    case("nothing", || {}, || {}),
    // The control: the measurement sees a buffer of this size.
    case("a buffer of 20000", || {}, || _ = black_box([1_u8; 20_000])),
    case("ready", || make(1), || make(1)),
    case("refill", || make(SLOTS), || make(1)),
    case("renewal of the seed", || fill(BLOCKS_PER_SEED), || make(1)),
    case("first", || {}, || make(1)),
    case(
        "after reseed",
        || make(1),
        || {
            reseed();
            make(1);
        },
    ),
    case(
        "fill of 7",
        || make(SLOTS - 3),
        || {
            fill_v4(black_box(&mut [Uuid::nil(); 7]));
        },
    ),
    case("fill of 1000", || make(1), || fill(1000)),
    case("unbuffered", || {}, unbuffered),
    case("version 7", || {}, || _ = black_box(now_v7())),
    case("version 1", || {}, || _ = black_box(now_v1(&[1; 6]))),
    case("prepare", || {}, || _ = black_box(prepare())),
    case("first by the device", refuse_getrandom, || make(1)),
    case("unbuffered by the device", refuse_getrandom, unbuffered),
];

fn make(count: usize) {
    (0..count).for_each(|_| _ = black_box(new_v4()));
}

fn unbuffered() {
    black_box(Generator::unbuffered().new_v4());
}

/// Fills memory that is not on the stack.
fn fill(count: usize) {
    static mut ROOM: [Uuid; BLOCKS_PER_SEED] = [Uuid::nil(); BLOCKS_PER_SEED];
    // SAFETY: this process has one thread, and no handler interrupts this call.
    let room = unsafe { std::slice::from_raw_parts_mut((&raw mut ROOM).cast(), count) };
    fill_v4(room);
}

fn refuse_getrandom() {
    refuse(&[libc::SYS_getrandom], libc::EPERM);
}

const SIZE: usize = 1 << 18;
const PAINT: u8 = 0xa5;

static CASE: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handler(_: i32) {
    (CASES[CASE.load(Relaxed)].handler)();
}

/// Returns how many bytes of the alternate stack the case uses, in a new process.
fn used(number: usize) -> usize {
    let mut ends = [0; 2];
    let mut used = [0; size_of::<usize>()];
    // SAFETY: this process has one thread. The pointers lead to two ints, or to as many
    // bytes as the calls are told.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        if libc::fork() == 0 {
            used = measure(number).to_ne_bytes();
            libc::write(ends[1], used.as_ptr().cast(), used.len());
            libc::_exit(0);
        }
        libc::close(ends[1]);
        let got = libc::read(ends[0], used.as_mut_ptr().cast(), used.len());
        assert_eq!(got, used.len() as isize, "{} failed", CASES[number].name);
        libc::close(ends[0]);
        libc::wait(ptr::null_mut());
    }
    usize::from_ne_bytes(used)
}

fn measure(number: usize) -> usize {
    CASE.store(number, Relaxed);
    let stack = vec![PAINT; SIZE].leak();
    let at = libc::stack_t {
        ss_sp: stack.as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: SIZE,
    };
    // SAFETY: the stack is never freed. A zeroed action is valid, and without `SA_SIGINFO`
    // a handler has this type.
    unsafe {
        assert_eq!(libc::sigaltstack(&raw const at, ptr::null_mut()), 0);
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK;
        let set = libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut());
        assert_eq!(set, 0);
    }
    (CASES[number].before)();
    // SAFETY: the signal has a handler.
    unsafe { libc::raise(libc::SIGUSR1) };
    let untouched = black_box(&*stack).iter().take_while(|&&byte| byte == PAINT);
    SIZE - untouched.count()
}

fn main() {
    let nothing = used(0);
    for (number, Case { name, .. }) in CASES.iter().enumerate() {
        let used = used(number);
        let own = used - nothing;
        let pairs: [(&str, &dyn Debug); 3] = [("case", name), ("used", &used), ("own", &own)];
        println!("{}", guest::row(&pairs));
    }
}
