//! What a look at the memory of a process finds.

use std::ops::Range;

use support::memory;
use support::uuids::make;

use crate::guest::{self, on_x86_64};

support::scenarios![
    ready_uuids_are_wiped_at_fork_and_not_dumped,
    nothing_that_was_handed_out_is_left_in_memory {
        possible: on_x86_64,
        seconds: 600
    },
    without_clearing_the_stack_round_keys_are_found {
        possible: on_x86_64,
        seconds: 600
    },
    without_clearing_the_registers_round_keys_are_found {
        possible: on_x86_64,
        seconds: 600
    },
    nothing_of_the_parents_is_in_a_childs_memory {
        possible: on_x86_64,
        seconds: 600
    },
];

/// Wiped at fork, and not dumped.
pub fn protected() -> Vec<Range<usize>> {
    memory::mappings(|has| has.contains(&"wf") && has.contains(&"dd"))
}

fn ready_uuids_are_wiped_at_fork_and_not_dumped() {
    assert!(protected().is_empty());
    make(1);
    assert_eq!(protected().len(), 1);
    // No other memory of this crate is only half protected.
    assert_eq!(memory::mappings(|has| has.contains(&"wf")).len(), 1);
}

fn nothing_that_was_handed_out_is_left_in_memory() {
    guest::assert_passes("memory", &["handed-out"]);
}

/// The control. Without a switch in the changed program, which would change what
/// lies on the stack.
fn without_clearing_the_stack_round_keys_are_found() {
    let changes = [("drbg.rs", "    clear_stack();", "")];
    guest::assert_broken_by("memory", &["handed-out"], &changes);
}

/// The same: from them a forked child can compute its parent's next UUIDs.
fn without_clearing_the_registers_round_keys_are_found() {
    let changes = [("drbg.rs", "    sys::clear_registers();", "")];
    guest::assert_broken_by("memory", &["handed-out"], &changes);
}

fn nothing_of_the_parents_is_in_a_childs_memory() {
    guest::assert_passes("memory", &["child"]);
}
