//! UUIDs that time orders: what any clock does to them, and what a copy of the
//! process has in common with its original.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fork_safe_uuid::clock::Clock;
use fork_safe_uuid::{
    ErrorKind, Generator, Uuid, fill_v7, now_v1, now_v6, now_v7, random_node, reseed, status,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use support::harness::turns;
use support::process::{fork, in_copy, start_copy};
use support::sandbox::refuse;
use support::uuids::make;
use support::{SLOTS, ok};

use crate::snapshots::keep_on_fork;
use crate::torture::{IMPATIENCE, hung_of, patience};
use crate::vfork::{clone_vm, in_sharing};

support::scenarios![
    versions_variants_and_times_are_what_uuid_reads,
    a_clock_that_jumps_is_followed_ahead_and_held_where_it_is_a_little_back,
    ten_seconds_back_are_held_and_a_tick_more_is_followed,
    a_forked_child_follows_a_clock_that_was_set_back,
    reseed_starts_the_order_of_every_generator_anew,
    a_handler_at_any_time_of_a_step_back_keeps_the_order,
    a_time_without_a_timestamp_is_an_error_and_leaves_nil,
    a_clock_that_panics_leaves_a_generator_that_goes_on,
    any_clock_gives_increasing_uuids,
    a_fork_in_a_tick_that_never_ends_repeats_nothing,
    uuid_repeats_its_version_7_after_fork,
    a_vfork_child_goes_on_in_order,
    a_handler_at_any_time_keeps_the_order,
    forks_and_threads_repeat_nothing,
    forking_while_threads_make_timestamps_hangs_nobody,
    forking_while_threads_generate_hangs_uuids_version_7 { seconds: 300 },
    copies_have_clock_sequences_and_nodes_of_their_own,
    a_clone_has_the_clock_sequence_and_node_until_reseed,
    a_clone_in_one_tick_repeats_at_most_the_pool,
    without_wiped_memory_nothing_is_kept_and_nothing_repeated,
];

const FIXED: [u8; 6] = [0xde, 0xad, 0xbe, 0xef, 0x00, 0x01];

#[track_caller]
fn assert_increasing(ids: &[Uuid]) {
    for pair in ids.windows(2) {
        assert!(pair[0] < pair[1], "{} then {}", pair[0], pair[1]);
    }
}

#[track_caller]
fn assert_distinct(ids: &[Uuid]) {
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

/// When `uuid` says that it was made.
fn time_of(id: &Uuid) -> Duration {
    let (seconds, nanos) = id.get_timestamp().expect("a timestamp").to_unix();
    Duration::new(seconds, nanos)
}

fn versions_variants_and_times_are_what_uuid_reads() {
    let since_1970 = || SystemTime::now().duration_since(UNIX_EPOCH).expect("now");
    let ms = Duration::from_millis(1);
    let node = random_node();
    assert_eq!(node[0] & 1, 1);
    assert_eq!(random_node(), node);
    let mut one = [Uuid::nil()];
    for _ in 0..1000 {
        let before = since_1970();
        fill_v7(&mut one);
        let ids = [
            (now_v1(&FIXED), 1, Some(FIXED)),
            (now_v6(&node), 6, Some(node)),
            (now_v7(), 7, None),
            (Generator::new().now_v7(), 7, None),
            (Generator::unbuffered().now_v7(), 7, None),
            (one[0], 7, None),
        ];
        let after = since_1970();
        for (id, version, node) in ids {
            assert_eq!(id.get_version_num(), version);
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
            assert_eq!(id.get_node_id(), node);
            let time = time_of(&id);
            assert!(
                before - ms < time && time <= after,
                "{time:?} at {before:?}"
            );
        }
    }
}

/// Stands where it is set.
#[derive(Clone)]
struct Set(Arc<Mutex<SystemTime>>);

impl Set {
    fn at(time: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(time)))
    }

    fn to(&self, time: SystemTime) {
        *self.0.lock().expect("one thread") = time;
    }
}

