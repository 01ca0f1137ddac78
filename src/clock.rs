//! The time for versions 7, 6 and 1.
//!
//! A clock may stand still or go back. No call waits for it: each timestamp is the last one
//! plus one until the clock has passed it. If the clock is further back than `HELD`, somebody
//! corrected it, and timestamps go back with it.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use uuid::timestamp::UUID_TICKS_BETWEEN_EPOCHS;

use crate::error::{Call, Cause, Error, Failure, Path};
use crate::sys;

pub(crate) mod gregorian;
pub(crate) mod order;

/// The program's own clock, for tests and for simulated time.
///
/// It may stand still, jump and go back. While it is at most 10 s behind the generator's last
/// timestamp, UUIDs continue from that timestamp. If it is further behind, the next UUID has
/// the clock's time and is less than those before. A clock that never moves is 10 s behind
/// after 655 million UUIDs.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, SystemTime, UNIX_EPOCH};
///
/// use fork_safe_uuid::{Generator, clock::Clock};
///
/// /// Always the same time.
/// struct Frozen(SystemTime);
///
/// impl Clock for Frozen {
///     fn now(&self) -> SystemTime {
///         self.0
///     }
/// }
///
/// let clock = Frozen(UNIX_EPOCH + Duration::from_secs(1));
/// let generator = Generator::new().with_clock(clock);
/// let (a, b) = (generator.now_v7(), generator.now_v7());
/// assert!(a < b);
/// assert!(a.to_string().starts_with("00000000-03e8-7"));
/// ```
pub trait Clock {
    /// Returns the current time.
    fn now(&self) -> SystemTime;
}

/// A point in time: seconds since 1970, rounded down, and nanoseconds.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    seconds: i64,
    nanos: u32,
}

/// The end of the ticks that have a timestamp: both kinds have 60 bits.
const TICKS_END: i64 = 1 << 60;

/// The seconds that the clock may be behind the last timestamp before timestamps go back with
/// it. A leap second is less, and the correction of a wrong clock is more. The `uuid7` crate
/// has the same bound.
const HELD: u64 = 10;

static STEPS: AtomicU64 = AtomicU64::new(0);

/// Returns how often timestamps of this process went back with a clock.
pub(crate) fn steps() -> u64 {
    STEPS.load(Relaxed)
}

#[cold]
fn count_step() {
    STEPS.fetch_add(1, Relaxed);
}

/// The ticks of a version, and the days between which it has timestamps.
struct Range {
    per_second: i64,
    /// The number of ticks before 1970.
    offset: i64,
    begin: &'static str,
    end: &'static str,
}

/// 60 bits: `unix_ts_ms`, and the millisecond in 4096 parts of 244 ns, which
/// fill `rand_a` (RFC 9562 section 6.2, method 3).
const V7: Range = Range {
    per_second: 4_096_000,
    offset: 0,
    begin: "1970-01-01",
    end: "10889-08-02",
};

/// 60 bits of 100 ns since the Gregorian calendar (RFC 9562 section 5.1).
const GREGORIAN: Range = Range {
    per_second: 10_000_000,
    offset: UUID_TICKS_BETWEEN_EPOCHS as i64,
    begin: "1582-10-15",
    end: "5236-03-31",
};

impl Reading {
    /// Reads the system's clock. [`SystemTime::now`] panics where the call is refused.
    #[inline]
    pub(crate) fn of_system() -> Result<Self, Error> {
        match sys::wall_clock() {
            Ok((seconds, nanos)) => Ok(Self { seconds, nanos }),
            Err(errno) => Err(unread(errno)),
        }
    }

