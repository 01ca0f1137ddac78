//! Time-ordered UUIDs, whatever the clock does.

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
    a_clock_that_jumps_is_followed_ahead_and_held_where_it_is_a_little_back,
    ten_seconds_back_are_held_and_a_tick_more_is_followed,
    a_forked_child_follows_a_clock_that_was_set_back,
    reseed_starts_the_order_of_every_generator_anew,
    a_time_without_a_timestamp_is_an_error_and_leaves_nil,
    a_clock_that_panics_leaves_a_generator_that_goes_on,
    any_clock_gives_increasing_uuids,
    a_vfork_child_goes_on_in_order,
    a_handler_at_any_time_keeps_the_order,
    a_handler_at_any_time_of_a_step_back_keeps_the_order,
];
