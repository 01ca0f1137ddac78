//! The descriptor of /dev/urandom that the crate keeps where getrandom(2) is refused: other
//! files take its number, and no process has more than one of it.

use std::os::fd::RawFd;

use support::descriptors::descriptors;

use crate::guest::on_x86_64;

mod own;
mod retaken;
mod swapped;
mod tracking;

use own::*;
use retaken::*;
use swapped::*;
use tracking::*;

// In one list, so that all names begin with `descriptors::` and no module's name follows.
support::scenarios![
    closed_and_retaken_nothing_is_consumed_emitted_or_closed,
    closed_and_retaken_getrandom_reads_foreign_bytes {
        possible: getrandom_opens_the_device
    },
    the_programs_own_device_that_cannot_be_read_is_passed_over,
    the_programs_own_device_is_never_closed,
    a_thousand_generations_keep_one_descriptor_each,
    a_child_with_a_full_descriptor_table_replaces_the_inherited_descriptor,
    a_vfork_child_leaves_a_forked_parents_record_alone,
    prepare_opens_a_descriptor_in_a_child_whose_memory_is_not_wiped,
    prepare_beside_threads_that_draw_opens_a_descriptor_that_stays,
    children_that_share_descriptors_leave_none_behind,
    a_number_closed_under_four_threads_leaves_one_descriptor,
    hammered_nothing_is_consumed_emitted_or_closed,
    hammered_a_check_before_the_read_is_not_enough,
    swapped_at_any_instruction_nothing_comes_out_or_is_closed {
        possible: on_x86_64
    },
    without_the_mark_the_programs_own_device_is_closed {
        possible: on_x86_64
    },
    without_the_proof_before_the_read_foreign_bytes_come_out {
        possible: on_x86_64
    },
    without_the_proof_after_the_read_foreign_bytes_come_out {
        possible: on_x86_64
    },
];

/// Returns all descriptors of the device.
fn devices() -> Vec<RawFd> {
    let all = descriptors().into_iter();
    all.filter(|(_, target)| target == "/dev/urandom")
        .map(|(number, _)| number)
        .collect()
}
