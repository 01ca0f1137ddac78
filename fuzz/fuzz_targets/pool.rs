//! Makes single UUIDs and many at once, with reseeds, a source that fails, and signal handlers and
//! forks in the middle of a draw, in any order. All UUIDs of all copies are distinct and have
//! version 4. After an error all are Nil. A generator without a key asks its source.
#![no_main]

use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use arbitrary::Arbitrary;
use fork_safe_uuid::source::{EntropySource, Kernel};
use fork_safe_uuid::{Error, Generator, Uuid};
use libfuzzer_sys::fuzz_target;

mod copies;

use copies::{Board, board};

#[derive(Arbitrary, Debug)]
enum Operation {
    One,
    Many(u16),
    /// Makes UUIDs by an unbuffered generator.
    Unbuffered(u8),
    /// Makes UUIDs by the thread's pool.
    OfThread(u16),
    /// Replaces the generator.
    New,
    Now(Event),
    /// In the next draw, before the source has its bytes.
    Before(Event),
    /// In the next draw, after the source has its bytes.
    After(Event),
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Event {
    Reseed,
    Fail(bool),
    /// A signal whose handler makes UUIDs, also by the same generator.
    Signal,
    /// A fork after which both continue, the parent when the child has ended.
    Fork,
}

/// The generator that the handler uses.
static GENERATOR: AtomicPtr<Generator> = AtomicPtr::new(ptr::null_mut());

thread_local! {
    static BOARD: Cell<Option<&'static Board>> = const { Cell::new(None) };
    static BEFORE: RefCell<Vec<Event>> = const { RefCell::new(vec![]) };
    static AFTER: RefCell<Vec<Event>> = const { RefCell::new(vec![]) };
    static FAILS: Cell<bool> = const { Cell::new(false) };
    static IS_COPY: Cell<bool> = const { Cell::new(false) };
    /// The generator must ask the source before it makes a UUID.
    static KEYLESS: Cell<bool> = const { Cell::new(true) };
    /// A draw is under way, so calls of handlers are nested in another call.
    static IN_DRAW: Cell<bool> = const { Cell::new(false) };
    static DRAWS: Cell<u64> = const { Cell::new(0) };
    static FAILURES: Cell<u64> = const { Cell::new(0) };
}

/// Notes UUIDs on the board.
fn see(uuids: &[Uuid]) {
    BOARD.get().expect("set at the start").add(uuids);
}

extern "C" fn on_signal(_: i32) {
    let generator = GENERATOR.load(Relaxed);
    if !generator.is_null() {
        // SAFETY: this thread raises the signal, and only while the generator exists.
        let generator = unsafe { &*generator };
        one(generator);
        many(generator, 3);
    }
    see(&[fork_safe_uuid::new_v4()]);
}

fn one(generator: &Generator) {
    call(|| generator.try_new_v4().map(|id| see(&[id])));
}

fn many(generator: &Generator, count: usize) {
    let mut ids = vec![Uuid::max(); count];
    call(|| {
        let filled = generator.try_fill_v4(&mut ids);
        assert!(filled.is_ok() || ids.iter().all(Uuid::is_nil));
        filled.map(|()| see(&ids))
    });
}

/// Calls the generator, and asserts that it asks the source if it has no key, and fails only if
/// the source failed.
fn call(call: impl FnOnce() -> Result<(), Error>) {
    let (draws, failures, keyless) = (DRAWS.get(), FAILURES.get(), KEYLESS.get());
    let result = call();
    assert!(DRAWS.get() > draws || !keyless, "the source was not asked");
    assert!(result.is_ok() || FAILURES.get() > failures);
    if !IN_DRAW.get() {
        assert!(
            result.is_ok() || KEYLESS.get(),
            "the call failed with a key"
        );
        KEYLESS.set(result.is_err());
    }
}

impl Event {
    fn happen(self) {
        match self {
            Event::Reseed => {
                fork_safe_uuid::reseed();
                KEYLESS.set(true);
            }
            Event::Fail(fails) => FAILS.set(fails),
            // SAFETY: the handler is `on_signal`.
            Event::Signal => assert_eq!(unsafe { libc::raise(libc::SIGURG) }, 0),
            Event::Fork => {
                if BOARD.get().expect("set at the start").fork() {
                    IS_COPY.set(true);
                    KEYLESS.set(true);
                }
            }
        }
    }
}

struct Source;

impl EntropySource for Source {
    fn fill(&self, dest: &mut [u8]) -> Result<(), Error> {
        DRAWS.set(DRAWS.get() + 1);
        let nested = IN_DRAW.replace(true);
        // The events are taken, so that none happens in the draw of a handler.
        let after = AFTER.take();
        BEFORE.take().into_iter().for_each(Event::happen);
        let filled = if FAILS.get() {
            FAILURES.set(FAILURES.get() + 1);
            Err(Error::custom("told to fail"))
        } else {
            Kernel.fill(dest)
        };
        after.into_iter().for_each(Event::happen);
        IN_DRAW.set(nested);
        filled
    }
}

fuzz_target!(|operations: Vec<Operation>| {
    let board = board();
    BOARD.set(Some(board));
    FAILS.set(false);
    KEYLESS.set(true);
    // SAFETY: the handler makes UUIDs, which is allowed in a handler.
    unsafe { libc::signal(libc::SIGURG, on_signal as *const () as libc::sighandler_t) };

    let mut generator = Generator::new().with_source(Source);
    GENERATOR.store(&raw mut generator, Relaxed);
    for operation in operations {
        match operation {
            Operation::One => one(&generator),
            Operation::Many(count) => {
                let count = 1 + usize::from(count) % 5000;
                many(&generator, count.min(board.room()));
            }
            Operation::Unbuffered(count) => {
                let mut ids = vec![Uuid::nil(); count.into()];
                Generator::unbuffered().fill_v4(&mut ids);
                see(&ids);
            }
            Operation::OfThread(count) => {
                let mut ids = vec![Uuid::nil(); usize::from(count) % 1000];
                fork_safe_uuid::fill_v4(&mut ids);
                see(&ids);
                see(&[fork_safe_uuid::new_v4()]);
            }
            Operation::New => {
                generator = Generator::new().with_source(Source);
                KEYLESS.set(true);
            }
            Operation::Now(event) => event.happen(),
            Operation::Before(event) => BEFORE.with_borrow_mut(|events| events.push(event)),
            Operation::After(event) => AFTER.with_borrow_mut(|events| events.push(event)),
        }
    }
    GENERATOR.store(ptr::null_mut(), Relaxed);
    if IS_COPY.get() {
        board.leave();
    }
    BEFORE.take();
    AFTER.take();
    board.conclude();
});
