//! Each system call fails in each way, in combination, and the calls that are
//! made are those of a model; see the program `faults` of `tests/guest`. What
//! it sees without each step of the source: `rules/source.rs`.

use crate::guest::{self, on_x86_64};

support::scenarios![
    at_each_combination_of_few_faults_the_calls_are_the_models {
        possible: on_x86_64,
        seconds: 600
    },
    at_every_combination_of_faults_the_calls_are_the_models {
        possible: on_x86_64,
        seconds: 4 * 3600,
        slow: true
    },
];

/// At most so many faults at once; all combinations take minutes.
const FAULTS: &str = "3";

fn at_each_combination_of_few_faults_the_calls_are_the_models() {
    guest::assert_passes("faults", &[FAULTS]);
}

fn at_every_combination_of_faults_the_calls_are_the_models() {
    guest::assert_passes("faults", &[]);
}
