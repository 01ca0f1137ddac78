//! What can be found in the memory of a process, in that of its children, and in a core dump.

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
        possible: with_glibc_on_x86_64,
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

/// Returns the mappings that are wiped at fork and left out of core dumps.
pub fn protected() -> Vec<Range<usize>> {
    memory::mappings(|has| has.contains(&"wf") && has.contains(&"dd"))
}

fn ready_uuids_are_wiped_at_fork_and_not_dumped() {
    assert!(protected().is_empty());
    make(1);
    assert_eq!(protected().len(), 1);
    // No other memory of the crate is wiped at fork and yet dumped.
    assert_eq!(memory::mappings(|has| has.contains(&"wf")).len(), 1);
}

fn nothing_that_was_handed_out_is_left_in_memory() {
    guest::assert_passes("memory", &["handed-out"]);
}

/// With musl, later calls overwrite what this step clears.
fn with_glibc_on_x86_64() -> bool {
    on_x86_64() && cfg!(target_env = "gnu")
}

/// The control. It builds a program in which the step is left out. A program that `rules`
/// could switch at run time would leave other values on the stack.
fn without_clearing_the_stack_round_keys_are_found() {
    let changes = [("engine/drbg.rs", "    clear_stack();", "")];
    guest::assert_broken_by("memory", &["handed-out"], "used_keys", &changes);
}

/// The control for vector registers: from round keys, a child could compute its parent's next
/// UUIDs.
fn without_clearing_the_registers_round_keys_are_found() {
    let changes = [("engine/drbg.rs", "    sys::clear_registers();", "")];
    guest::assert_broken_by(
        "memory",
        &["handed-out"],
        "used_keys_in_registers",
        &changes,
    );
}

fn nothing_of_the_parents_is_in_a_childs_memory() {
    guest::assert_passes("memory", &["child"]);
}
