//! UUIDs that time orders: what any clock does to them, and what a copy of the
//! process has in common with its original.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fork_safe_uuid::clock::Clock;
use fork_safe_uuid::{Uuid, fill_v7, now_v1, now_v6, now_v7, random_node};

mod any;
mod clones;
mod forks;
mod handlers;
mod steps;

use any::*;
use clones::*;
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
    a_handler_at_any_time_of_a_step_back_keeps_the_order,
    a_time_without_a_timestamp_is_an_error_and_leaves_nil,
    a_clock_that_panics_leaves_a_generator_that_goes_on,
    any_clock_gives_increasing_uuids,
    a_fork_in_a_tick_that_never_ends_repeats_nothing,
    uuid_repeats_its_version_7_after_fork,
    a_vfork_child_goes_on_in_order,
    a_handler_at_any_time_keeps_the_order,
    forks_and_threads_repeat_nothing,
    forking_while_threads_make_timestamps_hangs_nobody,
    forking_while_threads_generate_hangs_uuids_version_7 { seconds: 300 },
    copies_have_clock_sequences_and_nodes_of_their_own,
    a_clone_has_the_clock_sequence_and_node_until_reseed,
    a_clone_in_one_tick_repeats_at_most_the_pool,
    without_wiped_memory_nothing_is_kept_and_nothing_repeated,
];

const FIXED: [u8; 6] = [0xde, 0xad, 0xbe, 0xef, 0x00, 0x01];

#[track_caller]
fn assert_increasing(ids: &[Uuid]) {
    for pair in ids.windows(2) {
        assert!(pair[0] < pair[1], "{} then {}", pair[0], pair[1]);
    }
}

#[track_caller]
fn assert_distinct(ids: &[Uuid]) {
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

/// When `uuid` says that it was made.
fn time_of(id: &Uuid) -> Duration {
    let (seconds, nanos) = id.get_timestamp().expect("a timestamp").to_unix();
    Duration::new(seconds, nanos)
}

/// Stands where it is set.
#[derive(Clone)]
struct Set(Arc<Mutex<SystemTime>>);

impl Set {
    fn at(time: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(time)))
    }

    fn to(&self, time: SystemTime) {
        *self.0.lock().expect("one thread") = time;
    }
}

impl Clock for Set {
    fn now(&self) -> SystemTime {
        *self.0.lock().expect("one thread")
    }
}

/// 2026-01-01.
fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

const YEAR: Duration = Duration::from_secs(365 * 86_400);
const SECOND: Duration = Duration::from_secs(1);

/// Timestamp and counter.
fn word_of(id: Uuid) -> u64 {
    let bits = id.as_u128();
    ((bits >> 80) as u64) << 16 | ((bits >> 64) as u64 & 0xfff) << 4 | (bits >> 58) as u64 & 0xf
}

/// Version 7 one by one and at once, versions 1 and 6: 1000 of each.
fn of_all_kinds() -> Vec<Uuid> {
    let mut many = vec![Uuid::nil(); 1000];
    fill_v7(&mut many);
    for _ in 0..1000 {
        let node = random_node();
        many.extend([now_v7(), now_v1(&node), now_v6(&node)]);
    }
    many
}
