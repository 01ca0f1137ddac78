//! Clocks that scenarios set, and the timestamps of UUIDs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fork_safe_uuid::clock::Clock;
use fork_safe_uuid::{Uuid, fill_v7, now_v1, now_v6, now_v7, random_node};

/// A node for versions 6 and 1.
pub const FIXED: [u8; 6] = [0xde, 0xad, 0xbe, 0xef, 0x00, 0x01];

#[track_caller]
pub fn assert_increasing(ids: &[Uuid]) {
    for pair in ids.windows(2) {
        assert!(pair[0] < pair[1], "{} then {}", pair[0], pair[1]);
    }
}

#[track_caller]
pub fn assert_distinct(ids: &[Uuid]) {
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

/// Returns when the UUID was made, as `uuid` reads it.
pub fn time_of(id: &Uuid) -> Duration {
    let (seconds, nanos) = id.get_timestamp().expect("a timestamp").to_unix();
    Duration::new(seconds, nanos)
}

/// A clock that shows the time to which a scenario sets it.
#[derive(Clone)]
pub struct SetClock(Arc<Mutex<SystemTime>>);

impl SetClock {
    pub fn at(time: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(time)))
    }

    pub fn to(&self, time: SystemTime) {
        *self.0.lock().expect("one thread") = time;
    }
}

impl Clock for SetClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().expect("one thread")
    }
}

/// Returns the beginning of 2026.
pub fn new_year() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

pub const YEAR: Duration = Duration::from_secs(365 * 86_400);
pub const SECOND: Duration = Duration::from_secs(1);

/// Returns the timestamp and the counter of a version 7.
pub fn word_of(id: Uuid) -> u64 {
    let bits = id.as_u128();
    ((bits >> 80) as u64) << 16 | ((bits >> 64) as u64 & 0xfff) << 4 | (bits >> 58) as u64 & 0xf
}

/// Makes 1000 UUIDs each by `fill_v7`, `now_v7`, `now_v1` and `now_v6`.
pub fn of_all_kinds() -> Vec<Uuid> {
    let mut many = vec![Uuid::nil(); 1000];
    fill_v7(&mut many);
    for _ in 0..1000 {
        let node = random_node();
        many.extend([now_v7(), now_v1(&node), now_v6(&node)]);
    }
    many
}
