//! The order and the time of UUIDs in forked children and in children that share memory.

use std::time::UNIX_EPOCH;

use fork_safe_uuid::{Generator, Uuid, now_v7};
use support::process::{fork, in_copy};

use crate::p2::vfork::{clone_vm, in_sharing};
use crate::timestamps::{Set, YEAR, assert_distinct, assert_increasing, noon, time_of};

pub fn a_forked_child_follows_a_clock_that_was_set_back() {
    let clock = Set::at(noon() + YEAR);
    let generator = Generator::new().with_clock(clock.clone());
    let mut all = vec![generator.now_v7()];
    clock.to(noon());
    let times = |ids: &[Uuid]| -> Vec<_> { ids.iter().map(time_of).collect() };
    let child = in_copy(fork, || vec![generator.now_v7(), generator.now_v7()]);
    let parent = [generator.now_v7(), generator.now_v7()];
    assert_increasing(&child);
    assert_increasing(&parent);
    assert_eq!(times(&child), times(&parent));
    assert_eq!(
        times(&child)[0],
        noon().duration_since(UNIX_EPOCH).expect("after")
    );
    all.extend(child.iter().chain(&parent));
    assert_distinct(&all);
}

/// vfork(2) with a stack of its own: parent and child share all memory, and the
/// parent waits.
pub fn a_vfork_child_goes_on_in_order() {
    let mut ids = [Uuid::nil(); 3000];
    let (before, rest) = ids.split_at_mut(1000);
    let (theirs, after) = rest.split_at_mut(1000);
    before.fill_with(now_v7);
    in_sharing(clone_vm, || theirs.fill_with(now_v7));
    after.fill_with(now_v7);
    assert_increasing(&ids);
}
