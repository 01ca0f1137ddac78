//! Calls that signal handlers and other threads interrupt again and again with `reseed()`, and
//! the stack that a signal handler needs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::{mem, ptr, thread};

use fork_safe_uuid::source::{EntropySource, Kernel};
use fork_safe_uuid::{Error, Generator, Uuid, fill_v4, reseed};
use support::harness::step;
use support::uuids::{assert_all_good, make};

use crate::guest::rows::Rows;
use crate::guest::{self, on_x86_64};
use crate::p3::torture::assert_all_distinct;

support::scenarios![
    a_bulk_request_returns_while_a_timer_reseeds_each_millisecond,
    a_bulk_request_returns_while_other_threads_reseed,
    single_requests_return_while_other_threads_reseed,
    a_source_that_reseeds_lets_its_generator_return,
    a_handler_needs_less_than_16_kib_of_stack {
        possible: on_x86_64
    },
];

fn fill(count: usize) -> Vec<Uuid> {
    let mut ids = vec![Uuid::nil(); count];
    fill_v4(&mut ids);
    ids
}

/// How many signals the handler has received.
static RESEEDS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_alarm(_: i32) {
    RESEEDS.fetch_add(1, Relaxed);
    reseed();
}

/// Makes a timer call the handler each millisecond, or stops the timer.
fn set_timer(on: bool) {
    // SAFETY: the handler has this type. The pointer leads to the structure, in which zeros
    // are valid.
    unsafe {
        libc::signal(libc::SIGALRM, on_alarm as *const () as usize);
        let mut often: libc::itimerval = mem::zeroed();
        often.it_interval.tv_usec = if on { 1000 } else { 0 };
        often.it_value = often.it_interval;
        let set = libc::setitimer(libc::ITIMER_REAL, &raw const often, ptr::null_mut());
        assert_eq!(set, 0);
    }
}

/// The requests become longer until several signals interrupt one of them.
fn a_bulk_request_returns_while_a_timer_reseeds_each_millisecond() {
    let mut count = 100_000;
    set_timer(true);
    let mut ids = loop {
        step(format_args!("{count} at once"));
        let before = RESEEDS.load(Relaxed);
        let ids = fill(count);
        if RESEEDS.load(Relaxed) >= before + 3 {
            break ids;
        }
        count *= 2;
    };
    set_timer(false);
    assert_all_distinct(&mut ids);
}

/// So many threads that, most likely, one of them runs whenever the request does.
const RESEEDERS: usize = 8;

/// Returns what `call` makes while other threads call `reseed()` without pause. It is called
/// again until they have interrupted it.
fn while_other_threads_reseed(mut call: impl FnMut() -> Vec<Uuid>) -> Vec<Uuid> {
    make(1);
    let (reseeds, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..RESEEDERS {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    reseed();
                    reseeds.fetch_add(1, Relaxed);
                }
            });
        }
        let ids = loop {
            let before = reseeds.load(Relaxed);
            let ids = call();
            if reseeds.load(Relaxed) > before + 1 {
                break ids;
            }
        };
        over.store(true, Relaxed);
        ids
    })
}

fn a_bulk_request_returns_while_other_threads_reseed() {
    let mut count = 100_000;
    let fill_more = || {
        count *= 2;
        step(format_args!("{count} at once"));
        fill(count)
    };
    assert_all_distinct(&mut while_other_threads_reseed(fill_more));
}

fn single_requests_return_while_other_threads_reseed() {
    assert_all_good(&while_other_threads_reseed(|| make(1000)));
}

/// Each draw calls `reseed()`, so that each attempt to make a seed is interrupted.
fn a_source_that_reseeds_lets_its_generator_return() {
    struct Reseeding;
    impl EntropySource for Reseeding {
        fn fill(&self, dest: &mut [u8]) -> Result<(), Error> {
            Kernel.fill(dest)?;
            reseed();
            Ok(())
        }
    }
    let generator = Generator::new().with_source(Reseeding);
    let mut ids: Vec<_> = (0..1000).map(|_| generator.new_v4()).collect();
    let mut many = vec![Uuid::nil(); 1000];
    generator.fill_v4(&mut many);
    ids.extend(many);
    assert_all_good(&ids);
}

/// The program measures each call in a handler, with the frame that the kernel puts there. The
/// figures are printed, because documents state them.
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
