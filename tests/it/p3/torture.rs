//! Forks without pause while threads begin, make UUIDs and end.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use fork_safe_uuid::{Generator, Uuid, fill_v4};
use support::harness::{is_emulated, step, turns};
use support::ok;
use support::process::{fork, in_copy, wait_unless_stuck};
use support::sandbox::refuse_getrandom;

use crate::arena::{Arena, duplicates};

support::scenarios![
    forking_while_threads_come_and_go_hangs_nobody,
    with_the_device_a_fork_while_threads_come_and_go_hangs_nobody,
    forking_while_threads_generate_hangs_uuid7,
    forking_while_threads_make_their_first_uuid_hangs_nobody,
    with_the_device_a_fork_while_threads_make_their_first_uuid_hangs_nobody,
];

/// How many threads make UUIDs at the same time.
const THREADS: usize = 8;

/// How many UUIDs a child or a thread keeps in the shared memory.
pub const PORTION: usize = 24;

/// How many children are forked before the first of them is waited for.
const BATCH: usize = 50;

/// Makes UUIDs one by one, without a pool, and in bulk, more than a pool holds.
pub fn make_each_way(ids: &mut [Uuid]) {
    let [first, second, rest @ ..] = ids else {
        unreachable!("a portion is longer")
    };
    *first = fork_safe_uuid::new_v4();
    *second = Generator::unbuffered().new_v4();
    let mut many = [Uuid::nil(); 300];
    fill_v4(&mut many);
    rest.copy_from_slice(&many[..rest.len()]);
}

fn peer(ids: &mut [Uuid]) {
    ids.fill_with(|| Uuid::from_bytes(uuid7::uuid4().into()));
}

/// Starts a child that makes a portion.
pub fn start_child(arena: &Arena, make: impl Fn(&mut [Uuid])) -> i32 {
    let pid = ok(fork());
    if pid == 0 {
        make(arena.claim(PORTION).expect("room for every child"));
        // SAFETY: the child ends without destructors, which may wait for locks of other
        // threads.
        unsafe { libc::_exit(0) };
    }
    pid
}

/// Waits for the children, and returns how many of them hung: each waited for a lock that
/// nobody in it holds. If a child spins for ever, the scenario makes no progress.
pub fn hung(pids: Vec<i32>) -> usize {
    let hung = |&pid: &i32| match wait_unless_stuck(pid) {
        Some(status) => {
            assert_eq!(status, 0, "ended with {status:#x}");
            false
        }
        None => true,
    };
    pids.iter().filter(|pid| hung(pid)).count()
}

/// Forks `children` times while eight threads make UUIDs, each of which ends after a moment
/// and is followed by another one. Returns how many children hung.
fn torture(
    arena: &Arena,
    threads: &Arena,
    children: usize,
    make: impl Fn(&mut [Uuid]) + Copy + Sync + Send,
) -> usize {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    let life = || {
                        let mut spare = [Uuid::nil(); PORTION];
                        // There is less room than the threads make.
                        make(threads.claim(PORTION).unwrap_or(&mut spare));
                        (0..20).for_each(|_| make(&mut spare));
                    };
                    thread::scope(|scope| scope.spawn(life).join()).expect("no panic");
                }
            });
        }
        let mut total = 0;
        for batch in 0..children / BATCH {
            step(format_args!(
                "forks {BATCH} children, after {}",
                batch * BATCH
            ));
            let pids = (0..BATCH).map(|_| {
                // The child then finds a pool that was in use and is wiped.
                make(arena.claim(PORTION).expect("room for the parent, too"));
                start_child(arena, make)
            });
            total += hung(pids.collect());
        }
        stop.store(true, Relaxed);
        total
    })
}

/// Returns how many of `children`, a multiple of [`BATCH`], hang if they are forked while
/// threads call `make`.
pub fn hung_of(children: usize, make: impl Fn(&mut [Uuid]) + Copy + Sync + Send) -> usize {
    let (arena, threads) = (Arena::new(2 * children * PORTION), Arena::new(PORTION));
    torture(&arena, &threads, children, make)
}

