//! Clock sequences and nodes of copies: of forked children, and of clones whose memory is not
//! wiped.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use fork_safe_uuid::clock::Clock;
use fork_safe_uuid::{Generator, Uuid, now_v1, now_v6, random_node, reseed};
use support::SLOTS;
use support::process::{fork, in_copy};
use support::sandbox::refuse;
use support::uuids::make;

use super::{FIXED, assert_distinct, noon, of_all_kinds};
use crate::p5::snapshots::keep_on_fork;

/// The clock sequence of a version 1, as a UUID.
fn sequence_of(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128() >> 48 & 0x3fff)
}

pub fn copies_have_clock_sequences_and_nodes_of_their_own() {
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
    // Of 22 draws of 14 bits two are equal once in 70 runs, four in 10^4.
    assert!(distinct(0) >= 19, "{}", distinct(0));
}

pub fn a_clone_has_the_clock_sequence_and_node_until_reseed() {
    let public = |id: Uuid| id.as_u128() & ((1 << 62) - 1);
    let make = || now_v1(&random_node());
    let before = public(make());
    make_a_pool();
    keep_on_fork();
    // That they are repeated shows that the scene is real.
    assert_eq!(public(in_copy(fork, || vec![make()])[0]), before);
    let after = in_copy(fork, || {
        reseed();
        vec![make()]
    });
    assert_ne!(public(after[0]), before);
    reseed();
    assert_ne!(public(make()), before);
    assert_ne!(public(make()), public(after[0]));
}

fn make_a_pool() {
    assert_eq!(make(1).len(), 1);
}

pub fn a_clone_in_one_tick_repeats_at_most_the_pool() {
    let ticks = Arc::new(AtomicU64::new(0));
    struct Counting(Arc<AtomicU64>);
    impl Clock for Counting {
        fn now(&self) -> SystemTime {
            noon() + Duration::from_micros(self.0.fetch_add(1, Relaxed))
        }
    }
    let generator = Generator::new().with_clock(Counting(ticks));
    let make = || (0..5000).map(|_| generator.now_v7()).collect::<Vec<_>>();
    let _ = generator.now_v7();
    keep_on_fork();
    let repeated = |reseeds: bool| {
        let make = || {
            if reseeds {
                reseed();
            }
            make()
        };
        let clone: BTreeSet<_> = in_copy(fork, make).into_iter().collect();
        make().iter().filter(|id| clone.contains(id)).count()
    };
    // The same clock in both, and all but the first were ready.
    assert_eq!(repeated(false), SLOTS - 1);
    assert_eq!(repeated(true), 0);
}

pub fn without_wiped_memory_nothing_is_kept_and_nothing_repeated() {
    refuse(&[libc::SYS_madvise], libc::EPERM);
    let both = || {
        let mut ids = of_all_kinds();
        ids.extend([(); 100].map(|()| now_v1(&FIXED)));
        ids
    };
    let mut all = in_copy(fork, both);
    all.extend(both());
    assert_distinct(&all);
    // Not one clock sequence, but as many as there are draws of 14 bits.
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
    // The search for memory fails each time, and errno does not show it.
    // SAFETY: this thread's errno.
    let errno = unsafe { &mut *libc::__errno_location() };
    *errno = 77;
    let _ = now_v1(&FIXED);
    assert_eq!(*errno, 77);
}
