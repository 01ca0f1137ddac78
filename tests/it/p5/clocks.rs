//! Time-ordered UUIDs of a clone: a forked child whose memory is not wiped.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use fork_safe_uuid::clock::Clock;
use fork_safe_uuid::{Generator, Uuid, now_v1, random_node, reseed};
use support::SLOTS;
use support::process::{fork, in_copy};
use support::uuids::make;

use crate::p5::snapshots::keep_on_fork;
use crate::timestamps::new_year;

support::scenarios![
    a_clone_has_the_clock_sequence_and_node_until_reseed,
    a_clone_in_one_tick_repeats_at_most_the_pool,
];

fn a_clone_has_the_clock_sequence_and_node_until_reseed() {
    let public = |id: Uuid| id.as_u128() & ((1 << 62) - 1);
    let make = || now_v1(&random_node());
    let before = public(make());
    make_a_pool();
    keep_on_fork();
    // The repetition shows that the child is a clone.
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

fn a_clone_in_one_tick_repeats_at_most_the_pool() {
    let ticks = Arc::new(AtomicU64::new(0));
    struct Counting(Arc<AtomicU64>);
    impl Clock for Counting {
        fn now(&self) -> SystemTime {
            new_year() + Duration::from_micros(self.0.fetch_add(1, Relaxed))
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
    // Both have the same clock, and all UUIDs of the pool but the first were ready.
    assert_eq!(repeated(false), SLOTS - 1);
    assert_eq!(repeated(true), 0);
}
