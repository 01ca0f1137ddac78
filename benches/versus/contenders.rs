//! The contenders, in groups that are compared with each other.

use std::hint::black_box;
use std::sync::{Barrier, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use fork_safe_uuid::{Generator, Uuid};
use support::memory::map_shared;

use crate::{ROUNDS, peers};

/// A contender, and its times.
pub(crate) struct Series {
    pub(crate) name: &'static str,
    /// The contenders of a group are compared with its first one.
    pub(crate) group: &'static str,
    /// Makes so many UUIDs, and returns how long that took.
    pub(crate) run: Box<dyn FnMut(usize) -> Duration>,
    /// The number of UUIDs in a round, which take some 100 µs.
    pub(crate) count: usize,
    /// Nanoseconds of a UUID in each round.
    pub(crate) times: Vec<f64>,
}

fn series(
    group: &'static str,
    name: &'static str,
    count: usize,
    run: impl FnMut(usize) -> Duration + 'static,
) -> Series {
    Series {
        name,
        group,
        run: Box::new(run),
        count,
        times: Vec::with_capacity(ROUNDS),
    }
}

/// Returns a function that times repeated evaluations of an expression. It is a macro, so that
/// the compiler can inline the expression.
macro_rules! one_by_one {
    ($make:expr) => {
        move |count| {
            let start = Instant::now();
            for _ in 0..count {
                black_box($make);
            }
            start.elapsed()
        }
    };
}

/// Returns a function that times requests for `size` UUIDs at once.
pub(crate) fn in_bulk(size: usize, fill: impl Fn(&mut [Uuid])) -> impl FnMut(usize) -> Duration {
    let mut ids = vec![Uuid::nil(); size];
    move |count| {
        let start = Instant::now();
        for _ in 0..count / size {
            fill(&mut ids);
            black_box(&mut ids);
        }
        start.elapsed()
    }
}

pub(crate) const ONE: &str = "v4, one by one";
const BULK: [(&str, usize); 5] = [
    ("v4, 2 at once", 2),
    ("v4, 16 at once", 16),
    ("v4, 100 at once", 100),
    ("v4, 1000 at once", 1000),
    (MILLION, 1_000_000),
];
pub(crate) const MILLION: &str = "v4, 1 M at once";
pub(crate) const UNBUFFERED: &str = "v4, unbuffered";
pub(crate) const V7: &str = "v7, one by one";
pub(crate) const V7_THOUSAND: &str = "v7, 1000 at once";
pub(crate) const V1: &str = "v1, one by one";
pub(crate) const AFTER_FORK: &str = "first after fork";
pub(crate) const OF_THREAD: &str = "first of a thread";

/// Returns the contenders that run in one thread.
pub(crate) fn all() -> Vec<Series> {
    let unbuffered = Generator::unbuffered();
    let mut all = vec![
        series(
            ONE,
            "fork-safe-uuid",
            20_000,
            one_by_one!(fork_safe_uuid::new_v4()),
        ),
        series(
            ONE,
            "uuid + fast-rng",
            10_000,
            one_by_one!(peers::fast_rng()),
        ),
        series(
            ONE,
            "rand::random",
            10_000,
            one_by_one!(peers::rand_random()),
        ),
        series(ONE, "uuid7", 5_000, one_by_one!(peers::uuid7())),
        series(ONE, "uuid", 250, one_by_one!(peers::uuid_default())),
    ];
    if let Some(libuuid) = peers::libuuid() {
        all.push(series(ONE, "libuuid", 50, one_by_one!(libuuid())));
    }
    for (group, size) in BULK {
        let count = if size == 1_000_000 { size } else { 20 * 1000 };
        let ours = in_bulk(size, fork_safe_uuid::fill_v4);
        all.push(series(group, "fork-safe-uuid", count, ours));
        let fast_rng = in_bulk(size, |ids| ids.fill_with(peers::fast_rng));
        all.push(series(group, "uuid + fast-rng", count, fast_rng));
    }
    all.push(series(
        UNBUFFERED,
        "fork-safe-uuid",
        2000,
        one_by_one!(unbuffered.new_v4()),
    ));
    all.push(series(
        UNBUFFERED,
        "uuid",
        250,
        one_by_one!(peers::uuid_default()),
    ));
    all.extend(of_time());
    all.extend(beginnings());
    all
}

/// Returns contenders that make the same number of UUIDs in one thread and in two.
pub(crate) fn in_pairs() -> Vec<Series> {
    let node = fork_safe_uuid::random_node();
    fn pair(
        group: &'static str,
        count: usize,
        run: impl FnMut(usize) -> Duration + Clone + Send + 'static,
    ) -> [Series; 2] {
        let together = run.clone();
        [
            series(group, "one thread", count, run),
            series(group, "two threads", count, move |count| {
                let begin = &Barrier::new(2);
                // New threads are pinned, and not this one.
                std::thread::scope(|scope| {
                    let both = [0, 1].map(|cpu| {
                        let mut run = together.clone();
                        scope.spawn(move || {
                            pin(cpu);
                            begin.wait();
                            run(count / 2)
                        })
                    });
                    let times = both.map(|thread| thread.join().expect("no panic"));
                    (times[0] + times[1]) / 2
                })
            }),
        ]
    }
    let v4 = one_by_one!(fork_safe_uuid::new_v4());
    let v7 = one_by_one!(fork_safe_uuid::now_v7());
    let v1 = one_by_one!(fork_safe_uuid::now_v1(&node));
    let mut all = Vec::from(pair("v4, two threads", 200_000, v4));
    all.extend(pair("v7, two threads", 20_000, v7));
    all.extend(pair("v1, two threads", 20_000, v1));
    all
}

/// Returns contenders that time the first UUID of a child or a thread.
fn beginnings() -> Vec<Series> {
    type Make = fn() -> Uuid;
    const PEERS: [(&str, Make); 3] = [
        ("fork-safe-uuid", fork_safe_uuid::new_v4),
        ("uuid", peers::uuid_default),
        ("uuid + fast-rng", peers::fast_rng),
    ];
    let after_fork = PEERS.map(|(name, make)| {
        series(AFTER_FORK, name, 4, move |count| {
            (0..count).map(|_| first_of_a_child(make)).sum()
        })
    });
    let of_thread = PEERS.map(|(name, make)| {
        series(OF_THREAD, name, 4, move |count| {
            let first = move || timed(make);
            let threads = (0..count).map(|_| std::thread::spawn(first).join().expect("no panic"));
            threads.sum()
        })
    });
    after_fork.into_iter().chain(of_thread).collect()
}

/// Returns how long one call takes.
fn timed(make: fn() -> Uuid) -> Duration {
    // The first call touches the memory of the clock.
    black_box(Instant::now());
    let start = Instant::now();
    black_box(make());
    start.elapsed()
}

/// Returns how long the first UUID of a forked child takes.
fn first_of_a_child(make: fn() -> Uuid) -> Duration {
    static SHARED: OnceLock<usize> = OnceLock::new();
    let shared = *SHARED.get_or_init(|| map_shared(8).expose_provenance());
    let nanos = std::ptr::with_exposed_provenance_mut::<u64>(shared);
    // The parent has made UUIDs before, as a server has.
    black_box(make());
    // SAFETY: the child writes a number to the shared memory and ends before the parent reads it.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            nanos.write(timed(make).as_nanos() as u64);
            libc::_exit(0);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
        assert_eq!(status, 0);
        Duration::from_nanos(nanos.read())
    }
}