/// Forks while threads call `make` until a child hangs, and returns whether one did. If only
/// one of a thousand children hung, this would be wrong once in 10^21 times.
pub fn one_hangs(make: impl Fn(&mut [Uuid]) + Copy + Sync + Send) -> bool {
    (0..1000).any(|_| hung_of(BATCH, make) > 0)
}

/// Returns the number of mappings, and the KiB of resident memory that is not shared.
fn footprint() -> (usize, usize) {
    // Under an emulator these are the emulator's, or nothing is known.
    if is_emulated() {
        return (0, 0);
    }
    let maps = fs::read_to_string("/proc/self/maps").expect("proc");
    let status = fs::read_to_string("/proc/self/status").expect("proc");
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .and_then(|text| text.trim().strip_suffix(" kB"))
        .expect("proc");
    (maps.lines().count(), resident.parse().expect("a number"))
}

fn assert_endures(children: usize) {
    // glibc has a heap for each thread. The footprint would depend on how many there are.
    #[cfg(target_env = "gnu")]
    // SAFETY: there are no other threads yet.
    assert_eq!(unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) }, 1);
    let arena = Arena::new(2 * (children + 200) * PORTION);
    let threads = Arena::new(200_000);
    assert_eq!(torture(&arena, &threads, 200, make_each_way), 0);
    let before = footprint();
    assert_eq!(torture(&arena, &threads, children, make_each_way), 0);
    let after = footprint();
    println!("{before:?} before, {after:?} after");
    assert!(after.0 <= before.0 + 8, "mappings: {before:?}, {after:?}");
    assert!(after.1 <= before.1 + 512, "KiB: {before:?}, {after:?}");
    let children_made = arena.into_ids();
    assert_eq!(children_made.len(), 2 * (children + 200) * PORTION);
    let threads_made = threads.into_ids();
    assert!(threads_made.len() > 2 * THREADS * PORTION);
    assert_all_distinct(&mut [children_made, threads_made].concat());
}

#[track_caller]
pub fn assert_all_distinct(ids: &mut [Uuid]) {
    assert!(
        ids.iter().all(|id| id.get_version_num() == 4),
        "a UUID was not made"
    );
    assert_eq!(duplicates(ids), 0);
}

fn forking_while_threads_come_and_go_hangs_nobody() {
    assert_endures(turns(2000));
}

fn with_the_device_a_fork_while_threads_come_and_go_hangs_nobody() {
    refuse_getrandom();
    assert_endures(turns(500));
}

/// The control: `uuid7` takes a lock, which another thread may hold during the fork.
fn forking_while_threads_generate_hangs_uuid7() {
    assert!(one_hangs(peer), "uuid7 was mended?");
}

const CHILDREN: usize = 4;
const OF_A_ROUND: usize = (THREADS + CHILDREN + 1) * PORTION;

/// Forks while eight threads make their first UUIDs, in a process that has no memory for them
/// yet.
fn assert_endures_the_first() {
    let rounds = turns(200);
    let arena = Arena::new(rounds * OF_A_ROUND);
    for round in 0..rounds as u64 {
        step(format_args!("round {round} of {rounds}"));
        in_copy(fork, || {
            let go = AtomicBool::new(false);
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        while !go.load(Relaxed) {
                            thread::yield_now();
                        }
                        make_each_way(arena.claim(PORTION).expect("room"));
                    });
                }
                go.store(true, Relaxed);
                // The fork comes at different times of their first UUID.
                thread::sleep(Duration::from_micros(round % 10 * 10));
                let children = (0..CHILDREN).map(|_| start_child(&arena, make_each_way));
                assert_eq!(hung(children.collect()), 0);
            });
            make_each_way(arena.claim(PORTION).expect("room"));
            vec![]
        });
    }
    let made = arena.into_ids();
    assert_eq!(made.len(), rounds * OF_A_ROUND);
    assert_all_distinct(made);
}

fn forking_while_threads_make_their_first_uuid_hangs_nobody() {
    assert_endures_the_first();
}

fn with_the_device_a_fork_while_threads_make_their_first_uuid_hangs_nobody() {
    refuse_getrandom();
    assert_endures_the_first();
}
