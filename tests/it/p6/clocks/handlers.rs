//! Signal handlers that make version 7 at any time during a call.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fork_safe_uuid::Generator;
use fork_safe_uuid::clock::Clock;
use support::harness::{step, turns};
use support::ok;

use crate::timestamps::{SECOND, YEAR, new_year, time_of, word_of};

/// Makes `handler` the handler of alarms, and sets the first one. The handler may use nothing but
/// atomics, a generator and [`set_alarm`].
fn begin_alarms(handler: extern "C" fn(i32)) {
    // SAFETY: a handler may use these.
    unsafe { libc::signal(libc::SIGALRM, handler as *const () as libc::sighandler_t) };
    set_alarm();
}

/// Sets one alarm in 20 µs. A handler sets the next one itself, because on a slow machine a
/// repeated timer would leave no time for anything else.
fn set_alarm() {
    let never = libc::timeval {
        tv_sec: 0,
        tv_usec: 0,
    };
    let timer = libc::itimerval {
        it_interval: never,
        it_value: libc::timeval {
            tv_sec: 0,
            tv_usec: 20,
        },
    };
    // SAFETY: the pointer leads to a timer.
    ok(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, null_mut()) });
}

/// Makes a step of each thousand calls of a handler. The handlers take no lock that this may hold.
fn tell(calls: &AtomicU64) {
    static TOLD: AtomicU64 = AtomicU64::new(0);
    let thousands = calls.load(Relaxed) / 1000;
    if TOLD.swap(thousands, Relaxed) != thousands {
        step(format_args!("{thousands} thousand calls"));
    }
}

pub fn a_handler_at_any_time_keeps_the_order() {
    static GENERATOR: AtomicPtr<Generator> = AtomicPtr::new(null_mut());
    static LAST: AtomicU64 = AtomicU64::new(0);
    static CALLS: AtomicU64 = AtomicU64::new(0);
    static DISORDER: AtomicU64 = AtomicU64::new(0);
    extern "C" fn handler(_: i32) {
        // SAFETY: it was set before the timer, to a generator of this thread.
        let generator = unsafe { &*GENERATOR.load(Relaxed) };
        let word = word_of(generator.now_v7());
        DISORDER.fetch_add(u64::from(LAST.swap(word, Relaxed) >= word), Relaxed);
        CALLS.fetch_add(1, Relaxed);
        set_alarm();
    }
    struct Frozen;
    impl Clock for Frozen {
        fn now(&self) -> SystemTime {
            new_year()
        }
    }
    // The clock stands still, so that a lost increment of the counter shows as disorder.
    let generator = Generator::new().with_clock(Frozen);
    GENERATOR.store((&raw const generator).cast_mut(), Relaxed);
    begin_alarms(handler);
    let mut last = 0;
    let calls = turns(20_000) as u64;
    while CALLS.load(Relaxed) < calls {
        tell(&CALLS);
        let before = LAST.load(Relaxed).max(last);
        last = word_of(generator.now_v7());
        assert!(before < last, "{before:x} then {last:x}");
    }
    // SAFETY: no handler uses the generator after this.
    unsafe { libc::signal(libc::SIGALRM, libc::SIG_IGN) };
    assert_eq!(DISORDER.load(Relaxed), 0);
}

pub fn a_handler_at_any_time_of_a_step_back_keeps_the_order() {
    static GENERATOR: AtomicPtr<Generator> = AtomicPtr::new(null_mut());
    static LAST: AtomicU64 = AtomicU64::new(0);
    static CALLS: AtomicU64 = AtomicU64::new(0);
    static INSIDE: AtomicU64 = AtomicU64::new(0);
    static DISORDER: AtomicU64 = AtomicU64::new(0);
    static AHEAD: AtomicBool = AtomicBool::new(true);
    static STEPPING: AtomicBool = AtomicBool::new(false);
    extern "C" fn handler(_: i32) {
        if AHEAD.load(Relaxed) {
            return set_alarm();
        }
        // SAFETY: it was set before the timer, to a generator of this thread.
        let generator = unsafe { &*GENERATOR.load(Relaxed) };
        for _ in 0..3 {
            let id = generator.now_v7();
            let in_order = LAST.swap(word_of(id), Relaxed) < word_of(id);
            let in_time = time_of(&id) < shown(false) + SECOND;
            DISORDER.fetch_add(u64::from(!in_order || !in_time), Relaxed);
        }
        CALLS.fetch_add(1, Relaxed);
        INSIDE.fetch_add(u64::from(STEPPING.load(Relaxed)), Relaxed);
        set_alarm();
    }
    /// Returns the time that the clock shows, since 1970.
    fn shown(ahead: bool) -> Duration {
        let time = if ahead { new_year() + YEAR } else { new_year() };
        time.duration_since(UNIX_EPOCH).expect("after it")
    }
    struct Jumping;
    impl Clock for Jumping {
        fn now(&self) -> SystemTime {
            UNIX_EPOCH + shown(AHEAD.load(Relaxed))
        }
    }
    let generator = Generator::new().with_clock(Jumping);
    GENERATOR.store((&raw const generator).cast_mut(), Relaxed);
    begin_alarms(handler);
    let calls = turns(20_000) as u64;
    while CALLS.load(Relaxed) < calls {
        tell(&CALLS);
        AHEAD.store(true, Relaxed);
        let _ = generator.now_v7();
        LAST.store(0, Relaxed);
        AHEAD.store(false, Relaxed);
        STEPPING.store(true, Relaxed);
        let before = LAST.load(Relaxed);
        let first = word_of(generator.now_v7());
        STEPPING.store(false, Relaxed);
        let last = LAST.load(Relaxed).max(first);
        let second = word_of(generator.now_v7());
        assert!(
            before < first && last < second,
            "{before:x} {first:x} {last:x} {second:x}"
        );
    }
    // SAFETY: no handler uses the generator after this.
    unsafe { libc::signal(libc::SIGALRM, libc::SIG_IGN) };
    assert_eq!(DISORDER.load(Relaxed), 0);
    assert!(INSIDE.load(Relaxed) > calls / 200, "{INSIDE:?} of {calls}");
}
