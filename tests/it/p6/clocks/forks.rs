//! What forked children, and children that share memory, do to the order and to the time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::UNIX_EPOCH;

use fork_safe_uuid::{Generator, Uuid, now_v1, now_v7, random_node};
use support::process::{fork, in_copy, start_copy};

use super::{Set, YEAR, assert_distinct, assert_increasing, noon, of_all_kinds, time_of};
use crate::p2::vfork::{clone_vm, in_sharing};
use crate::p3::torture::{IMPATIENCE, hung_of, patience};

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

pub fn a_fork_in_a_tick_that_never_ends_repeats_nothing() {
    for generator in [Generator::new(), Generator::unbuffered()] {
        let generator = generator.with_clock(Set::at(noon()));
        let make = || {
            let mut ids: Vec<_> = (0..1000).map(|_| generator.now_v7()).collect();
            let start = ids.len();
            ids.resize(start + 1000, Uuid::nil());
            generator.fill_v7(&mut ids[start..]);
            ids
        };
        let before = make();
        let child = in_copy(fork, make);
        let parent = make();
        for after in [&child, &parent] {
            assert_increasing(&[&before[..], after].concat());
        }
        // Timestamps and counters are the same: only the random bits differ.
        let public = |ids: &[Uuid]| -> Vec<_> { ids.iter().map(|id| id.as_u128() >> 58).collect() };
        assert_eq!(public(&child), public(&parent));
        let random = |ids: &[Uuid]| -> Vec<_> {
            let bits = ids
                .iter()
                .map(|id| Uuid::from_u128(id.as_u128() & ((1 << 58) - 1)));
            bits.collect()
        };
        assert_distinct(&[random(&child), random(&parent)].concat());
    }
}

/// The control: what the same tick shows of a peer, with `fast-rng`.
pub fn uuid_repeats_its_version_7_after_fork() {
    let context = uuid::ContextV7::new();
    let seconds = noon()
        .duration_since(UNIX_EPOCH)
        .expect("after it")
        .as_secs();
    let tick = || uuid::Timestamp::from_unix(&context, seconds, 0);
    let make = || -> Vec<_> { (0..1000).map(|_| Uuid::new_v7(tick())).collect() };
    make();
    let child = in_copy(fork, make);
    assert_eq!(child, make(), "uuid was mended?");
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

pub fn forks_and_threads_repeat_nothing() {
    let stop = AtomicBool::new(false);
    let mut all = std::thread::scope(|scope| {
        let threads = [(); 2].map(|()| {
            scope.spawn(|| {
                let mut ids = vec![];
                while !stop.load(Relaxed) && ids.len() < 1_000_000 {
                    ids.extend(of_all_kinds());
                }
                ids
            })
        });
        // Each has all of its parent's past, and goes on at its parent's time.
        let children = [(); 20].map(|()| start_copy(fork, of_all_kinds));
        let mut all = of_all_kinds();
        all.extend(children.into_iter().flat_map(|child| child.ids()));
        stop.store(true, Relaxed);
        let threads = threads.map(|thread| thread.join().expect("no panic"));
        all.extend(threads.into_iter().flatten());
        all
    });
    assert!(all.len() > 23 * 4000);
    let (of_1, others): (Vec<_>, Vec<_>) = all.drain(..).partition(|id| id.get_version_num() == 1);
    assert_distinct(&of_1);
    assert_distinct(&others);
    // Versions 1 and 6 have no count in common, either, of one copy.
    let count = |id: &Uuid| (id.get_node_id(), time_of(id));
    let of_1: BTreeSet<_> = of_1.iter().map(count).collect();
    let of_6 = others.iter().filter(|id| id.get_version_num() == 6);
    assert_eq!(of_6.filter(|id| of_1.contains(&count(id))).count(), 0);
}

pub fn forking_while_threads_make_timestamps_hangs_nobody() {
    let makes: [fn() -> Uuid; 2] = [now_v7, || now_v1(&random_node())];
    for make in makes {
        assert_eq!(hung_of(300, patience(), |ids| ids.fill_with(make)), 0);
    }
}

/// The control: it has a lock.
pub fn forking_while_threads_generate_hangs_uuids_version_7() {
    assert!(
        (0..40).any(|_| hung_of(100, IMPATIENCE, |ids| ids.fill_with(Uuid::now_v7)) > 0),
        "uuid was mended?"
    );
}
