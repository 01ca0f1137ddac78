//! The program `faults` of `tests/guest` makes system calls fail in all combinations, and
//! compares the calls that follow with those of a model. `rules` shows what it finds if a step
//! of the source is left out.

use support::harness::takes_all_turns;

use crate::guest::{self, on_x86_64};

support::scenarios![
    at_each_combination_of_up_to_three_faults_the_calls_match_the_model {
        possible: on_x86_64
    },
    at_every_combination_of_faults_the_calls_match_the_model {
        possible: on_x86_64,
        slow: true
    },
];

/// Here two calls fail in one run at most, and three in `cargo xtask ci`. Without a limit the
/// program runs for half an hour.
fn at_each_combination_of_up_to_three_faults_the_calls_match_the_model() {
    let faults = if takes_all_turns() { "3" } else { "2" };
    guest::assert_passes("faults", &[faults]);
}

fn at_every_combination_of_faults_the_calls_match_the_model() {
    guest::assert_passes("faults", &[]);
}