impl Clock for Set {
    fn now(&self) -> SystemTime {
        *self.0.lock().expect("one thread")
    }
}

/// 2026-01-01.
fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

const YEAR: Duration = Duration::from_secs(365 * 86_400);
const SECOND: Duration = Duration::from_secs(1);

fn a_clock_that_jumps_is_followed_ahead_and_held_where_it_is_a_little_back() {
    let clock = Set::at(noon());
    let generator = Generator::new().with_clock(clock.clone());
    let mut all = vec![];
    let mut make = |time: SystemTime, expected: SystemTime| {
        clock.to(time);
        let start = all.len();
        all.extend((0..1000).map(|_| generator.now_v7()));
        let mut many = vec![Uuid::nil(); 1000];
        generator.fill_v7(&mut many);
        all.extend(many);
        for id in &all[start..] {
            // 1001 of one tick run ahead by 15 µs, for each time held.
            let ahead =
                time_of(id).checked_sub(expected.duration_since(UNIX_EPOCH).expect("after"));
            assert!(
                ahead.is_some_and(|ahead| ahead <= Duration::from_millis(1)),
                "{ahead:?}"
            );
        }
        assert_increasing(&all[start..]);
        all.len()
    };
    make(noon(), noon());
    make(noon() - SECOND, noon());
    make(noon() - 9 * SECOND, noon());
    make(noon() + SECOND, noon() + SECOND);
    make(noon() + YEAR, noon() + YEAR);
    assert_eq!(status().clock_steps(), 0);
    let back = make(noon() + YEAR - 9 * SECOND, noon() + YEAR);
    for (steps, time) in [(1, noon()), (2, noon() - YEAR), (2, noon() + YEAR)] {
        make(time, time);
        assert_eq!(status().clock_steps(), steps);
    }
    assert!(status().to_string().ends_with("; clock steps: 2"));
    assert_increasing(&all[..back]);
    assert_distinct(&all);
}

fn ten_seconds_back_are_held_and_a_tick_more_is_followed() {
    // A second after noon is the beginning of a tick.
    let tick = Duration::from_nanos(244);
    for (back, is_held) in [(10 * SECOND, true), (10 * SECOND + tick, false)] {
        let clock = Set::at(noon() + 20 * SECOND);
        let generator = Generator::new().with_clock(clock.clone());
        let before = generator.now_v7();
        clock.to(noon() + 20 * SECOND - back);
        let after = [generator.now_v7(), generator.now_v7()];
        assert_eq!(before < after[0], is_held);
        assert_increasing(&after);
    }
}

