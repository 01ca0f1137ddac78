//! A machine that booted with a wrong time and whose clock is then set right.
//!
//! The free functions read the system's clock; in a program of its own this
//! function stands before the libc's, as in `refused_clock`.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, mpsc};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use fork_safe_uuid::{Generator, Uuid, fill_v7, now_v1, now_v6, now_v7, reseed, status};

/// What the clock shows, in seconds from the system's: this is right, and so
/// far ahead of it is it set.
static RIGHT: AtomicI64 = AtomicI64::new(0);
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// # Safety
///
/// As clock_gettime(2).
// SAFETY: the type of the libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(id: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    // SAFETY: the caller vouches for the pointer.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, id, time) as libc::c_int };
    if id == libc::CLOCK_REALTIME && result == 0 {
        // SAFETY: as above; the call has written it.
        unsafe { (*time).tv_sec += (RIGHT.load(Relaxed) + AHEAD.load(Relaxed)) as libc::time_t };
    }
    result
}

const MONTH: i64 = 30 * 86_400;
const NODE: [u8; 6] = [0xde, 0xad, 0xbe, 0xef, 0x00, 0x01];

/// The clock and the counts of versions 6 and 1 are the process's: one test at a
/// time, each later than all that the one before it has shown.
fn clock() -> MutexGuard<'static, ()> {
    static CLOCK: Mutex<()> = Mutex::new(());
    let clock = CLOCK.lock().unwrap_or_else(|broken| broken.into_inner());
    AHEAD.store(0, Relaxed);
    RIGHT.fetch_add(2 * MONTH, Relaxed);
    clock
}

/// Version 7 one by one and at once, 6 and 1.
fn one_of_each() -> [Uuid; 4] {
    let mut one = [Uuid::nil()];
    fill_v7(&mut one);
    [now_v7(), one[0], now_v6(&NODE), now_v1(&NODE)]
}

/// Asserts how far ahead of the right time they say that they were made. A slow
/// machine has 4 of the 9 seconds that one of the tests tells from none.
#[track_caller]
fn assert_ahead(ids: &[Uuid], seconds: i64) {
    let right = SystemTime::now().duration_since(UNIX_EPOCH).expect("after");
    let right = right.as_secs() as i64 - AHEAD.load(Relaxed);
    for id in ids {
        let time = id.get_timestamp().expect("a time").to_unix().0 as i64;
        let ahead = time - right;
        assert!(ahead.abs_diff(seconds) <= 4, "{id}: {ahead} s ahead");
    }
}

fn sequence(id: Uuid) -> u16 {
    (id.as_u128() >> 48) as u16 & 0x3fff
}

/// What `make` returns in a forked child.
fn in_child<const COUNT: usize>(make: impl FnOnce() -> [Uuid; COUNT]) -> [Uuid; COUNT] {
    let mut bytes = [[0; 16]; COUNT];
    let mut pipe = [0; 2];
    // SAFETY: the pointers lead to as many bytes; the child has one thread, and
    // takes no lock.
    unsafe {
        assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        let pid = libc::fork();
        if pid == 0 {
            bytes = make().map(Uuid::into_bytes);
            let written = libc::write(pipe[1], bytes.as_ptr().cast(), 16 * COUNT);
            libc::_exit(i32::from(written < 0));
        }
        let read = libc::read(pipe[0], bytes.as_mut_ptr().cast(), 16 * COUNT);
        assert_eq!(read, 16 * COUNT as isize);
        libc::waitpid(pid, std::ptr::null_mut(), 0);
        for end in pipe {
            libc::close(end);
        }
    }
    bytes.map(Uuid::from_bytes)
}

