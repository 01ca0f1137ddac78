//! Forks while other threads make time-based UUIDs.

use fork_safe_uuid::{Uuid, now_v1, now_v7, random_node};

use crate::p3::torture::{hung_of, one_hangs};

support::scenarios![
    forking_while_threads_make_timestamps_hangs_nobody,
    forking_while_threads_generate_hangs_uuids_version_7,
];

fn forking_while_threads_make_timestamps_hangs_nobody() {
    let makes: [fn() -> Uuid; 2] = [now_v7, || now_v1(&random_node())];
    for make in makes {
        assert_eq!(hung_of(300, |ids| ids.fill_with(make)), 0);
    }
}

/// The control: `uuid` takes a lock, which another thread may hold during the fork.
fn forking_while_threads_generate_hangs_uuids_version_7() {
    let hangs = one_hangs(|ids| ids.fill_with(Uuid::now_v7));
    assert!(hangs, "uuid was mended?");
}
