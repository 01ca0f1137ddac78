//! Version 7: `unix_ts_ms`, its fraction, a counter, and random bits
//! (RFC 9562 section 5.7).
//!
//! ```text
//!  48 bits     4     12 bits     2   4 bits    58 bits
//! unix_ts_ms | 7 |  fraction  | 10 | counter | random
//!             rand_a, by section 6.2, method 3;  rand_b
//! ```
//!
//! **Nothing here is secret, so nothing need be wiped.** What orders the UUIDs
//! is one public word of timestamp and counter, in ordinary memory. A forked
//! child inherits it and goes on from it; what makes its UUIDs others than its
//! parent's are the 58 bits, from a pool that the child finds empty.
//!
//! **Why the word comes first and the random bits last.** Taking them from the
//! pool commits: a fork before it gives parent and child other bits with the
//! same word. What is left after it is to put the two together.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use uuid::Uuid;

use super::{Reading, V7};
use crate::drbg::Block;
use crate::error::Error;

/// 16 UUIDs in a tick of 244 ns; whoever makes more runs ahead of the clock by
/// 15 ns with each.
const COUNTER_BITS: u32 = 4;

const RANDOM_BITS: u32 = 62 - COUNTER_BITS;
const RANDOM: u64 = (1 << RANDOM_BITS) - 1;

/// UUIDs of one request that share a word. Within it the random bits begin
/// below half of their range and grow by 2^32 at most, so that so many steps
/// cannot pass its end.
const OF_A_WORD: usize = 1 << (RANDOM_BITS - 1 - 32);

/// What orders the UUIDs of one thread or one generator: the last word, the 60
/// bits of the timestamp above those of the counter.
///
/// Relaxed: only the owning thread and its handlers come here. Exchanged, not
/// stored: a handler may have gone further since the word was read.
pub(crate) struct Order(AtomicU64);

impl Order {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Returns the next word: the time of now, if that is later than the last.
    #[inline]
    pub(crate) fn next(&self, now: Reading) -> Result<u64, Error> {
        self.next_of(now, 1)
    }

    /// Returns the first of so many words in a row.
    #[inline]
    fn next_of(&self, now: Reading, count: u64) -> Result<u64, Error> {
        let now = now.ticks(&V7)? << COUNTER_BITS;
        let mut last = self.0.load(Relaxed);
        loop {
            // Saturated, the sum below fails: the last word of all is not used.
            let first = now.max(last.saturating_add(1));
            let Some(next) = first.checked_add(count) else {
                return Err(V7.is_over());
            };
            match self
                .0
                .compare_exchange_weak(last, next - 1, Relaxed, Relaxed)
            {
                Ok(_) => return Ok(first),
                Err(other) => last = other,
            }
        }
    }

    /// Returns the first word of a request for `len` UUIDs; see [`shape`].
    pub(crate) fn next_of_many(&self, now: Reading, len: usize) -> Result<u64, Error> {
        self.next_of(now, len.div_ceil(OF_A_WORD) as u64)
    }
}

/// The UUID of a word, by the random bits of a UUID of version 4.
#[inline]
pub(crate) fn uuid(word: u64, random: Uuid) -> Uuid {
    assemble(word, random.as_u64_pair().1)
}

/// `low` has the variant's bits where they belong.
#[inline]
fn assemble(word: u64, low: u64) -> Uuid {
    const FIELDS: u32 = 16;
    const COUNTER: u64 = (1 << COUNTER_BITS) - 1;
    let ms = word >> FIELDS << FIELDS;
    let rand_a = word >> COUNTER_BITS & 0xfff;
    let counter = (word & COUNTER) << RANDOM_BITS;
    Uuid::from_u64_pair(
        ms | 7 << 12 | rand_a,
        low & !(COUNTER << RANDOM_BITS) | counter,
    )
}

/// Makes of `blocks`, UUIDs of version 4, a request of version 7 in order.
///
/// All of a word's UUIDs have its timestamp, however long the request: the
/// random bits of the first are fresh but for the topmost, and each further one
/// grows by 1 to 2^32 (section 6.2, method 2).
pub(crate) fn shape(blocks: &mut [Block], first: u64) {
    shape_by(blocks, first, OF_A_WORD);
}

fn shape_by(blocks: &mut [Block], first: u64, of_a_word: usize) {
    for (blocks, word) in blocks.chunks_mut(of_a_word).zip(first..) {
        let mut random = None;
        for block in blocks {
            let (_, low) = Uuid::from_bytes(*block).as_u64_pair();
            let grown = match random {
                None => low & RANDOM >> 1,
                Some(random) => random + 1 + (low & 0xffff_ffff),
            };
            random = Some(grown);
            *block = assemble(word, low & !RANDOM | grown).into_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn at(nanos: u64) -> Reading {
        (UNIX_EPOCH + Duration::from_nanos(nanos)).into()
    }

    #[test]
    fn the_fields_are_where_the_rfc_has_them() {
        // Appendix A.6: its rand_a, and its rand_b with the counter's bits on top.
        let word = 0x017F_22E2_79B0 << 16 | 0xCC3 << COUNTER_BITS | 0b0110;
        let id = uuid(
            word,
            Uuid::from_u128(0xffff_ffff_ffff_4fff_bcc4_dc0c_0c07_398f),
        );
        assert_eq!(id.to_string(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_gives_the_last_word_plus_one() {
        let order = Order::new();
        let first = order.next(at(1_000_000)).expect("in range");
        assert_eq!(first, 4096 << COUNTER_BITS);
        for (nanos, expected) in [
            (1_000_000, 1),
            (999, 2),
            (0, 3),
            (1_000_244, 4),
            (1_000_245, 16),
        ] {
            assert_eq!(order.next(at(nanos)).expect("in range"), first + expected);
        }
    }

    #[test]
    fn after_the_last_word_there_is_none_whatever_the_clock_shows() {
        let order = Order::new();
        let end =
            Reading::from(UNIX_EPOCH + Duration::from_millis(1 << 48) - Duration::from_nanos(1));
        let first = order.next(end).expect("in range");
        assert_eq!(first, u64::MAX - 15);
        for more in 1..15 {
            assert_eq!(order.next(end).expect("in range"), first + more);
        }
        assert!(order.next(end).is_err());
        assert!(order.next(at(0)).is_err());
    }

    #[test]
    fn a_request_grows_across_its_words_whatever_the_random_bits() {
        for byte in [0x00, 0xff] {
            let mut random = [byte; 16];
            random[6] = 0x4f & byte | 0x40;
            random[8] = 0xbf & byte | 0x80;
            let mut blocks = vec![random; 100];
            shape_by(&mut blocks, 0x1234_567f, 7);
            assert!(blocks.is_sorted_by(|a, b| a < b));
            for block in blocks {
                let id = Uuid::from_bytes(block);
                assert_eq!((id.get_version_num(), block[8] >> 6), (7, 0b10));
            }
        }
    }

    #[test]
    fn a_word_holds_its_share_of_a_request() {
        let steps = OF_A_WORD as u64 - 1;
        assert!((RANDOM >> 1) + (steps << 32) <= RANDOM);
    }
}
