//! Makes UUIDs and checks them.

use std::collections::BTreeSet;

use fork_safe_uuid::Uuid;

/// Asserts that all are distinct random UUIDs of version 4.
#[track_caller]
pub fn assert_all_good(ids: &[Uuid]) {
    // std seeds a `HashSet` from a descriptor of /dev/urandom that it keeps.
    let mut seen = BTreeSet::new();
    for id in ids {
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
    (0..count).map(|_| fork_safe_uuid::new_v4()).collect()
}
