//! How much of an alternate signal stack (sigaltstack(2)) a handler needs that
//! makes UUIDs.
//!
//! Prints a line for each case: `refill=7100 refill_own=3900`, in bytes. The
//! first figure has the kernel's frame in it, which holds the registers of the
//! interrupted code and differs from processor to processor. The second is what
//! the call adds to a handler that does nothing.
//!
//! Each case is a process of its own: the stack is painted, the handler runs on
//! it, and what is not painted any more was used.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use fork_safe_uuid::{Generator, Uuid, fill_v4, new_v4, now_v1, now_v7, prepare, reseed};
use support::SLOTS;
use support::seccomp::refuse;

/// What comes before the signal, and what the handler does.
struct Case {
    name: &'static str,
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

/// UUIDs after which a seed is renewed.
const BLOCKS_PER_SEED: usize = 4096;

const CASES: [Case; 15] = [
    case("nothing", || {}, || {}),
    // The control: the painting shows what is used.
    case("a_buffer_of_20000", || {}, || _ = black_box([1_u8; 20_000])),
    case("ready", || make(1), || make(1)),
    case("refill", || make(SLOTS), || make(1)),
    case("renewal_of_the_seed", || fill(BLOCKS_PER_SEED), || make(1)),
    case("first", || {}, || make(1)),
    case(
        "after_reseed",
        || make(1),
        || {
            reseed();
            make(1);
        },
    ),
    case(
        "fill_of_7",
        || make(SLOTS - 3),
        || {
            fill_v4(black_box(&mut [Uuid::nil(); 7]));
        },
    ),
    case("fill_of_1000", || make(1), || fill(1000)),
    case("unbuffered", || {}, unbuffered),
    case("version_7", || {}, || _ = black_box(now_v7())),
    case("version_1", || {}, || _ = black_box(now_v1(&[1; 6]))),
    case("prepare", || {}, || _ = black_box(prepare())),
    case("first_by_the_device", refuse_getrandom, || make(1)),
    case("unbuffered_by_the_device", refuse_getrandom, unbuffered),
];

fn make(count: usize) {
    (0..count).for_each(|_| _ = black_box(new_v4()));
}

fn unbuffered() {
    black_box(Generator::unbuffered().new_v4());
}

/// Room that is not on the stack, and is there before the handler.
fn fill(count: usize) {
    static mut ROOM: [Uuid; BLOCKS_PER_SEED] = [Uuid::nil(); BLOCKS_PER_SEED];
    // SAFETY: one thread, and no handler comes while this is not its own.
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

/// Bytes of the alternate stack that the case uses, in a process of its own.
fn used(number: usize) -> usize {
    let mut ends = [0; 2];
    let mut used = [0; size_of::<usize>()];
    // SAFETY: one thread; the pointers lead to two ints, or to as many bytes.
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
    // SAFETY: the stack is never freed; a zeroed action is valid, and the
    // handler has the type that no flag means.
    unsafe {
        assert_eq!(libc::sigaltstack(&raw const at, ptr::null_mut()), 0);
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK;
        let set = libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut());
        assert_eq!(set, 0);
    }
    (CASES[number].before)();
    // SAFETY: a signal for which there is a handler.
    unsafe { libc::raise(libc::SIGUSR1) };
    let untouched = black_box(&*stack).iter().take_while(|&&byte| byte == PAINT);
    SIZE - untouched.count()
}

fn main() {
    let nothing = used(0);
    for (number, Case { name, .. }) in CASES.iter().enumerate() {
        let used = used(number);
        println!("{name}={used} {name}_own={}", used - nothing);
    }
}
