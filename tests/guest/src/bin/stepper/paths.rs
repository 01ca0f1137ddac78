//! The calls that the events interrupt.

use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use fork_safe_uuid::{
    Error, Generator, Uuid, fill_v4, now_v7, reseed, try_fill_v7, try_new_v4, try_now_v1,
    try_now_v7, try_random_node,
};
use support::SLOTS;

use crate::clock;
use crate::injection::{armed, disarm, finish, interrupt};
use crate::log::{self, Make, draw, draw_unbuffered};
use crate::verdict::word_of;

pub struct Path {
    pub name: &'static str,
    pub call: fn(),
    pub long: bool,
    /// A fork may leave the call's UUIDs in both processes at this many instructions: those
    /// after the last load of `alive`, up to the end of the call. In the fast path these are
    /// a branch, the store of the state, and what the compiler puts behind it.
    pub committed: usize,
}

const fn path(name: &'static str, call: fn(), long: bool, committed: usize) -> Path {
    Path {
        name,
        call,
        long,
        committed,
    }
}

/// How many blocks are made before the seed is renewed.
const BLOCKS_PER_SEED: usize = 4096;

pub const PATHS: [Path; 28] = [
    path("fast", || after(5, one), false, 12),
    path("last slot", || after(SLOTS - 1, one), false, 12),
    path("refill", || after(SLOTS, one), true, 80),
    path(
        "renewal of the seed",
        || {
            fill_v4(&mut [Uuid::nil(); BLOCKS_PER_SEED]);
            one();
        },
        true,
        80,
    ),
    path("first call", one, true, 80),
    path(
        "first call of a thread",
        || in_thread(one, || finish()),
        true,
        80,
    ),
    path(
        "first call of a forked child",
        || {
            draw(5);
            in_child(one);
        },
        true,
        80,
    ),
    path(
        "after reseed",
        || {
            draw(5);
            reseed();
            one();
        },
        true,
        80,
    ),
    path("bulk from slots", || after(5, many::<7>), true, 95),
    path(
        "bulk past slots",
        || after(SLOTS - 10, many::<{ SLOTS + 40 }>),
        true,
        95,
    ),
    path(
        "bulk over two seeds",
        || after(5, more_than_a_seed),
        true,
        95,
    ),
    path(
        "unbuffered",
        || {
            draw_unbuffered();
            one_unbuffered();
        },
        true,
        120,
    ),
    path("first unbuffered", one_unbuffered, true, 120),
    path("end of a thread", || in_thread(the_end, || {}), true, 0),
    // In a second thread, because glibc takes malloc's locks only if there are two, and
    // because a thread with its own heap does the same each time.
    path(
        "malloc",
        || in_thread(|| allocate(2000), || finish()),
        true,
        0,
    ),
    // It is not `long`: it has few instructions, and holds the lock at most of them.
    path(
        "malloc after many keys",
        || {
            let call = || {
                create_keys();
                allocate(2000);
            };
            in_thread(call, || finish());
        },
        false,
        0,
    ),
    path(
        "malloc of much",
        || in_thread(|| allocate(1 << 20), || finish()),
        true,
        0,
    ),
    path("version 7", || of(try_now_v7, 5, one_v7), false, 30),
    path(
        "version 7, refill",
        || of(try_now_v7, SLOTS, one_v7),
        true,
        120,
    ),
    path("first version 7", || of(try_now_v7, 0, one_v7), true, 120),
    path(
        "bulk of version 7",
        || of(try_now_v7, 5, many_v7),
        true,
        120,
    ),
    path(
        "version 7, clock set back",
        || {
            log::set_make(try_now_v7);
            clock::set_ahead(1000);
            // The handler's UUID has the later time, too.
            let _ = interrupt(nested(), || _ = now_v7(), now_v7);
            clock::set_ahead(0);
            one_v7();
        },
        false,
        30,
    ),
    path(
        "version 7, clock set back in a handler",
        || {
            log::set_make(try_now_v7);
            clock::set_ahead(1000);
            let handler = || {
                clock::set_ahead(0);
                draw(2);
            };
            let _ = interrupt(nested(), handler, now_v7);
            one_v7();
        },
        false,
        30,
    ),
    path(
        "version 7 in a handler of version 7",
        || {
            of(try_now_v7, 5, || _ = interrupt(nested(), one_v7, now_v7));
        },
        false,
        30,
    ),
    path("version 1", || of(v1, 5, one_v1), true, 120),
    path(
        "version 1, clock set back",
        || {
            // The event makes version 4, not version 1: a forked child continues the interrupted
            // call with its parent's node, and in one run of 16,384 it draws the clock sequence
            // of UUIDs that the parent makes later.
            clock::set_ahead(1000);
            let _ = v1();
            clock::set_ahead(0);
            one_v1();
        },
        false,
        60,
    ),
    path(
        "first version 1 after others",
        || {
            draw(5);
            of(v1, 0, one_v1);
        },
        true,
        120,
    ),
    path("first version 1", || of(v1, 0, one_v1), true, 120),
];

