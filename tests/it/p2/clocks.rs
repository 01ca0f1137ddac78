//! Time-ordered UUIDs of parent and child: their random bits, clock sequences and nodes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::UNIX_EPOCH;

use fork_safe_uuid::{Generator, Uuid, now_v1, now_v6, random_node, reseed};
use support::process::{fork, in_copy, start_copy};
use support::sandbox::refuse;

use crate::timestamps::{
    FIXED, SetClock, assert_distinct, assert_increasing, new_year, of_all_kinds, time_of,
};

support::scenarios![
    a_fork_while_the_clock_stands_still_repeats_nothing,
    uuid_repeats_its_version_7_after_fork,
    forks_and_threads_repeat_nothing,
    copies_have_clock_sequences_and_nodes_of_their_own,
    without_wiped_memory_nothing_is_kept_and_nothing_repeated,
];

fn a_fork_while_the_clock_stands_still_repeats_nothing() {
    for generator in [Generator::new(), Generator::unbuffered()] {
        let generator = generator.with_clock(SetClock::at(new_year()));
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
        // Timestamps and counters are equal, so that the random bits alone must differ.
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

/// The control: at the same time, `uuid` with `fast-rng` repeats its UUIDs.
fn uuid_repeats_its_version_7_after_fork() {
    let context = uuid::ContextV7::new();
    let seconds = new_year()
        .duration_since(UNIX_EPOCH)
        .expect("after it")
        .as_secs();
    let tick = || uuid::Timestamp::from_unix(&context, seconds, 0);
    let make = || -> Vec<_> { (0..1000).map(|_| Uuid::new_v7(tick())).collect() };
    make();
    let child = in_copy(fork, make);
    assert_eq!(child, make(), "uuid was mended?");
}

fn forks_and_threads_repeat_nothing() {
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
        // Each child begins with its parent's last timestamps.
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
    // Versions 1 and 6 of a process share a count of timestamps, so that no version 1 has the
    // time of a version 6.
    let count = |id: &Uuid| (id.get_node_id(), time_of(id));
    let of_1: BTreeSet<_> = of_1.iter().map(count).collect();
    let of_6 = others.iter().filter(|id| id.get_version_num() == 6);
    assert_eq!(of_6.filter(|id| of_1.contains(&count(id))).count(), 0);
}

/// Returns the clock sequence of a version 1 or 6 as a UUID, which a child can report.
fn sequence_of(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128() >> 48 & 0x3fff)
}

fn copies_have_clock_sequences_and_nodes_of_their_own() {
    let node_as_id = || now_v1(&random_node());
    let both = || vec![sequence_of(now_v1(&FIXED)), node_as_id()];
    let mine = both();
    assert_eq!(mine[0], sequence_of(now_v6(&FIXED)));
    let mut all = mine.clone();
    for _ in 0..20 {
        all.extend(in_copy(fork, both));
    }
    reseed();
    all.extend(both());
    let distinct = |index: usize| -> usize {
        let of_kind = all.iter().skip(index).step_by(2);
        let nodes = of_kind.map(|id| {
            if index == 0 {
                id.as_u128()
            } else {
                id.as_u128() << 80
            }
        });
        nodes.collect::<BTreeSet<_>>().len()
    };
    assert_eq!(distinct(1), 22);
    // Of 22 random clock sequences of 14 bits, two are equal once in 70 runs, and four once in
    // 10^4.
    assert!(distinct(0) >= 19, "{}", distinct(0));
}

fn without_wiped_memory_nothing_is_kept_and_nothing_repeated() {
    refuse(&[libc::SYS_madvise], libc::EPERM);
    let both = || {
        let mut ids = of_all_kinds();
        ids.extend([(); 100].map(|()| now_v1(&FIXED)));
        ids
    };
    let mut all = in_copy(fork, both);
    all.extend(both());
    assert_distinct(&all);
    // Each UUID has another random clock sequence. Of 200 of them, few are equal.
    let fixed = all.iter().filter(|id| id.get_node_id() == Some(FIXED));
    assert!(
        fixed
            .map(|id| sequence_of(*id))
            .collect::<BTreeSet<_>>()
            .len()
            > 190
    );
    assert_ne!(random_node(), random_node());
    assert!(!fork_safe_uuid::status().pooled());
    // Each call fails to get memory, and does not leave errno changed.
    // SAFETY: this thread's errno.
    let errno = unsafe { &mut *libc::__errno_location() };
    *errno = 77;
    let _ = now_v1(&FIXED);
    assert_eq!(*errno, 77);
}
