//! Makes UUIDs and checks them.

use std::collections::BTreeSet;

use fork_safe_uuid::Uuid;

use crate::harness::step;

/// How many UUIDs are a step.
const MANY: usize = 20_000;

/// Asserts that all are distinct random UUIDs of version 4.
#[track_caller]
pub fn assert_all_good(ids: &[Uuid]) {
    // std seeds a `HashSet` from a descriptor of /dev/urandom that it keeps.
    let mut seen = BTreeSet::new();
    for (number, id) in (1..).zip(ids) {
        if number % MANY == 0 {
            step(format_args!("{number} UUIDs are good"));
        }
        assert_eq!(id.get_version_num(), 4, "{id}");
        assert_eq!(id.as_bytes()[8] >> 6, 0b10, "{id}");
        // 122 fair bits have fewer than 20 ones once in 10^14.
        let ones = id.as_u128().count_ones();
        assert!((20..=108).contains(&ones), "{id} is not random");
        assert!(seen.insert(id), "{id} twice");
    }
}

/// Makes `count` UUIDs by `new_v4`.
pub fn make(count: usize) -> Vec<Uuid> {
    let make = |number| {
        if number % MANY == 0 {
            step(format_args!("made {number} UUIDs"));
        }
        fork_safe_uuid::new_v4()
    };
    (1..=count).map(make).collect()
}
