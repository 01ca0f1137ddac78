//! A clock that shows whatever the fuzzer says: UUIDs of version 7 increase
//! strictly, tell no time before the clock's, and an error leaves Nil.
#![no_main]

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arbitrary::Arbitrary;
use fork_safe_uuid::clock::Clock;
use fork_safe_uuid::{ErrorKind, Generator, Uuid};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Operation {
    /// Seconds since 1970 and nanoseconds.
    Set(i64, u32),
    /// Nanoseconds to and fro.
    Step(i32),
    /// To the last microseconds of all.
    End(u16),
    One,
    Many(u16),
    Anew,
}

thread_local! {
    /// Nanoseconds since 1970.
    static NOW: Cell<i128> = const { Cell::new(0) };
}

struct Fuzzed;

impl Clock for Fuzzed {
    fn now(&self) -> SystemTime {
        let nanos = NOW.get().unsigned_abs();
        let since = Duration::new((nanos / SECOND) as u64, (nanos % SECOND) as u32);
        let time = if NOW.get() < 0 {
            UNIX_EPOCH.checked_sub(since)
        } else {
            UNIX_EPOCH.checked_add(since)
        };
        time.unwrap_or(UNIX_EPOCH)
    }
}

const SECOND: u128 = 1_000_000_000;
const END: i128 = (1 << 48) * 1_000_000;

fuzz_target!(|operations: Vec<Operation>| {
    let new = || Generator::new().with_clock(Fuzzed);
    let mut generator = new();
    let mut last = Uuid::nil();
    NOW.set(0);
    for operation in operations {
        let count = match operation {
            Operation::Set(seconds, nanos) => {
                // Within what a `SystemTime` holds.
                let seconds = i128::from(seconds.clamp(i64::MIN / 2, i64::MAX / 2));
                NOW.set(seconds * SECOND as i128 + i128::from(nanos));
                continue;
            }
            Operation::Step(nanos) => {
                NOW.set(NOW.get() + i128::from(nanos));
                continue;
            }
            Operation::End(nanos) => {
                NOW.set(END - i128::from(nanos));
                continue;
            }
            Operation::Anew => {
                (generator, last) = (new(), Uuid::nil());
                continue;
            }
            Operation::One => 1,
            Operation::Many(count) => usize::from(count) % 1000,
        };
        let mut ids = vec![Uuid::max(); count];
        let made = if count == 1 {
            generator.try_now_v7().map(|id| ids[0] = id)
        } else {
            generator.try_fill_v7(&mut ids)
        };
        // The timestamp's 60 bits of the last UUID are all ones.
        let at_the_end =
            last.as_u128() >> 80 == (1 << 48) - 1 && last.as_u128() >> 64 & 0xfff == 0xfff;
        match made {
            Ok(()) => {
                assert!(count == 0 || (0..END).contains(&NOW.get()));
                for id in ids {
                    assert!(last < id, "{last} then {id}");
                    assert_eq!((id.get_version_num(), id.as_bytes()[8] >> 6), (7, 2));
                    assert!((id.as_u128() >> 80) as i128 >= NOW.get() / 1_000_000);
                    last = id;
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Clock);
                assert!(at_the_end || !(0..END).contains(&NOW.get()), "{error}");
                assert!(count == 1 || ids.iter().all(Uuid::is_nil));
            }
        }
    }
});