/// Returns the contenders for versions 7 and 1.
fn of_time() -> Vec<Series> {
    let node = fork_safe_uuid::random_node();
    let v1 = one_by_one!(fork_safe_uuid::now_v1(&node));
    let mut all = vec![
        series(
            V7,
            "fork-safe-uuid",
            4000,
            one_by_one!(fork_safe_uuid::now_v7()),
        ),
        series(V7, "uuid + fast-rng", 2000, one_by_one!(peers::uuid_v7())),
        series(V7, "uuid7", 1000, one_by_one!(peers::uuid7_v7())),
        series(
            V7,
            "a read of the clock",
            4000,
            one_by_one!(SystemTime::now()),
        ),
        series(
            V7_THOUSAND,
            "fork-safe-uuid",
            20_000,
            in_bulk(1000, fork_safe_uuid::fill_v7),
        ),
        series(
            V7_THOUSAND,
            "uuid + fast-rng",
            2000,
            in_bulk(1000, |ids| ids.fill_with(peers::uuid_v7)),
        ),
        series(V1, "fork-safe-uuid", 4000, v1),
        series(V1, "uuid", 2000, one_by_one!(peers::uuid_v1())),
    ];
    if let Some(libuuid) = peers::libuuid_v1() {
        all.push(series(V1, "libuuid", 100, one_by_one!(libuuid())));
    }
    all
}

/// Keeps the calling thread on one processor, so that the time does not depend on when the
/// scheduler moves one of two threads to another processor.
fn pin(cpu: usize) {
    // SAFETY: an empty set is valid, and the calls are given its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set);
    }
}
