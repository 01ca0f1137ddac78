//! Signal handlers, and other threads, that come in again and again; and the
//! stack that a handler needs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{mem, ptr, thread};

use fork_safe_uuid::source::{EntropySource, Kernel};
use fork_safe_uuid::{Error, Generator, Uuid, fill_v4, reseed};
use support::uuids::{assert_all_good, make};

use crate::guest::rows::Rows;
use crate::guest::{self, on_x86_64};
use crate::torture::assert_all_distinct;

support::scenarios![
    a_bulk_request_returns_while_a_timer_reseeds_each_millisecond,
    a_bulk_request_returns_while_other_threads_reseed,
    single_requests_return_while_other_threads_reseed,
    a_source_that_reseeds_lets_its_generator_return,
    a_handler_needs_less_than_16_kib_of_stack {
        possible: on_x86_64,
        seconds: 300
    },
];

fn fill(count: usize) -> Vec<Uuid> {
    let mut ids = vec![Uuid::nil(); count];
    fill_v4(&mut ids);
    ids
}

/// How many UUIDs take `time` when nothing disturbs them; no fewer than `count`.
fn as_many_as_take(time: Duration, mut count: usize) -> usize {
    loop {
        let start = Instant::now();
        fill(count);
        if start.elapsed() >= time {
            return count;
        }
        count *= 2;
    }
}

/// Signals that have come.
static RESEEDS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_alarm(_: i32) {
    RESEEDS.fetch_add(1, Relaxed);
    reseed();
}

/// Has the handler called each millisecond, or no more.
fn set_timer(on: bool) {
    // SAFETY: a handler of this type; the pointer leads to the structure, in
    // which zeros are valid.
    unsafe {
        libc::signal(libc::SIGALRM, on_alarm as *const () as usize);
        let mut often: libc::itimerval = mem::zeroed();
        often.it_interval.tv_usec = if on { 1000 } else { 0 };
        often.it_value = often.it_interval;
        let set = libc::setitimer(libc::ITIMER_REAL, &raw const often, ptr::null_mut());
        assert_eq!(set, 0);
    }
}

/// An undisturbed request takes several times as long as the timer waits, so a
/// signal comes inside each attempt to fill it from one seed.
fn a_bulk_request_returns_while_a_timer_reseeds_each_millisecond() {
    let count = as_many_as_take(Duration::from_millis(3), 1_000_000);
    set_timer(true);
    let mut ids = fill(count);
    set_timer(false);
    assert!(RESEEDS.load(Relaxed) >= 2, "nothing came inside");
    assert_all_distinct(&mut ids);
}

/// More threads than processors, so that one of them runs whenever `call` does,
/// and no attempt is left alone that takes longer than a processor is kept from
/// them by another program. That is likely, not certain.
const RESEEDERS: usize = 8;

/// What `call` makes while other threads reseed without pause.
fn while_other_threads_reseed(call: impl FnOnce() -> Vec<Uuid>) -> Vec<Uuid> {
    make(1);
    let (begun, over) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..RESEEDERS {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    reseed();
                    begun.store(true, Relaxed);
                }
            });
        }
        while !begun.load(Relaxed) {
            thread::yield_now();
        }
        let ids = call();
        over.store(true, Relaxed);
        ids
    })
}

fn a_bulk_request_returns_while_other_threads_reseed() {
    let count = as_many_as_take(Duration::from_millis(20), 100_000);
    assert_all_distinct(&mut while_other_threads_reseed(|| fill(count)));
}

fn single_requests_return_while_other_threads_reseed() {
    assert_all_good(&while_other_threads_reseed(|| make(1000)));
}

/// The moment is the draw itself: no attempt to make a seed is left alone.
fn a_source_that_reseeds_lets_its_generator_return() {
    struct Reseeding;
    impl EntropySource for Reseeding {
        fn fill(&self, dest: &mut [u8]) -> Result<(), Error> {
            Kernel.fill(dest)?;
            reseed();
            Ok(())
        }
    }
    let generator = Generator::with_source(Reseeding);
    let mut ids: Vec<_> = (0..1000).map(|_| generator.new_v4()).collect();
    let mut many = vec![Uuid::nil(); 1000];
    generator.fill_v4(&mut many);
    ids.extend(many);
    assert_all_good(&ids);
}

/// Any of the cases of `tests/guest`, with the kernel's frame. The figures are
/// printed: documents say them.
fn a_handler_needs_less_than_16_kib_of_stack() {
    let output = guest::run(&guest::build("stack", &[]), &[]);
    let text = guest::text(&output);
    assert!(output.status.success(), "{text}");
    println!("{text}");
    let rows = Rows::read(&text);
    let (control, others): (Vec<_>, Vec<_>) = rows
        .values("case")
        .into_iter()
        .partition(|case| case.starts_with("a buffer"));
    // The control is a handler that has 20,000 bytes on it.
    let [control] = control[..] else {
        panic!("{text}")
    };
    assert!(rows.count_of(control, "used") >= 20_000);
    assert!(rows.count_of(control, "own") >= 20_000);
    assert!(others.len() >= 14, "{text}");
    for case in others {
        let bytes = rows.count_of(case, "used");
        assert!(bytes < 16 << 10, "{case}: {bytes} bytes");
    }
}
