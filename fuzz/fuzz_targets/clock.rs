//! Makes UUIDs of version 7 with a clock that the fuzzer sets. They increase strictly while the
//! clock is at most 10 s behind the last one. If it is further behind, or after `reseed`, they
//! start at the clock's time again. None has a time before the clock's, and after an error
//! all are Nil.
#![no_main]

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arbitrary::Arbitrary;
use fork_safe_uuid::clock::Clock;
use fork_safe_uuid::{ErrorKind, Generator, Uuid};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Operation {
    /// Sets the clock to seconds since 1970 and nanoseconds.
    Set(i64, u32),
    /// Moves the clock by nanoseconds, forwards or backwards.
    Step(i32),
    /// Sets the clock to the last microseconds of version 7.
    End(u16),
    /// Makes one UUID.
    One,
    /// Makes several UUIDs at once.
    Many(u16),
    /// Replaces the generator.
    New,
    /// Sets the clock back by 10 s and some nanoseconds.
    Back(u8),
    Reseed,
}

thread_local! {
    /// The time of the clock, in nanoseconds since 1970.
    static NOW: Cell<i128> = const { Cell::new(0) };
}

/// A clock that shows `NOW`.
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

/// Returns the timestamp and the counter of a UUID.
fn word_of(id: Uuid) -> u64 {
    let (high, low) = id.as_u64_pair();
    high >> 16 << 16 | (high & 0xfff) << 4 | low >> 58 & 0xf
}

const SECOND: u128 = 1_000_000_000;
/// How far the clock may be behind, in ticks of 1/4096 ms.
const HELD: u64 = 40_960_000;
/// The first nanosecond that version 7 cannot have.
const END: i128 = (1 << 48) * 1_000_000;

fuzz_target!(|operations: Vec<Operation>| {
    let new = || Generator::new().with_clock(Fuzzed);
    let mut generator = new();
    let mut last = Uuid::nil();
    let mut held = HELD;
    NOW.set(0);
    for operation in operations {
        let count = match operation {
            Operation::Set(seconds, nanos) => {
                // A `SystemTime` must be able to hold it.
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
            Operation::Back(nanos) => {
                NOW.set(NOW.get() - 10 * SECOND as i128 - i128::from(nanos));
                continue;
            }
            Operation::Reseed => {
                fork_safe_uuid::reseed();
                held = 0;
                continue;
            }
            Operation::New => {
                (generator, last, held) = (new(), Uuid::nil(), HELD);
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
        // Whether all 60 bits of the last UUID's timestamp are ones.
        let at_the_end =
            last.as_u128() >> 80 == (1 << 48) - 1 && last.as_u128() >> 64 & 0xfff == 0xfff;
        match made {
            Ok(()) => {
                assert!(count == 0 || (0..END).contains(&NOW.get()));
                let tick = (NOW.get() * 4096 / 1_000_000) as u64;
                if count > 0 && word_of(last) >> 4 > tick + held {
                    last = Uuid::nil();
                    assert_eq!(word_of(ids[0]), (tick << 4).max(1));
                }
                if count > 0 {
                    held = HELD;
                }
                for id in ids {
                    assert!(word_of(id) >> 4 <= tick + HELD + 1);
                    assert!(last < id, "{last} then {id}");
                    assert_eq!((id.get_version_num(), id.as_bytes()[8] >> 6), (7, 2));
                    assert!((id.as_u128() >> 80) as i128 >= NOW.get() / 1_000_000);
                    last = id;
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Clock);
                let is_held = at_the_end && NOW.get() >= END - 11 * SECOND as i128;
                assert!(is_held || !(0..END).contains(&NOW.get()), "{error}");
                assert!(count == 1 || ids.iter().all(Uuid::is_nil));
            }
        }
    }
});
