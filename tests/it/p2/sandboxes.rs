//! Sandboxes and emulators in which the kernel does not wipe memory in a forked child. The
//! crate then keeps no key and no ready UUID.

use fork_safe_uuid::Generator;
use support::process::{fork, in_copy};
use support::sandbox::refuse;
use support::uuids::{assert_all_good, make};

support::scenarios![
    memory_that_is_not_wiped_is_not_used,
    an_madvise_that_is_accepted_and_ignored_is_noticed,
];

/// Asserts that there is no pool, and that parent and child make different UUIDs.
#[track_caller]
fn assert_unbuffered() {
    let mut ids = make(1000);
    assert!(!fork_safe_uuid::status().pooled());
    ids.extend(in_copy(fork, || make(1000)));
    ids.extend(make(1000));
    let generator = Generator::new();
    let mut more = [uuid::Uuid::nil(); 100];
    generator.fill_v4(&mut more);
    ids.extend(more);
    assert_all_good(&ids);
}

fn memory_that_is_not_wiped_is_not_used() {
    refuse(&[libc::SYS_madvise], libc::EINVAL);
    assert_unbuffered();
}

fn an_madvise_that_is_accepted_and_ignored_is_noticed() {
    // With errno 0, the call succeeds and does nothing, as in some emulators.
    refuse(&[libc::SYS_madvise], 0);
    assert_unbuffered();
}
