//! The order and the timestamps of version 7, whatever the clock does.

mod any;
mod forks;
mod handlers;
mod steps;

use any::*;
use forks::*;
use handlers::*;
use steps::*;

// In one list, so that all names begin with `clocks::` and no module's name follows.
support::scenarios![
    versions_variants_and_times_are_what_uuid_reads,
    a_clock_that_jumps_is_followed_unless_it_goes_back_by_a_few_seconds,
    a_clock_is_followed_if_it_goes_back_by_more_than_ten_seconds,
    a_forked_child_follows_a_clock_that_was_set_back,
    after_reseed_every_generator_follows_the_clock,
    a_time_without_a_timestamp_is_an_error_and_leaves_nil,
    a_generator_works_after_its_clock_panicked,
    any_clock_gives_increasing_uuids,
    a_vfork_child_and_its_parent_keep_the_order,
    a_handler_at_any_time_keeps_the_order,
    a_handler_at_any_time_of_a_step_back_keeps_the_order,
];