#[test]
fn a_clock_that_was_a_month_ahead_is_followed_as_soon_as_it_is_set_right() {
    let _clock = clock();
    let mut all = vec![];
    AHEAD.store(MONTH, Relaxed);
    let wrong = one_of_each();
    assert_ahead(&wrong, MONTH);
    all.extend(wrong);
    // Another thread, which makes one before and some after.
    let (go, wait) = mpsc::channel::<()>();
    let (ready, made) = mpsc::channel();
    let thread = thread::spawn(move || {
        ready.send(one_of_each()).expect("the test");
        wait.recv().expect("the test");
        one_of_each()
    });
    all.extend(made.recv().expect("the thread"));

    let steps = status().clock_steps();
    AHEAD.store(0, Relaxed);
    let child = in_child(one_of_each);
    let right = one_of_each();
    assert_ahead(&child, 0);
    assert_ahead(&right, 0);
    assert!(right[0] > right[1] && right[0] < now_v7());
    assert_ne!(sequence(right[2]), sequence(wrong[2]));
    assert_eq!(sequence(right[3]), sequence(right[2]));
    assert_eq!(status().clock_steps(), steps + 2, "version 7, and 6 and 1");
    go.send(()).expect("the thread");
    let others = thread.join().expect("no panic");
    assert_ahead(&others, 0);
    assert_eq!(status().clock_steps(), steps + 3, "the thread's version 7");
    all.extend(child.into_iter().chain(right).chain(others));

    // To and fro.
    for ahead in [MONTH, 0, MONTH, 0] {
        AHEAD.store(ahead, Relaxed);
        let ids = one_of_each();
        assert_ahead(&ids, ahead);
        all.extend(ids);
    }
    assert_eq!(BTreeSet::from_iter(&all).len(), all.len());
}

/// The control: what a clock that is not followed looks like, in `uuid7`, too.
#[test]
fn a_clock_nine_seconds_back_is_not_followed_and_uuid7_has_the_same_bound() {
    let _clock = clock();
    let start = status().clock_steps();
    let peer = || Uuid::from_bytes(uuid7::uuid7().into());
    for (ahead, shown, steps) in [
        (0, 0, 0),
        (9, 9, 0),
        (0, 9, 0),
        (MONTH, MONTH, 0),
        (MONTH - 9, MONTH, 0),
        (0, 0, 2),
    ] {
        AHEAD.store(ahead, Relaxed);
        let ids = one_of_each();
        assert_ahead(&ids, shown);
        assert_ahead(&[peer()], shown);
        // In a child, versions 6 and 1 have another clock sequence and need not
        // hold anything; it is the same once in 16,384.
        let child = in_child(one_of_each);
        assert_ahead(&child[..2], shown);
        if sequence(child[3]) != sequence(ids[3]) {
            assert_ahead(&child[2..], ahead);
        }
        assert_eq!(status().clock_steps(), start + steps);
    }
}

#[test]
fn after_reseed_every_thread_and_generator_follows_the_clock() {
    let _clock = clock();
    let generator = Generator::new();
    let make = || {
        let [a, b, c, d] = one_of_each();
        [a, b, c, d, generator.now_v7()]
    };
    AHEAD.store(9, Relaxed);
    let mut all = Vec::from(make());
    let (go, wait) = mpsc::channel::<()>();
    let (ready, made) = mpsc::channel();
    let thread = thread::spawn(move || {
        ready.send(now_v7()).expect("the test");
        wait.recv().expect("the test");
        [now_v7(), now_v7()]
    });
    all.push(made.recv().expect("the thread"));
    AHEAD.store(0, Relaxed);
    let held = make();
    assert_ahead(&held, 9);
    let steps = status().clock_steps();
    reseed();
    // The same clock sequence is drawn once in 16,384, and goes on in its count.
    while sequence(now_v1(&NODE)) == sequence(held[3]) {
        reseed();
    }
    go.send(()).expect("the thread");
    let anew = make();
    assert_ahead(&anew, 0);
    let others = thread.join().expect("no panic");
    assert_ahead(&others, 0);
    assert!(others[0] < others[1]);
    assert_eq!(status().clock_steps(), steps);
    all.extend(held.into_iter().chain(anew).chain(others));
    assert_eq!(BTreeSet::from_iter(&all).len(), all.len());
}
