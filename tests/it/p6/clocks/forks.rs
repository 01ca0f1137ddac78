//! The order and the timestamps in forked children, and in children that share memory.

use std::time::UNIX_EPOCH;

use fork_safe_uuid::{Generator, Uuid, now_v7};
use support::process::{fork, in_copy};

use crate::p2::vfork::{clone_vm, in_sharing};
use crate::timestamps::{SetClock, YEAR, assert_distinct, assert_increasing, new_year, time_of};

pub fn a_forked_child_follows_a_clock_that_was_set_back() {
    let clock = SetClock::at(new_year() + YEAR);
    let generator = Generator::new().with_clock(clock.clone());
    let mut all = vec![generator.now_v7()];
    clock.to(new_year());
    let times = |ids: &[Uuid]| -> Vec<_> { ids.iter().map(time_of).collect() };
    let child = in_copy(fork, || vec![generator.now_v7(), generator.now_v7()]);
    let parent = [generator.now_v7(), generator.now_v7()];
    assert_increasing(&child);
    assert_increasing(&parent);
    assert_eq!(times(&child), times(&parent));
    assert_eq!(
        times(&child)[0],
        new_year().duration_since(UNIX_EPOCH).expect("after")
    );
    all.extend(child.iter().chain(&parent));
    assert_distinct(&all);
}

/// The child shares all memory with its parent, which waits until the child has ended. Only
/// the stack is the child's own.
pub fn a_vfork_child_and_its_parent_keep_the_order() {
    let mut ids = [Uuid::nil(); 3000];
    let (before, rest) = ids.split_at_mut(1000);
    let (child, after) = rest.split_at_mut(1000);
    before.fill_with(now_v7);
    in_sharing(clone_vm, || child.fill_with(now_v7));
    after.fill_with(now_v7);
    assert_increasing(&ids);
}