fn a_forked_child_follows_a_clock_that_was_set_back() {
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

fn reseed_starts_the_order_of_every_generator_anew() {
    let clock = Set::at(noon() + 9 * SECOND);
    let generators = [Generator::new(), Generator::unbuffered()];
    let generators = generators.map(|generator| generator.with_clock(clock.clone()));
    let mut all = vec![];
    let mut make = |expected: SystemTime| {
        for generator in &generators {
            let id = generator.now_v7();
            assert_eq!(
                time_of(&id),
                expected.duration_since(UNIX_EPOCH).expect("after")
            );
            all.push(id);
        }
    };
    make(noon() + 9 * SECOND);
    clock.to(noon());
    // The control: it is held.
    make(noon() + 9 * SECOND);
    for _ in 0..3 {
        reseed();
        make(noon());
    }
    assert_eq!(status().clock_steps(), 0);
    assert_distinct(&all);
}

fn a_time_without_a_timestamp_is_an_error_and_leaves_nil() {
    let end = UNIX_EPOCH + Duration::from_millis(1 << 48);
    let ns = Duration::from_nanos(1);
    let clock = Set::at(noon());
    let generator = Generator::new().with_clock(clock.clone());
    for (time, text) in [
        (UNIX_EPOCH - ns, "it is before 1970-01-01"),
        (end, "it is, or was, after 10889-08-02"),
    ] {
        clock.to(time);
        let error = generator.try_now_v7().expect_err("no timestamp");
        assert_eq!(error.kind(), ErrorKind::Clock);
        assert_eq!(error.raw_os_error(), None);
        let text = format!("no timestamp: wall clock: {text}; set the clock");
        assert_eq!(error.to_string(), text);
        let panic = catch_unwind(AssertUnwindSafe(|| generator.now_v7())).expect_err("a panic");
        assert_eq!(panic.downcast_ref::<String>(), Some(&text));
        let mut ids = [Uuid::max(); 5];
        assert!(generator.try_fill_v7(&mut ids).is_err());
        assert_eq!(ids, [Uuid::nil(); 5]);
        // Nothing is asked of the clock.
        assert!(generator.try_fill_v7(&mut []).is_ok());
        assert_eq!(generator.new_v4().get_version_num(), 4);
    }
    clock.to(UNIX_EPOCH);
    assert!(generator.now_v7().as_u128() >> 80 == 0);
    // The last tick of all has 15 words, and nothing follows it.
    clock.to(end - ns);
    assert_increasing(&[(); 15].map(|()| generator.now_v7()));
    assert!(generator.try_now_v7().is_err());
    clock.to(end - 10 * SECOND);
    assert!(generator.try_now_v7().is_err());
    clock.to(noon());
    assert_increasing(&[(); 15].map(|()| generator.now_v7()));
}

fn a_clock_that_panics_leaves_a_generator_that_goes_on() {
    struct PanicsOnce(AtomicBool);
    impl Clock for PanicsOnce {
        fn now(&self) -> SystemTime {
            assert!(self.0.swap(true, Relaxed), "the first time");
            noon()
        }
    }
    let generator = Generator::new().with_clock(PanicsOnce(AtomicBool::new(false)));
    assert!(catch_unwind(AssertUnwindSafe(|| generator.now_v7())).is_err());
    assert_increasing(&[(); 1000].map(|()| generator.now_v7()));
}

fn any_clock_gives_increasing_uuids() {
    const END: i128 = (1 << 48) * 1_000_000;
    // Anywhere, around both ends, to and fro in a few ticks, and by some 10 s.
    let time = prop_oneof![
        any::<i64>().prop_map(i128::from),
        -10i128..10,
        END - 1000..END + 10,
        1_767_225_600_000_000_000..1_767_225_600_000_001_000i128,
        (0..12i128, 0..1000i128).prop_map(|(seconds, nanos)| 1_767_225_600_000_000_000
            + seconds * 1_000_000_000
            + nanos),
    ];
    let call = prop_oneof![Just(1usize), 0usize..600];
    let calls = prop::collection::vec((time, call), 1..100);
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(turns(500) as u32)
    };
    let outcome = TestRunner::new(config).run(&calls, |calls| {
        let clock = Set::at(noon());
        let generator = Generator::new().with_clock(clock.clone());
        let mut last = Uuid::nil();
        for (nanos, count) in calls {
            let (seconds, rest) = (nanos.abs() / 1_000_000_000, nanos.abs() % 1_000_000_000);
            let since = Duration::new(seconds as u64, rest as u32);
            clock.to(if nanos < 0 {
                UNIX_EPOCH - since
            } else {
                UNIX_EPOCH + since
            });
            let mut ids = vec![Uuid::max(); count];
            let made = if count == 1 {
                generator.try_now_v7().map(|id| ids[0] = id)
            } else {
                generator.try_fill_v7(&mut ids)
            };
            if count == 0 {
                prop_assert!(made.is_ok());
            } else if !(0..END).contains(&nanos) {
                prop_assert!(made.is_err());
            } else if made.is_err() {
                // Only where it was at the end already, and is held there.
                let end = Uuid::from_u128(u128::MAX << 64 & !(0xf << 76) | 7 << 76);
                prop_assert!(last > end, "{:?} after {}", made, last);
                prop_assert!(nanos >= END - 10_000_001_000);
            }
            if made.is_err() {
                prop_assert!(count == 1 || ids.iter().all(Uuid::is_nil));
                continue;
            }
            if last != Uuid::nil() && count > 0 && tick(word_of(last)) > tick_of(nanos) + HELD {
                prop_assert_eq!(word_of(ids[0]), (tick_of(nanos) << 4).max(1));
                last = Uuid::nil();
            }
            for id in ids {
                prop_assert!(tick(word_of(id)) <= tick_of(nanos) + HELD + 1);
                prop_assert!(last < id, "{} then {}", last, id);
                prop_assert_eq!((id.get_version_num(), id.as_bytes()[8] >> 6), (7, 2));
                prop_assert!(time_of(&id).as_millis() >= since.as_millis());
                last = id;
            }
        }
        Ok(())
    });
    outcome.expect("increasing");
}

