//! The pools of systems that have no fork, which are in ordinary memory.

use std::thread;

support::scenarios![
    the_first_uuid_leaves_a_pool,
    each_of_more_threads_than_there_are_pages_has_a_pool {
        seconds: 180,
        possible: || cfg!(windows)
    },
    threads_that_live_at_once_have_pools_of_their_own {
        possible: || cfg!(windows)
    },
];

/// Makes a UUID, and returns whether the calling thread has a pool.
fn is_pooled() -> bool {
    let _ = fork_safe_uuid::new_v4();
    fork_safe_uuid::status().pooled()
}

fn the_first_uuid_leaves_a_pool() {
    assert!(!fork_safe_uuid::status().pooled());
    assert!(is_pooled());
}

/// There are 16,384 pages. The last thread gets one only if the pages of threads that have
/// ended are lent again.
fn each_of_more_threads_than_there_are_pages_has_a_pool() {
    assert!(is_pooled());
    for number in 0..16_384 {
        let pooled = thread::spawn(is_pooled).join().expect("no panic");
        assert!(pooled, "thread {number}");
    }
}

/// In each of five rounds, 300 threads make UUIDs before and after one of them calls
/// `reseed()`.
fn threads_that_live_at_once_have_pools_of_their_own() {
    const THREADS: usize = 300;
    let mut all = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let all_have = std::sync::Barrier::new(THREADS);
        let ids = || {
            assert!(is_pooled());
            all_have.wait();
            let before = [(); 100].map(|()| fork_safe_uuid::new_v4());
            if all_have.wait().is_leader() {
                fork_safe_uuid::reseed();
            }
            all_have.wait();
            let after = [(); 400].map(|()| fork_safe_uuid::new_v4());
            [before.as_slice(), &after].concat()
        };
        thread::scope(|scope| {
            let threads = [(); THREADS].map(|()| scope.spawn(ids));
            for thread in threads {
                all.extend(thread.join().expect("no panic"));
            }
        });
    }
    assert_eq!(all.len(), 5 * THREADS * 500);
}
