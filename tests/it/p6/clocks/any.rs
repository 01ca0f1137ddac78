//! Clocks that show random times.

use std::time::{Duration, UNIX_EPOCH};

use fork_safe_uuid::{Generator, Uuid};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use support::harness::{step, turns};

use crate::timestamps::{SetClock, new_year, time_of, word_of};

/// By so many ticks (10 s) a clock may go back without being followed.
const HELD: u64 = 40_960_000;

/// Returns the tick of a time since 1970. A millisecond has 4096 ticks.
fn tick_of(nanos: i128) -> u64 {
    (nanos * 4096 / 1_000_000) as u64
}

fn tick(word: u64) -> u64 {
    word >> 4
}

/// The end of the times that have a timestamp, in nanoseconds since 1970.
const END: i128 = (1 << 48) * 1_000_000;

/// Generates any times, times around both ends of what has a timestamp, times within a few
/// ticks, and times within 12 seconds.
fn times() -> impl Strategy<Value = i128> {
    const NEW_YEAR: i128 = 1_767_225_600_000_000_000;
    prop_oneof![
        any::<i64>().prop_map(i128::from),
        -10i128..10,
        END - 1000..END + 10,
        NEW_YEAR..NEW_YEAR + 1000,
        (0..12i128, 0..1000i128)
            .prop_map(|(seconds, nanos)| NEW_YEAR + seconds * 1_000_000_000 + nanos),
    ]
}

pub fn any_clock_gives_increasing_uuids() {
    let call = prop_oneof![Just(1usize), 0usize..600];
    let calls = prop::collection::vec((times(), call), 1..100);
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(turns(500) as u32)
    };
    let outcome = TestRunner::new(config).run(&calls, |calls| {
        step(format_args!("{} calls", calls.len()));
        let clock = SetClock::at(new_year());
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
                // It fails only if the last UUID was in the last tick, and the clock has not
                // gone back far enough to be followed.
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