fn a_fork_in_a_tick_that_never_ends_repeats_nothing() {
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
fn uuid_repeats_its_version_7_after_fork() {
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
fn a_vfork_child_goes_on_in_order() {
    let mut ids = [Uuid::nil(); 3000];
    let (before, rest) = ids.split_at_mut(1000);
    let (theirs, after) = rest.split_at_mut(1000);
    before.fill_with(now_v7);
    in_sharing(clone_vm, || theirs.fill_with(now_v7));
    after.fill_with(now_v7);
    assert_increasing(&ids);
}

/// 10 s.
const HELD: u64 = 40_960_000;

/// 4096 in a millisecond.
fn tick_of(nanos: i128) -> u64 {
    (nanos * 4096 / 1_000_000) as u64
}

fn tick(word: u64) -> u64 {
    word >> 4
}

/// Timestamp and counter.
fn word_of(id: Uuid) -> u64 {
    let bits = id.as_u128();
    ((bits >> 80) as u64) << 16 | ((bits >> 64) as u64 & 0xfff) << 4 | (bits >> 58) as u64 & 0xf
}

/// Runs a handler that touches atomics and a generator, each 20 µs.
fn repeat_alarm(handler: extern "C" fn(i32)) {
    let interval = libc::timeval {
        tv_sec: 0,
        tv_usec: 20,
    };
    let timer = libc::itimerval {
        it_interval: interval,
        it_value: interval,
    };
    // SAFETY: the handler touches nothing else.
    unsafe {
        libc::signal(libc::SIGALRM, handler as *const () as libc::sighandler_t);
        ok(libc::setitimer(
            libc::ITIMER_REAL,
            &raw const timer,
            null_mut(),
        ));
    }
}

fn a_handler_at_any_time_keeps_the_order() {
    static GENERATOR: AtomicPtr<Generator> = AtomicPtr::new(null_mut());
    static LAST: AtomicU64 = AtomicU64::new(0);
    static CALLS: AtomicU64 = AtomicU64::new(0);
    static DISORDER: AtomicU64 = AtomicU64::new(0);
    extern "C" fn handler(_: i32) {
        // SAFETY: set before the timer, and this thread's.
        let generator = unsafe { &*GENERATOR.load(Relaxed) };
        let word = word_of(generator.now_v7());
        DISORDER.fetch_add(u64::from(LAST.swap(word, Relaxed) >= word), Relaxed);
        CALLS.fetch_add(1, Relaxed);
    }
    struct Frozen;
    impl Clock for Frozen {
        fn now(&self) -> SystemTime {
            noon()
        }
    }
    // Without a clock that moves on, a step that is lost is seen.
    let generator = Generator::new().with_clock(Frozen);
    GENERATOR.store((&raw const generator).cast_mut(), Relaxed);
    repeat_alarm(handler);
    let mut last = 0;
    while CALLS.load(Relaxed) < 20_000 {
        let before = LAST.load(Relaxed).max(last);
        last = word_of(generator.now_v7());
        assert!(before < last, "{before:x} then {last:x}");
    }
    // SAFETY: from here on the generator may go.
    unsafe { libc::signal(libc::SIGALRM, libc::SIG_IGN) };
    assert_eq!(DISORDER.load(Relaxed), 0);
}

fn a_handler_at_any_time_of_a_step_back_keeps_the_order() {
    static GENERATOR: AtomicPtr<Generator> = AtomicPtr::new(null_mut());
    static LAST: AtomicU64 = AtomicU64::new(0);
    static CALLS: AtomicU64 = AtomicU64::new(0);
    static INSIDE: AtomicU64 = AtomicU64::new(0);
    static DISORDER: AtomicU64 = AtomicU64::new(0);
    static AHEAD: AtomicBool = AtomicBool::new(true);
    static STEPPING: AtomicBool = AtomicBool::new(false);
    extern "C" fn handler(_: i32) {
        if AHEAD.load(Relaxed) {
            return;
        }
        // SAFETY: set before the timer, and this thread's.
        let generator = unsafe { &*GENERATOR.load(Relaxed) };
        for _ in 0..3 {
            let id = generator.now_v7();
            let in_order = LAST.swap(word_of(id), Relaxed) < word_of(id);
            let in_time = time_of(&id) < Jumps(false).since_1970() + SECOND;
            DISORDER.fetch_add(u64::from(!in_order || !in_time), Relaxed);
        }
        CALLS.fetch_add(1, Relaxed);
        INSIDE.fetch_add(u64::from(STEPPING.load(Relaxed)), Relaxed);
    }
    struct Jumps(bool);
    impl Jumps {
        fn since_1970(&self) -> Duration {
            let time = if self.0 { noon() + YEAR } else { noon() };
            time.duration_since(UNIX_EPOCH).expect("after it")
        }
    }
    struct Jumping;
    impl Clock for Jumping {
        fn now(&self) -> SystemTime {
            UNIX_EPOCH + Jumps(AHEAD.load(Relaxed)).since_1970()
        }
    }
    let generator = Generator::new().with_clock(Jumping);
    GENERATOR.store((&raw const generator).cast_mut(), Relaxed);
    repeat_alarm(handler);
    while CALLS.load(Relaxed) < 20_000 {
        AHEAD.store(true, Relaxed);
        let _ = generator.now_v7();
        LAST.store(0, Relaxed);
        AHEAD.store(false, Relaxed);
        STEPPING.store(true, Relaxed);
        let before = LAST.load(Relaxed);
        let first = word_of(generator.now_v7());
        STEPPING.store(false, Relaxed);
        let last = LAST.load(Relaxed).max(first);
        let second = word_of(generator.now_v7());
        assert!(
            before < first && last < second,
            "{before:x} {first:x} {last:x} {second:x}"
        );
    }
    // SAFETY: from here on the generator may go.
    unsafe { libc::signal(libc::SIGALRM, libc::SIG_IGN) };
    assert_eq!(DISORDER.load(Relaxed), 0);
    assert!(INSIDE.load(Relaxed) > 100, "{}", INSIDE.load(Relaxed));
}

/// Version 7 one by one and at once, versions 1 and 6: 1000 of each.
fn of_all_kinds() -> Vec<Uuid> {
    let mut many = vec![Uuid::nil(); 1000];
    fill_v7(&mut many);
    for _ in 0..1000 {
        let node = random_node();
        many.extend([now_v7(), now_v1(&node), now_v6(&node)]);
    }
    many
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

fn forking_while_threads_make_timestamps_hangs_nobody() {
    let makes: [fn() -> Uuid; 2] = [now_v7, || now_v1(&random_node())];
    for make in makes {
        assert_eq!(hung_of(300, patience(), |ids| ids.fill_with(make)), 0);
    }
}

/// The control: it has a lock.
fn forking_while_threads_generate_hangs_uuids_version_7() {
    assert!(
        (0..40).any(|_| hung_of(100, IMPATIENCE, |ids| ids.fill_with(Uuid::now_v7)) > 0),
        "uuid was mended?"
    );
}

/// The clock sequence of a version 1, as a UUID.
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
    // Of 22 draws of 14 bits two are equal once in 70 runs, four in 10^4.
    assert!(distinct(0) >= 19, "{}", distinct(0));
}

fn a_clone_has_the_clock_sequence_and_node_until_reseed() {
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

fn a_clone_in_one_tick_repeats_at_most_the_pool() {
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
