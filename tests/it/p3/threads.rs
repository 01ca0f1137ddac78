//! Threads that make their first UUID when they end, and threads that come and go.

use std::ffi::c_void;
use std::fs;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use fork_safe_uuid::{Generator, new_v4, status};
use support::harness::{is_emulated, step, turns};

use crate::guest::{self, on_x86_64};

support::scenarios![
    threads_that_come_and_go_leave_nothing {
        possible: on_x86_64
    },
    twenty_thousand_threads_that_make_their_first_uuid_when_they_end_leave_nothing,
    the_destructor_of_a_key_set_in_the_last_round_is_not_called,
];

/// How many rounds of destructors there are at most when a thread ends, in glibc and in musl.
/// There is another round as long as a destructor sets a value.
const ROUNDS: usize = 4;

/// Runs `count` threads, one after the other. Each calls `LAST` in its last round of
/// destructors, after which nothing is called.
fn end_threads(count: usize, key: libc::pthread_key_t) {
    for number in 0..count {
        if number % 500 == 0 {
            step(format_args!("{number} of {count} threads have ended"));
        }
        let ends = thread::spawn(move || {
            let first = ptr::without_provenance_mut::<c_void>(1);
            // SAFETY: the key is never deleted, and its values are numbers.
            assert_eq!(unsafe { libc::pthread_setspecific(key, first) }, 0);
        });
        ends.join().expect("no panic");
    }
}

static KEY: AtomicUsize = AtomicUsize::new(0);
static LAST: AtomicUsize = AtomicUsize::new(0);
static CALLED: AtomicUsize = AtomicUsize::new(0);

/// Makes a key whose destructor counts the rounds. In each round it is called after the
/// destructors of the keys that were made before.
fn rounds_key(last: fn()) -> libc::pthread_key_t {
    extern "C" fn next(round: *mut c_void) {
        CALLED.fetch_add(1, Relaxed);
        if round.addr() == ROUNDS {
            // SAFETY: `LAST` is set below, to a function of this type.
            let last = unsafe { std::mem::transmute::<usize, fn()>(LAST.load(Relaxed)) };
            return last();
        }
        let round = ptr::without_provenance_mut(round.addr() + 1);
        // SAFETY: the key is never deleted, and its values are numbers.
        unsafe { libc::pthread_setspecific(KEY.load(Relaxed) as libc::pthread_key_t, round) };
    }
    LAST.store(last as *const () as usize, Relaxed);
    let mut key = 0;
    // SAFETY: the pointer leads to a key, and the destructor takes any value.
    let created = unsafe { libc::pthread_key_create(&raw mut key, Some(next)) };
    assert_eq!(created, 0);
    KEY.store(key as usize, Relaxed);
    key
}

/// Returns the address space and the resident memory of this process in KiB. Under an emulator
/// these would be the emulator's, and it returns zeros.
fn memory() -> [usize; 2] {
    let status = fs::read_to_string("/proc/self/status").expect("proc");
    ["VmSize:", "RssAnon:"].map(|name| {
        let size = status.lines().find_map(|line| line.strip_prefix(name));
        let size = size.and_then(|text| text.trim().strip_suffix(" kB"));
        match is_emulated() {
            true => 0,
            false => size.expect("proc").parse().expect("a number"),
        }
    })
}

fn make() {
    let _ = (new_v4(), Generator::unbuffered().new_v4());
}

/// There are more threads than pages (16,384) and states of the vDSO (4,096), so that some
/// would get none if each thread left one behind.
fn twenty_thousand_threads_that_make_their_first_uuid_when_they_end_leave_nothing() {
    let threads = turns(20_000);
    // If the crate had keys, it would make them here, before the one that counts the rounds.
    make();
    let key = rounds_key(make);
    end_threads(100, key);
    let before = memory();
    end_threads(threads, key);
    let after = memory();
    assert_eq!(CALLED.load(Relaxed), ROUNDS * (threads + 100));

    let pooled = thread::spawn(|| {
        make();
        status().pooled()
    });
    let pooled = pooled.join().expect("no panic");
    println!("{before:?} KiB before, {after:?} after, pooled: {pooled}");
    assert!(pooled, "no page is left");
    for (before, after) in before.into_iter().zip(after) {
        assert!(after <= before + 2048, "{before} KiB before, {after} after");
    }
}

/// The control: code that relies on a destructor would leak in these threads.
fn the_destructor_of_a_key_set_in_the_last_round_is_not_called() {
    static OLDER: AtomicUsize = AtomicUsize::new(0);
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn count(_: *mut c_void) {
        COUNT.fetch_add(1, Relaxed);
    }
    fn set() {
        let value = ptr::without_provenance_mut(1);
        // SAFETY: the key is never deleted, and its values are numbers.
        unsafe { libc::pthread_setspecific(OLDER.load(Relaxed) as libc::pthread_key_t, value) };
    }
    let mut older = 0;
    // SAFETY: the pointer leads to a key, and the destructor takes any value.
    let created = unsafe { libc::pthread_key_create(&raw mut older, Some(count)) };
    assert_eq!(created, 0);
    OLDER.store(older as usize, Relaxed);
    let key = rounds_key(set);
    // If the key is set before the thread ends, its destructor is called.
    thread::spawn(set).join().expect("no panic");
    assert_eq!(COUNT.load(Relaxed), 1);
    end_threads(10, key);
    assert_eq!(CALLED.load(Relaxed), 10 * ROUNDS);
    assert_eq!(COUNT.load(Relaxed), 1);
}

fn threads_that_come_and_go_leave_nothing() {
    guest::assert_passes("memory", &["threads"]);
}