    #[inline]
    fn ticks(self, range: &Range) -> Result<u64, Error> {
        // Exact for both: no tick reaches into the next second or, in version 7, into the next
        // millisecond.
        let part = u64::from(self.nanos) * range.per_second as u64 / 1_000_000_000;
        let ticks = self
            .seconds
            .checked_mul(range.per_second)
            .and_then(|ticks| ticks.checked_add(part as i64 + range.offset));
        match ticks {
            Some(ticks @ 0..TICKS_END) => Ok(ticks as u64),
            _ if self.seconds < 0 => Err(out_of_range(Cause::Before(range.begin))),
            _ => Err(range.past_the_end()),
        }
    }
}

impl Range {
    /// Returns [`HELD`] in ticks.
    const fn held(&self) -> u64 {
        HELD * self.per_second as u64
    }

    /// Returns the error for a timestamp after the last one. The clock itself may have gone
    /// back a little since.
    fn past_the_end(&self) -> Error {
        out_of_range(Cause::After(self.end))
    }
}

#[cold]
fn unread(errno: i32) -> Error {
    Error::clock(Failure {
        path: Path::None,
        call: Call::ClockGettime,
        cause: Cause::Os(errno),
    })
}

#[cold]
fn out_of_range(cause: Cause) -> Error {
    Error::clock(Failure {
        path: Path::None,
        call: Call::WallClock,
        cause,
    })
}

impl From<SystemTime> for Reading {
    fn from(time: SystemTime) -> Self {
        let (seconds, nanos) = sys::since_1970(time);
        Self { seconds, nanos }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Made without a `SystemTime`, which counts by 100 ns from 1601 on Windows.
    const fn at(seconds: i64, nanos: u32) -> Reading {
        Reading { seconds, nanos }
    }

    fn ticks(range: &Range, time: Reading) -> Result<u64, String> {
        time.ticks(range).map_err(|error| error.to_string())
    }

    fn error(text: &str) -> Result<u64, String> {
        Err(format!("no timestamp: wall clock: {text}; set the clock"))
    }

    #[test]
    fn a_tick_of_version_7_is_the_4096th_part_of_a_millisecond() {
        for (nanos, expected) in [
            (0, 0),
            (244, 0),
            (245, 1),
            (999_999, 4095),
            (1_000_000, 4096),
            (999_999_999, 4_095_999),
        ] {
            let expected = Ok(7 * 4_096_000 + expected);
            assert_eq!(ticks(&V7, at(7, nanos)), expected, "{nanos}");
        }
    }

    #[test]
    fn the_gregorian_count_is_that_of_the_rfc() {
        // Appendix A.1: 2022-02-22 14:22:22 at UTC-5.
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_645_557_742);
        let expected = Ok(0x1EC_9414_C232_AB00);
        assert_eq!(ticks(&GREGORIAN, time.into()), expected);
    }

    #[test]
    fn the_seconds_of_a_time_before_1970_are_rounded_down() {
        let time = SystemTime::UNIX_EPOCH - Duration::from_nanos(100);
        let Reading { seconds, nanos } = time.into();
        assert_eq!((seconds, nanos), (-1, 999_999_900));
    }

    #[test]
    fn a_time_that_has_no_timestamp_is_an_error() {
        for (range, first, before, last, after) in [
            (
                V7,
                at(0, 0),
                at(-1, 999_999_999),
                at(281_474_976_710, 655_999_999),
                at(281_474_976_710, 656_000_000),
            ),
            (
                GREGORIAN,
                at(-12_219_292_800, 0),
                at(-12_219_292_801, 999_999_999),
                at(103_072_857_660, 684_697_599),
                at(103_072_857_660, 684_697_600),
            ),
        ] {
            assert_eq!(ticks(&range, first), Ok(0));
            assert_eq!(ticks(&range, last), Ok((1 << 60) - 1));
            for time in [before, at(i64::MIN, 0)] {
                let text = format!("it is before {}", range.begin);
                assert_eq!(ticks(&range, time), error(&text));
            }
            for time in [after, at(i64::MAX, 0)] {
                let text = format!("it is, or was, after {}", range.end);
                assert_eq!(ticks(&range, time), error(&text));
            }
        }
    }
}
