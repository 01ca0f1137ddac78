//! Systems that do not wipe the memory of a forked child.

use fork_safe_uuid::Generator;
use support::process::{fork, in_copy};
use support::sandbox::refuse;
use support::uuids::{assert_all_good, make};

support::scenarios![
    memory_that_is_not_wiped_is_not_used,
    advice_that_is_accepted_and_ignored_is_noticed,
];

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

fn advice_that_is_accepted_and_ignored_is_noticed() {
    // Errno 0: the call succeeds without being made, as in some emulators.
    refuse(&[libc::SYS_madvise], 0);
    assert_unbuffered();
}
