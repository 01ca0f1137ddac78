//! What can be found in the memory of a process, in that of its children, and in a core dump.

use std::ops::Range;

use support::memory;
use support::uuids::make;

use crate::guest::{self, on_x86_64};

mod compiled;

use compiled::*;

support::scenarios![
    ready_uuids_are_wiped_at_fork_and_not_dumped,
    nothing_that_was_handed_out_is_left_in_memory {
        possible: on_x86_64
    },
    no_key_and_no_ready_uuid_is_in_a_childs_memory_or_in_a_register {
        possible: on_x86_64
    },
    without_clearing_the_round_keys_they_are_found {
        possible: on_x86_64
    },
    without_clearing_the_registers_keys_or_uuids_are_found {
        possible: on_x86_64
    },
    compiled_in_three_ways_the_same_holds_for_each_cipher {
        possible: on_x86_64
    },
    compiled_in_nine_ways_the_same_holds_for_each_cipher {
        possible: on_x86_64,
        slow: true
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

fn no_key_and_no_ready_uuid_is_in_a_childs_memory_or_in_a_register() {
    guest::assert_passes("memory", &["to-come"]);
}

/// The control. The round keys stay in the cipher's memory, which no later call uses.
fn without_clearing_the_round_keys_they_are_found() {
    let clear = r#""movdqa [rdi + \\round], xmm0","#;
    let changes = [("engine/drbg/aes_x86.rs", clear, "")];
    guest::assert_broken_by("memory", &["to-come"], "used_keys", &changes);
}

/// The control. The blocks stay in up to eight registers, and a round key in another one, so that
/// it is not up to the compiler whether one of them is still there.
fn without_clearing_the_registers_keys_or_uuids_are_found() {
    let changes = [("engine/drbg/aes_x86.rs", "clear!($r),", "")];
    guest::assert_broken_by("memory", &["to-come"], "in_registers", &changes);
}
