//! What is in the middle of being called.

use std::hint::black_box;
use std::ptr;

use fork_safe_uuid::{
    Error, Generator, Uuid, fill_v4, reseed, try_fill_v7, try_new_v4, try_now_v1, try_now_v7,
    try_random_node,
};
use support::SLOTS;

use crate::log::{self, Make, draw, draw_unbuffered};
use crate::{armed, disarm, finish};

pub struct Path {
    pub name: &'static str,
    pub call: fn(),
    pub long: bool,
    /// At so many instructions at the most a fork leaves the call's values in
    /// both processes: those between the last question for `alive` and the
    /// caller. Of the fast path it is the branch, the store of the state, and
    /// what the compiler puts behind it.
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

/// Blocks after which a seed is renewed, and the slots are used up.
const BLOCKS_PER_SEED: usize = 4096;

pub const PATHS: [Path; 24] = [
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
    // By another thread: glibc takes malloc's locks only where there are two,
    // and what a heap of its own does is the same each time.
    path(
        "malloc",
        || in_thread(|| allocate(2000), || finish()),
        true,
        0,
    ),
    // Complete: there are few instructions, and the lock is held at most of them.
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
    path("version 1", || of(v1, 5, one_v1), true, 120),
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

/// With a node that is this copy's: the clock sequence alone would be equal in
/// one run of 16,384.
fn v1() -> Result<Uuid, Error> {
    try_now_v1(&try_random_node()?)
}

/// Makes the call, and nothing else, while armed.
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

/// Tells of the first and the last few: of two seeds.
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

/// An allocation with its lock held; an event makes its thread's first UUID.
#[inline(never)]
fn allocate(size: usize) {
    armed();
    // SAFETY: the second frees what the first returned.
    unsafe { libc::free(black_box(libc::malloc(black_box(size)))) };
    disarm();
}

/// More keys than a thread's descriptor has room for: glibc allocates when a thread
/// sets the value of a later one. By the thread, so that std's own key, which would
/// have it allocate at another time, comes before them.
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
    .expect("ends the process");
}

fn in_child(call: fn()) {
    // SAFETY: one thread; the pointer leads to an int.
    unsafe {
        let pid = libc::fork();
        if pid != 0 {
            let mut status = 0;
            libc::waitpid(pid, &raw mut status, 0);
            libc::_exit(i32::from(status != 0));
        }
    }
    log::set_alarm();
    call();
}

/// Armed for the rest of the thread, up to the destructor of a key that is
/// younger than the library's.
#[inline(never)]
fn the_end() {
    extern "C" fn last(_: *mut libc::c_void) {
        disarm();
        finish();
    }
    draw(5);
    draw_unbuffered();
    let mut key = 0;
    // SAFETY: the pointer leads to a key; the destructor takes any value.
    unsafe {
        assert_eq!(libc::pthread_key_create(&raw mut key, Some(last)), 0);
        assert_eq!(
            libc::pthread_setspecific(key, ptr::dangling::<u8>().cast()),
            0
        );
    }
    armed();
}
