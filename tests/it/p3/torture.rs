//! Forks without pause while threads generate, begin and end.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use fork_safe_uuid::{Generator, Uuid, fill_v4};
use support::harness::{self, is_emulated, turns};
use support::ok;
use support::process::{fork, in_copy, wait};
use support::sandbox::refuse_getrandom;

use crate::arena::{Arena, duplicates};

support::scenarios![
    forking_while_threads_come_and_go_hangs_nobody { seconds: 180 },
    with_the_device_it_hangs_nobody_either { seconds: 180 },
    forking_while_threads_generate_hangs_uuid7,
    forking_while_threads_make_their_first_hangs_nobody { seconds: 180 },
    with_the_device_their_first_hangs_nobody_either { seconds: 180 },
];

const LANES: usize = 8;
/// A child's or a thread's, in the shared memory.
pub const PORTION: usize = 24;
/// Far more seconds than a child waits for its turn on a busy machine.
pub fn patience() -> u32 {
    30 * harness::patience() as u32
}

/// With a child that is to hang.
pub const IMPATIENCE: u32 = 5;

/// One by one, many at once past the slots of a pool, and without a pool.
pub fn ours(ids: &mut [Uuid]) {
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

/// Has a child make a portion, or be killed by the alarm.
pub fn start_child(arena: &Arena, patience: u32, make: impl Fn(&mut [Uuid])) -> i32 {
    let pid = ok(fork());
    if pid == 0 {
        // SAFETY: the kernel ends whoever hangs.
        unsafe { libc::alarm(patience) };
        make(arena.claim(PORTION).expect("room for every child"));
        // SAFETY: ends the process; other threads' locks may be held for ever.
        unsafe { libc::_exit(0) };
    }
    pid
}

/// How many of the children hung.
pub fn hung(pids: Vec<i32>) -> usize {
    let hung = |&pid: &i32| {
        let status = wait(pid);
        let killed = status == libc::SIGALRM;
        assert!(status == 0 || killed, "ended with {status:#x}");
        killed
    };
    pids.iter().filter(|pid| hung(pid)).count()
}

/// Forks `children` times while eight threads generate, each of which ends
/// after a moment and is followed by another. Returns how many children hung.
fn torture(
    arena: &Arena,
    threads: &Arena,
    children: usize,
    patience: u32,
    make: impl Fn(&mut [Uuid]) + Copy + Sync + Send,
) -> usize {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    let life = || {
                        let mut spare = [Uuid::nil(); PORTION];
                        // Room ends; the threads do not.
                        make(threads.claim(PORTION).unwrap_or(&mut spare));
                        (0..20).for_each(|_| make(&mut spare));
                    };
                    thread::scope(|scope| scope.spawn(life).join()).expect("no panic");
                }
            });
        }
        let mut total = 0;
        for _ in 0..children / 50 {
            let pids = (0..50).map(|_| {
                // So that the child finds a pool in use, and wiped.
                make(arena.claim(PORTION).expect("room for the parent, too"));
                start_child(arena, patience, make)
            });
            total += hung(pids.collect());
        }
        stop.store(true, Relaxed);
        total
    })
}

/// How many of so many children, a multiple of 50, hang when they are forked
/// while threads generate.
pub fn hung_of(
    children: usize,
    patience: u32,
    make: impl Fn(&mut [Uuid]) + Copy + Sync + Send,
) -> usize {
    let (arena, threads) = (Arena::new(2 * children * PORTION), Arena::new(PORTION));
    torture(&arena, &threads, children, patience, make)
}

/// Mappings, and KiB of resident memory that is not shared.
fn footprint() -> (usize, usize) {
    // An emulator's own, which grow, or nobody's.
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
    // glibc's heaps, one for each thread, come and go by chance.
    #[cfg(target_env = "gnu")]
    // SAFETY: before there are threads.
    assert_eq!(unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) }, 1);
    let arena = Arena::new(2 * (children + 200) * PORTION);
    let threads = Arena::new(200_000);
    assert_eq!(torture(&arena, &threads, 200, patience(), ours), 0);
    let before = footprint();
    assert_eq!(torture(&arena, &threads, children, patience(), ours), 0);
    let after = footprint();
    println!("{before:?} before, {after:?} after");
    assert!(after.0 <= before.0 + 8, "mappings: {before:?}, {after:?}");
    assert!(after.1 <= before.1 + 512, "KiB: {before:?}, {after:?}");
    let children_made = arena.into_ids();
    assert_eq!(children_made.len(), 2 * (children + 200) * PORTION);
    let threads_made = threads.into_ids();
    assert!(threads_made.len() > 2 * LANES * PORTION);
    assert_all_distinct(&mut [children_made, threads_made].concat());
}

#[track_caller]
pub fn assert_all_distinct(ids: &mut [Uuid]) {
    assert!(ids.iter().all(|id| id.get_version_num() == 4), "not made");
    assert_eq!(duplicates(ids), 0);
}

fn forking_while_threads_come_and_go_hangs_nobody() {
    assert_endures(turns(2000));
}

fn with_the_device_it_hangs_nobody_either() {
    refuse_getrandom();
    assert_endures(turns(500));
}

/// The control: it has a lock.
fn forking_while_threads_generate_hangs_uuid7() {
    assert!(hung_of(100, IMPATIENCE, peer) > 0, "uuid7 was mended?");
}

const CHILDREN: usize = 4;
const OF_A_ROUND: usize = (LANES + CHILDREN + 1) * PORTION;

/// Forks while eight threads of a new process, which has nothing mapped yet,
/// make their first.
fn assert_endures_the_first() {
    let rounds = turns(200);
    let arena = Arena::new(rounds * OF_A_ROUND);
    for round in 0..rounds as u64 {
        in_copy(fork, || {
            let go = AtomicBool::new(false);
            thread::scope(|scope| {
                for _ in 0..LANES {
                    scope.spawn(|| {
                        while !go.load(Relaxed) {
                            thread::yield_now();
                        }
                        ours(arena.claim(PORTION).expect("room"));
                    });
                }
                go.store(true, Relaxed);
                // Meets them anywhere.
                thread::sleep(Duration::from_micros(round % 10 * 10));
                let children = (0..CHILDREN).map(|_| start_child(&arena, patience(), ours));
                assert_eq!(hung(children.collect()), 0);
            });
            ours(arena.claim(PORTION).expect("room"));
            vec![]
        });
    }
    let made = arena.into_ids();
    assert_eq!(made.len(), rounds * OF_A_ROUND);
    assert_all_distinct(made);
}

fn forking_while_threads_make_their_first_hangs_nobody() {
    assert_endures_the_first();
}

fn with_the_device_their_first_hangs_nobody_either() {
    refuse_getrandom();
    assert_endures_the_first();
}
