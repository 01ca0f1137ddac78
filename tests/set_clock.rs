//! A machine boots with a wrong time, and its clock is set right later.
//!
//! The free functions read the clock of the system. So this program defines clock_gettime(2)
//! itself, and the linker uses its function instead of the libc's. The clock advances by a
//! microsecond each time that it is read, however long the machine takes.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, mpsc};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use fork_safe_uuid::{Generator, Uuid, fill_v7, now_v1, now_v6, now_v7, reseed, status};

/// The time that is right in a test, in seconds since 1970.
static RIGHT: AtomicI64 = AtomicI64::new(1_800_000_000);
/// How often the clock was read.
static READ: AtomicI64 = AtomicI64::new(0);
/// The seconds by which the clock is ahead of the right time.
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// # Safety
///
/// `time` leads to a `timespec` that may be written.
// SAFETY: the function has the type of the libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(id: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    if id != libc::CLOCK_REALTIME {
        // SAFETY: the caller promises that the pointer is valid.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, id, time) as libc::c_int };
    }
    let micros = READ.fetch_add(1, Relaxed);
    let seconds = RIGHT.load(Relaxed) + AHEAD.load(Relaxed) + micros / 1_000_000;
    // SAFETY: as above.
    unsafe {
        (*time).tv_sec = seconds as libc::time_t;
        (*time).tv_nsec = (micros % 1_000_000 * 1000) as _;
    }
    0
}

const MONTH: i64 = 30 * 86_400;
const NODE: [u8; 6] = [0xde, 0xad, 0xbe, 0xef, 0x00, 0x01];

/// Gives a test the clock, and sets it right. All tests share the clock and the counts of
/// versions 6 and 1, so that one runs at a time, at a later time than all that were before.
fn clock() -> MutexGuard<'static, ()> {
    static CLOCK: Mutex<()> = Mutex::new(());
    let clock = CLOCK.lock().unwrap_or_else(|broken| broken.into_inner());
    AHEAD.store(0, Relaxed);
    RIGHT.fetch_add(2 * MONTH, Relaxed);
    clock
}

/// Makes two UUIDs of version 7, by `now_v7` and by `fill_v7`, and one each of versions 6 and
/// 1.
fn one_of_each() -> [Uuid; 4] {
    let mut one = [Uuid::nil()];
    fill_v7(&mut one);
    [now_v7(), one[0], now_v6(&NODE), now_v1(&NODE)]
}

/// Asserts by how many seconds the timestamps are ahead of the right time.
#[track_caller]
fn assert_ahead(ids: &[Uuid], seconds: i64) {
    let right = SystemTime::now().duration_since(UNIX_EPOCH).expect("after");
    let right = right.as_secs() as i64 - AHEAD.load(Relaxed);
    for id in ids {
        let time = id.get_timestamp().expect("a time").to_unix().0 as i64;
        let ahead = time - right;
        assert_eq!(ahead, seconds, "{id}");
    }
}

/// Returns the clock sequence of a version 6 or 1.
fn sequence(id: Uuid) -> u16 {
    (id.as_u128() >> 48) as u16 & 0x3fff
}

/// Returns what `make` returns in a forked child.
fn in_child<const COUNT: usize>(make: impl FnOnce() -> [Uuid; COUNT]) -> [Uuid; COUNT] {
    let mut bytes = [[0; 16]; COUNT];
    let mut pipe = [0; 2];
    // SAFETY: the pointers lead to buffers of these lengths. The child has one thread, and
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
    // Another thread makes UUIDs before and after the clock is set right.
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
    assert_eq!(
        status().clock_steps(),
        steps + 2,
        "one of version 7, and one of 6 and 1"
    );
    go.send(()).expect("the thread");
    let others = thread.join().expect("no panic");
    assert_ahead(&others, 0);
    assert_eq!(
        status().clock_steps(),
        steps + 3,
        "one of version 7 in the thread"
    );
    all.extend(child.into_iter().chain(right).chain(others));

    // The clock is set wrong and right again, twice.
    for ahead in [MONTH, 0, MONTH, 0] {
        AHEAD.store(ahead, Relaxed);
        let ids = one_of_each();
        assert_ahead(&ids, ahead);
        all.extend(ids);
    }
    assert_eq!(BTreeSet::from_iter(&all).len(), all.len());
}

/// The control: a clock that is not followed shows in the timestamps, also in those of
/// `uuid7`.
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
        // In a child, versions 6 and 1 follow the clock, because they have another clock
        // sequence. It is the same as the parent's once in 16,384.
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
    // Once in 16,384 the new clock sequence is the old one, and its count continues.
    while sequence(now_v1(&NODE)) == sequence(held[3]) {
        reseed();
    }
    go.send(()).expect("the thread");
    let followed = make();
    assert_ahead(&followed, 0);
    let others = thread.join().expect("no panic");
    assert_ahead(&others, 0);
    assert!(others[0] < others[1]);
    assert_eq!(status().clock_steps(), steps);
    all.extend(held.into_iter().chain(followed).chain(others));
    assert_eq!(BTreeSet::from_iter(&all).len(), all.len());
}
