//! The protocol of the pool: events at any instruction, and forks inside a refill. `rules`
//! shows what fails without each step of the protocol.

use std::cell::Cell;
use std::io::{Read, Write};

use fork_safe_uuid::source::{EntropySource, Kernel};
use fork_safe_uuid::{Error, Generator, Uuid};
use support::SLOTS;
use support::harness::takes_all_turns;
use support::process::{fork, pipe};
use support::uuids::assert_all_good;

use crate::guest::{self, on_x86_64};

support::scenarios![
    an_event_at_any_instruction_repeats_nothing {
        possible: on_x86_64
    },
    a_fork_at_every_instruction_of_an_unbuffered_call_repeats_only_the_last {
        possible: on_x86_64
    },
    a_fork_at_every_instruction_of_a_refill_leaves_its_value_in_both_at_few {
        possible: on_x86_64
    },
    an_event_at_every_instruction_of_few_turns_repeats_nothing {
        possible: on_x86_64,
        slow: true
    },
    an_event_at_every_instruction_repeats_nothing {
        possible: on_x86_64,
        slow: true
    },
    a_fork_inside_the_first_seed_diverges,
    a_fork_inside_a_reseed_diverges,
    a_fork_inside_a_bulk_request_diverges,
];

/// Runs the stepper without the processor's random numbers, which would hide that a key is
/// known.
fn step(stride: &str) {
    let [stepper] = guest::build_changed(["stepper"], &guest::WITHOUT_HARDWARE);
    let output = guest::run(&stepper, &[stride]);
    assert!(output.status.success(), "{}", guest::text(&output));
}

/// The program stops at one in so many instructions of the long paths, and at one in four of the
/// fast path. In `cargo xtask ci` it stops at each instruction of the fast path.
fn an_event_at_any_instruction_repeats_nothing() {
    step(if takes_all_turns() { "499" } else { "4999" });
}

/// Here the processor's random numbers are in use. If the fork comes after they were drawn,
/// both processes have the UUID of the interrupted call, and no other.
fn a_fork_at_every_instruction_of_an_unbuffered_call_repeats_only_the_last() {
    guest::assert_passes("stepper", &["turns", "unbuffered", "forks"]);
}

/// The bound is that of the program's path. What the compiler inlines decides how many
/// instructions follow the last look at `alive`.
fn a_fork_at_every_instruction_of_a_refill_leaves_its_value_in_both_at_few() {
    let stepper = guest::build("stepper", &[]);
    let choice = if takes_all_turns() {
        "turns"
    } else {
        "turns/8"
    };
    for path in [
        "refill",
        "first call",
        "first call of a forked child",
        "after reseed",
        "bulk past slots",
        "bulk over two seeds",
    ] {
        let output = guest::run(&stepper, &[choice, path, "forks"]);
        assert!(output.status.success(), "{}", guest::text(&output));
    }
}

fn an_event_at_every_instruction_of_few_turns_repeats_nothing() {
    step("turns");
}

fn an_event_at_every_instruction_repeats_nothing() {
    step("1");
}

/// A source that forks after a draw if [`FORKS`] is set. Both processes then have the seed,
/// and both return into the interrupted refill.
#[derive(Default)]
struct Forking;

thread_local! {
    static FORKS: Cell<bool> = const { Cell::new(false) };
    static IN_CHILD: Cell<bool> = const { Cell::new(false) };
}

impl EntropySource for Forking {
    fn fill(&self, dest: &mut [u8]) -> Result<(), Error> {
        Kernel.fill(dest)?;
        if FORKS.take() {
            IN_CHILD.set(fork() == 0);
        }
        Ok(())
    }
}

/// Asserts that no UUID repeats if a process makes `before` UUIDs, forks inside the draw of
/// `call`, and then makes more in parent and child.
#[track_caller]
fn assert_diverges(before: usize, call: fn(&Generator) -> Vec<Uuid>) {
    let (mut output, mut input) = pipe();
    let generator = Generator::new().with_source(Forking);
    let mut ids: Vec<_> = (0..before).map(|_| generator.new_v4()).collect();
    FORKS.set(true);
    let mut after = call(&generator);
    assert!(!FORKS.get(), "nothing was drawn");
    after.extend((0..1000).map(|_| generator.new_v4()));
    if IN_CHILD.get() {
        let bytes: Vec<_> = after.iter().flat_map(|id| id.into_bytes()).collect();
        input.write_all(&bytes).expect("a pipe");
        std::process::exit(0);
    }
    drop(input);
    let mut bytes = vec![];
    output.read_to_end(&mut bytes).expect("a pipe");
    assert_eq!(bytes.len(), 16 * after.len(), "the child failed");
    ids.extend(after);
    ids.extend(bytes.as_chunks().0.iter().map(|&id| Uuid::from_bytes(id)));
    assert_all_good(&ids);
}

fn a_fork_inside_the_first_seed_diverges() {
    assert_diverges(0, |generator| vec![generator.new_v4()]);
}

fn a_fork_inside_a_reseed_diverges() {
    // After these, 64 KiB were made of one seed, so that the next call draws another one.
    assert_diverges(17 * SLOTS, |generator| vec![generator.new_v4()]);
}

fn a_fork_inside_a_bulk_request_diverges() {
    assert_diverges(0, |generator| {
        let mut ids = vec![Uuid::nil(); 1000];
        generator.fill_v4(&mut ids);
        ids
    });
}