fn after(count: usize, call: fn()) {
    draw(count);
    call();
}

fn of(make: Make, count: usize, call: fn()) {
    log::set_make(make);
    after(count, call);
}

/// Uses the random node of this process. The clock sequences of two processes alone are
/// equal in one run of 16,384.
fn v1() -> Result<Uuid, Error> {
    try_now_v1(&try_random_node()?)
}

/// Returns the number of an instruction of `now_v7` at which a handler finds the order
/// of the thread in use.
///
/// The clock stands still, so that the handler and the interrupted call then continue from
/// the same UUID, with the same timestamp and counter.
fn nested() -> usize {
    static OF_HANDLER: AtomicU64 = AtomicU64::new(0);
    let handler = || OF_HANDLER.store(word_of(now_v7()), SeqCst);
    let is_nested =
        |at: &usize| word_of(interrupt(*at, handler, now_v7)) == OF_HANDLER.load(SeqCst);
    let known = &log::shared().nested;
    if known.load(SeqCst) == 0 {
        let found = (1..1000).find(is_nested);
        known.store(found.expect("the order is used"), SeqCst);
    }
    known.load(SeqCst)
}

/// Calls `make`, and nothing else, while the process is armed.
#[inline(always)]
fn one_by(make: impl Fn() -> Result<Uuid, Error>) {
    armed();
    let id = make();
    disarm();
    log::put_call(id.ok().as_slice());
}

#[inline(never)]
fn one() {
    one_by(try_new_v4);
}

#[inline(never)]
fn one_v7() {
    one_by(try_now_v7);
}

#[inline(never)]
fn one_v1() {
    one_by(v1);
}

#[inline(never)]
fn many_v7() {
    let mut ids = [Uuid::nil(); SLOTS + 40];
    armed();
    let filled = try_fill_v7(&mut ids);
    disarm();
    log::put_call(if filled.is_ok() { &ids } else { &[] });
}

#[inline(never)]
fn many<const COUNT: usize>() {
    let mut ids = [Uuid::nil(); COUNT];
    armed();
    let filled = fork_safe_uuid::try_fill_v4(&mut ids);
    disarm();
    log::put_call(if filled.is_ok() { &ids } else { &[] });
}

/// Puts the first and the last few UUIDs into the log, which come from two seeds.
#[inline(never)]
fn more_than_a_seed() {
    const FEW: usize = 5;
    let mut ids = [Uuid::nil(); BLOCKS_PER_SEED + 2 * FEW];
    armed();
    let filled = fork_safe_uuid::try_fill_v4(&mut ids);
    disarm();
    ids.copy_within(BLOCKS_PER_SEED + FEW.., FEW);
    log::put_call(if filled.is_ok() { &ids[..2 * FEW] } else { &[] });
}

#[inline(never)]
fn one_unbuffered() {
    let generator = Generator::unbuffered();
    one_by(|| generator.try_new_v4());
}

/// Allocates, which holds a lock of malloc(3). The event then makes the thread's first
/// UUID.
#[inline(never)]
fn allocate(size: usize) {
    armed();
    // SAFETY: the second frees what the first returned.
    unsafe { libc::free(black_box(libc::malloc(black_box(size)))) };
    disarm();
}

/// Creates more keys than a thread's descriptor has room for: glibc allocates when a thread
/// sets the value of a later key. The thread does this itself, so that std's own key comes
/// before these. Otherwise glibc would allocate at another time.
fn create_keys() {
    for _ in 0..40 {
        let mut key = 0;
        // SAFETY: the pointer leads to a key.
        assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, None) }, 0);
    }
}

fn in_thread(call: fn(), then: fn()) {
    std::thread::spawn(move || {
        call();
        then();
    })
    .join()
    .expect("no panic");
}

fn in_child(call: fn()) {
    // SAFETY: this process has one thread. The pointer leads to an int.
    unsafe {
        let pid = libc::fork();
        if pid != 0 {
            let mut status = 0;
            libc::waitpid(pid, &raw mut status, 0);
            libc::_exit(i32::from(status != 0));
        }
    }
    call();
}

/// Keeps the thread armed until it ends, in the destructor of a key that is younger than
/// the library's keys.
#[inline(never)]
fn the_end() {
    extern "C" fn last(_: *mut libc::c_void) {
        disarm();
        finish();
    }
    draw(5);
    draw_unbuffered();
    let mut key = 0;
    // SAFETY: the pointer leads to a key. The destructor takes any value.
    unsafe {
        assert_eq!(libc::pthread_key_create(&raw mut key, Some(last)), 0);
        assert_eq!(
            libc::pthread_setspecific(key, ptr::dangling::<u8>().cast()),
            0
        );
    }
    armed();
}
