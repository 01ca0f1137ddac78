//! Threads that make their first UUID when they end.

use std::ffi::c_void;
use std::fs;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use fork_safe_uuid::{Generator, new_v4, status};
use support::harness::{is_emulated, turns};

use crate::guest::{self, on_x86_64};

support::scenarios![
    threads_that_come_and_go_leave_nothing {
        possible: on_x86_64,
        seconds: 600
    },
    twenty_thousand_threads_that_make_their_first_when_they_end_leave_nothing { seconds: 180 },
    a_key_set_in_the_last_round_of_destructors_is_not_called,
];

/// How often a thread calls the destructors of its keys, in glibc and in musl:
/// as long as one of them sets a value, but no more than this.
const ROUNDS: usize = 4;

/// Starts `count` threads, one after the other. In the last round of its
/// destructors each calls `LAST`, and nothing is called after that.
fn end_threads(count: usize, key: libc::pthread_key_t) {
    for _ in 0..count {
        let ends = thread::spawn(move || {
            let first = ptr::without_provenance_mut::<c_void>(1);
            // SAFETY: a key that is never deleted; its values are numbers.
            assert_eq!(unsafe { libc::pthread_setspecific(key, first) }, 0);
        });
        ends.join().expect("no panic");
    }
}

static KEY: AtomicUsize = AtomicUsize::new(0);
static LAST: AtomicUsize = AtomicUsize::new(0);
static CALLED: AtomicUsize = AtomicUsize::new(0);

/// A key whose destructor counts the rounds. It is younger than the keys that
/// there are by now, so in its last round their turn is over.
fn rounds_key(last: fn()) -> libc::pthread_key_t {
    extern "C" fn next(round: *mut c_void) {
        CALLED.fetch_add(1, Relaxed);
        if round.addr() == ROUNDS {
            // SAFETY: stored below as a function of this type.
            let last = unsafe { std::mem::transmute::<usize, fn()>(LAST.load(Relaxed)) };
            return last();
        }
        let round = ptr::without_provenance_mut(round.addr() + 1);
        // SAFETY: as in `end_threads`.
        unsafe { libc::pthread_setspecific(KEY.load(Relaxed) as libc::pthread_key_t, round) };
    }
    LAST.store(last as *const () as usize, Relaxed);
    let mut key = 0;
    // SAFETY: the pointer leads to a key; the destructor takes any value.
    let created = unsafe { libc::pthread_key_create(&raw mut key, Some(next)) };
    assert_eq!(created, 0);
    KEY.store(key as usize, Relaxed);
    key
}

/// Address space and resident memory of this process, in KiB; nothing under an
/// emulator, whose own they are.
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

/// More than there are pages (16,384) or states of the vDSO (4,096).
fn twenty_thousand_threads_that_make_their_first_when_they_end_leave_nothing() {
    let threads = turns(20_000);
    // Whatever keys the crate has are older then.
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
    assert!(pooled, "there are no pages any more");
    for (before, after) in before.into_iter().zip(after) {
        assert!(after <= before + 2048, "{before} KiB before, {after} after");
    }
}

/// The control: what relies on a destructor leaks there.
fn a_key_set_in_the_last_round_of_destructors_is_not_called() {
    static OLDER: AtomicUsize = AtomicUsize::new(0);
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn count(_: *mut c_void) {
        COUNT.fetch_add(1, Relaxed);
    }
    fn set() {
        let value = ptr::without_provenance_mut(1);
        // SAFETY: a key that is never deleted; its values are numbers.
        unsafe { libc::pthread_setspecific(OLDER.load(Relaxed) as libc::pthread_key_t, value) };
    }
    let mut older = 0;
    // SAFETY: the pointer leads to a key; the destructor takes any value.
    let created = unsafe { libc::pthread_key_create(&raw mut older, Some(count)) };
    assert_eq!(created, 0);
    OLDER.store(older as usize, Relaxed);
    let key = rounds_key(set);
    // Set before its end, it is.
    thread::spawn(set).join().expect("no panic");
    assert_eq!(COUNT.load(Relaxed), 1);
    end_threads(10, key);
    assert_eq!(CALLED.load(Relaxed), 10 * ROUNDS);
    assert_eq!(COUNT.load(Relaxed), 1);
}

fn threads_that_come_and_go_leave_nothing() {
    guest::assert_passes("memory", &["threads"]);
}
