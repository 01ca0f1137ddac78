//! Clocks that jump, stand still or fail.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fork_safe_uuid::clock::Clock;
use fork_safe_uuid::{
    ErrorKind, Generator, Uuid, fill_v7, now_v1, now_v6, now_v7, random_node, reseed, status,
};

use crate::timestamps::{
    FIXED, SECOND, SetClock, YEAR, assert_distinct, assert_increasing, new_year, time_of,
};

pub fn versions_variants_and_times_are_what_uuid_reads() {
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

pub fn a_clock_that_jumps_is_followed_unless_it_goes_back_by_a_few_seconds() {
    let clock = SetClock::at(new_year());
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
            // Each time that the clock is not followed, 1001 UUIDs of one tick add 15 µs.
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
    make(new_year(), new_year());
    make(new_year() - SECOND, new_year());
    make(new_year() - 9 * SECOND, new_year());
    make(new_year() + SECOND, new_year() + SECOND);
    make(new_year() + YEAR, new_year() + YEAR);
    assert_eq!(status().clock_steps(), 0);
    let back = make(new_year() + YEAR - 9 * SECOND, new_year() + YEAR);
    for (steps, time) in [
        (1, new_year()),
        (2, new_year() - YEAR),
        (2, new_year() + YEAR),
    ] {
        make(time, time);
        assert_eq!(status().clock_steps(), steps);
    }
    assert!(status().to_string().ends_with("; clock steps: 2"));
    assert_increasing(&all[..back]);
    assert_distinct(&all);
}

pub fn a_clock_is_followed_if_it_goes_back_by_more_than_ten_seconds() {
    // A whole second is the beginning of a tick.
    let tick = Duration::from_nanos(244);
    for (back, is_held) in [(10 * SECOND, true), (10 * SECOND + tick, false)] {
        let clock = SetClock::at(new_year() + 20 * SECOND);
        let generator = Generator::new().with_clock(clock.clone());
        let before = generator.now_v7();
        clock.to(new_year() + 20 * SECOND - back);
        let after = [generator.now_v7(), generator.now_v7()];
        assert_eq!(before < after[0], is_held);
        assert_increasing(&after);
    }
}

pub fn after_reseed_every_generator_follows_the_clock() {
    let clock = SetClock::at(new_year() + 9 * SECOND);
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
    make(new_year() + 9 * SECOND);
    clock.to(new_year());
    // The control: without `reseed()` the clock is not followed.
    make(new_year() + 9 * SECOND);
    for _ in 0..3 {
        reseed();
        make(new_year());
    }
    assert_eq!(status().clock_steps(), 0);
    assert_distinct(&all);
}

pub fn a_time_without_a_timestamp_is_an_error_and_leaves_nil() {
    let end = UNIX_EPOCH + Duration::from_millis(1 << 48);
    let ns = Duration::from_nanos(1);
    let clock = SetClock::at(new_year());
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
        // An empty request does not read the clock.
        assert!(generator.try_fill_v7(&mut []).is_ok());
        assert_eq!(generator.new_v4().get_version_num(), 4);
    }
    clock.to(UNIX_EPOCH);
    assert!(generator.now_v7().as_u128() >> 80 == 0);
    // The last tick has room for 15 UUIDs.
    clock.to(end - ns);
    assert_increasing(&[(); 15].map(|()| generator.now_v7()));
    assert!(generator.try_now_v7().is_err());
    clock.to(end - 10 * SECOND);
    assert!(generator.try_now_v7().is_err());
    clock.to(new_year());
    assert_increasing(&[(); 15].map(|()| generator.now_v7()));
}

pub fn a_generator_works_after_its_clock_panicked() {
    struct PanicsOnce(AtomicBool);
    impl Clock for PanicsOnce {
        fn now(&self) -> SystemTime {
            assert!(self.0.swap(true, Relaxed), "the first time");
            new_year()
        }
    }
    let generator = Generator::new().with_clock(PanicsOnce(AtomicBool::new(false)));
    assert!(catch_unwind(AssertUnwindSafe(|| generator.now_v7())).is_err());
    assert_increasing(&[(); 1000].map(|()| generator.now_v7()));
}
