//! Version 7: `unix_ts_ms`, its fraction, a counter, and random bits
//! (RFC 9562 section 5.7).
//!
//! ```text
//!  48 bits     4     12 bits     2   4 bits    58 bits
//! unix_ts_ms | 7 |  fraction  | 10 | counter | random
//!             rand_a, by section 6.2, method 3;  rand_b
//! ```
//!
//! **Nothing here is secret, so nothing need be wiped.** A public word of timestamp and
//! counter, in ordinary memory, orders the UUIDs. A forked child inherits it and continues
//! from it. Its UUIDs differ from its parent's by the 58 bits, which come from a pool that
//! is empty in the child.

use core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
    compiler_fence,
};

use uuid::Uuid;

use super::{Reading, V7, count_step};
use crate::drbg::Block;
use crate::error::Error;

/// 16 UUIDs in a tick of 244 ns; a thread that makes more runs ahead of the clock by
/// 15 ns with each.
const COUNTER_BITS: u32 = 4;
const COUNTER: u64 = (1 << COUNTER_BITS) - 1;

const RANDOM_BITS: u32 = 62 - COUNTER_BITS;
const RANDOM: u64 = (1 << RANDOM_BITS) - 1;

/// How many UUIDs of one request share a word. Their random bits begin below half of
/// the range and grow by 2^32 at most, so that as many steps cannot pass its end.
const OF_A_WORD: usize = 1 << (RANDOM_BITS - 1 - 32);

/// How far ahead of the clock a word is held. The counter is no part of the time, so that
/// all words of the last tick that is held are held.
const HELD: u64 = V7.held() << COUNTER_BITS | COUNTER;

/// How often the orders of this process were told to begin anew. It changes so rarely
/// that each processor keeps it in its cache.
static RESTARTS: AtomicU64 = AtomicU64::new(0);

/// Makes each [`Order`] of this process continue from the clock with its next word, if the
/// last one is ahead of it.
pub(crate) fn restart() {
    RESTARTS.fetch_add(1, Relaxed);
}

/// The order of one thread's or one generator's UUIDs: the last words, each of them the
/// 60 bits of a timestamp above those of the counter.
///
/// A handler may interrupt a call at any instruction. Its calls then use a word of their
/// own, and later calls continue from the greater of the two. Only the owning thread and
/// its handlers use an order, so that compiler fences are enough, and Relaxed. An exchange
/// of one word takes 11 ns of 40 on Zen 4.
///
/// A word that is too far ahead of the clock counts as none. Each call judges
/// that for both words by its own time: a handler may have read the clock after
/// it was set back, and the call that it interrupts before.
pub(crate) struct Order {
    last: AtomicU64,
    /// The last word of a handler that interrupted a call.
    nested: AtomicU64,
    busy: AtomicBool,
    /// [`RESTARTS`] at the last word of a call that interrupts none.
    restarts: AtomicU64,
}

impl Order {
    pub(crate) const fn new() -> Self {
        Self {
            last: AtomicU64::new(0),
            nested: AtomicU64::new(0),
            busy: AtomicBool::new(false),
            restarts: AtomicU64::new(0),
        }
    }

    /// Returns the first word for `len` UUIDs: the clock's, if it is later than the last
    /// one, or more than [`HELD`] before it. Returns `None` if there are no more.
    #[inline]
    pub(crate) fn next(&self, now: u64, len: usize) -> Option<u64> {
        let count = len.div_ceil(OF_A_WORD) as u64;
        if self.busy.load(Relaxed) {
            return self.next_nested(now, count);
        }
        self.busy.store(true, Relaxed);
        compiler_fence(SeqCst);
        let nested = self.nested.load(Relaxed);
        let latest = self.last.load(Relaxed).max(nested);
        let restarts = RESTARTS.load(Relaxed);
        let first = if latest > held(now) || restarts != self.restarts.load(Relaxed) {
            self.begin_anew(now, count, nested, restarts)
        } else {
            let first = after(latest, now);
            first.checked_add(count).map(|end| {
                self.last.store(end - 1, Relaxed);
                first
            })
        };
        compiler_fence(SeqCst);
        self.busy.store(false, Relaxed);
        first
    }

    /// Returns what `next` does if the clock was set back, or after [`restart`].
    #[cold]
    fn begin_anew(&self, now: u64, count: u64, nested: u64, restarts: u64) -> Option<u64> {
        let last = self.last.load(Relaxed);
        if last.max(nested) > held(now) {
            count_step();
        }
        let limit = if restarts == self.restarts.load(Relaxed) {
            held(now)
        } else {
            now | COUNTER
        };
        let first = after(up_to(limit, last).max(up_to(limit, nested)), now);
        let end = first.checked_add(count)?;
        // First `last`: handlers that come between the two stores, or after them, then
        // continue from it, and not each from the clock again.
        self.last.store(end - 1, Relaxed);
        compiler_fence(SeqCst);
        if nested > limit {
            // Only the word that was judged above: later calls continue from that of a
            // handler that came since.
            let _ = self.nested.compare_exchange(nested, 0, Relaxed, Relaxed);
        }
        self.restarts.store(restarts, Relaxed);
        Some(first)
    }

    #[cold]
    fn next_nested(&self, now: u64, count: u64) -> Option<u64> {
        let mut nested = self.nested.load(Relaxed);
        loop {
            // The interrupted call may be about to replace `last`, and is the
            // one that counts the step: a handler leaves both to it.
            let last = up_to(held(now), self.last.load(Relaxed));
            let first = after(last.max(up_to(held(now), nested)), now);
            let end = first.checked_add(count)?;
            match self
                .nested
                .compare_exchange(nested, end - 1, Relaxed, Relaxed)
            {
                Ok(_) => return Some(first),
                // A handler interrupted this one.
                Err(other) => nested = other,
            }
        }
    }
}

/// Returns the word after `latest`, or the clock's if that is greater. It saturates: no
/// words follow the last of all, which is not used.
#[inline]
fn after(latest: u64, now: u64) -> u64 {
    now.max(latest.saturating_add(1))
}

/// Returns the last word that is held at a time.
#[inline]
fn held(now: u64) -> u64 {
    now.saturating_add(HELD)
}

/// Returns the word, or 0, which is none, if it is above the limit.
fn up_to(limit: u64, word: u64) -> u64 {
    if word > limit { 0 } else { word }
}

/// Returns the word that `next` of an [`Order`] returns at a time.
#[inline]
pub(crate) fn word(now: Reading, next: impl FnOnce(u64) -> Option<u64>) -> Result<u64, Error> {
    next(now.ticks(&V7)? << COUNTER_BITS).ok_or_else(|| V7.is_over())
}

/// Returns the UUID of a word, with the random bits of a UUID of version 4.
#[inline]
pub(crate) fn uuid(word: u64, random: Uuid) -> Uuid {
    assemble(word, random.as_u64_pair().1)
}

/// Puts the fields together. `low` has the variant's bits in their place.
#[inline]
fn assemble(word: u64, low: u64) -> Uuid {
    const FIELDS: u32 = 16;
    let ms = word >> FIELDS << FIELDS;
    let rand_a = word >> COUNTER_BITS & 0xfff;
    let counter = (word & COUNTER) << RANDOM_BITS;
    Uuid::from_u64_pair(
        ms | 7 << 12 | rand_a,
        low & !(COUNTER << RANDOM_BITS) | counter,
    )
}

/// Turns `blocks`, UUIDs of version 4, into UUIDs of version 7 in order.
///
/// All UUIDs of a word have its timestamp. The random bits of the first one are fresh
/// except for the topmost, and grow by 1 to 2^32 with each further one (section 6.2,
/// method 2).
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
    use super::*;

    const fn at(nanos: u32) -> Reading {
        after(0, nanos)
    }

    const fn after(seconds: i64, nanos: u32) -> Reading {
        Reading { seconds, nanos }
    }

    const YEAR: i64 = 365 * 86_400;

    fn next(order: &Order, now: Reading) -> Option<u64> {
        word(now, |now| order.next(now, 1)).ok()
    }

    /// The word that a new order begins with.
    fn anew(now: Reading) -> u64 {
        next(&Order::new(), now).expect("in range")
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
        let first = next(&order, at(1_000_000)).expect("in range");
        assert_eq!(first, 4096 << COUNTER_BITS);
        for (nanos, expected) in [
            (1_000_000, 1),
            (999, 2),
            (0, 3),
            (1_000_244, 4),
            (1_000_245, 16),
        ] {
            assert_eq!(next(&order, at(nanos)).expect("in range"), first + expected);
        }
    }

    #[test]
    fn ten_seconds_back_are_held_and_a_tick_more_is_followed() {
        let (later, exactly, more) = (
            after(YEAR, 245),
            after(YEAR - 10, 245),
            after(YEAR - 10, 244),
        );
        // The last word is the first of its tick, or the last.
        for words in [1, 16] {
            let order = Order::new();
            for _ in 0..words {
                next(&order, later);
            }
            assert_eq!(next(&order, exactly), Some(anew(later) + words));
        }
        for words in [1, 16] {
            let order = Order::new();
            for _ in 0..words {
                next(&order, later);
            }
            let steps = crate::clock::steps();
            assert_eq!(next(&order, more), Some(anew(more)));
            assert!(crate::clock::steps() > steps);
            assert_eq!(next(&order, more), Some(anew(more) + 1));
            assert_eq!(next(&order, later), Some(anew(later)));
        }
    }

    #[test]
    fn a_clock_that_jumps_to_and_fro_is_followed_each_time() {
        let order = Order::new();
        for year in [9, 1, 8, 2, 7, 0, 8900, 0, 8900] {
            let now = after(year * YEAR + 1, 0);
            for more in 0..3 {
                assert_eq!(next(&order, now), Some(anew(now) + more));
            }
        }
    }

    #[test]
    fn after_restart_an_order_begins_at_the_clock_once() {
        let (later, now) = (after(YEAR, 0), after(YEAR - 9, 0));
        let order = Order::new();
        next(&order, later);
        assert_eq!(next(&order, now), Some(anew(later) + 1), "held");
        order.nested.store(anew(later) + 7, Relaxed);
        // What `restart` would do to all tests that run now.
        order.restarts.store(u64::MAX, Relaxed);
        for more in 0..3 {
            assert_eq!(next(&order, now), Some(anew(now) + more));
        }
        // What is not ahead of the clock stays in order.
        order.restarts.store(u64::MAX, Relaxed);
        assert_eq!(next(&order, now), Some(anew(now) + 3));
    }

    /// What a handler finds, as the interrupted call comes to drop both words:
    /// before the first store, where there was no nested word and where there
    /// was one; and after it.
    #[test]
    fn handlers_inside_a_step_back_are_in_order_and_the_next_call_goes_on_from_them() {
        let (later, now) = (after(YEAR, 0), after(YEAR - 11, 0));
        for (last, nested, first) in [
            (anew(later), 0, anew(now)),
            (anew(later), anew(later) + 5, anew(now)),
            (anew(now), anew(later) + 5, anew(now) + 1),
        ] {
            let order = Order::new();
            order.last.store(last, Relaxed);
            order.nested.store(nested, Relaxed);
            order.busy.store(true, Relaxed);
            for more in 0..3 {
                assert_eq!(next(&order, now), Some(first + more));
            }
            // The interrupted call had read the clock before it was set.
            order.last.store(anew(later) + 1, Relaxed);
            order.busy.store(false, Relaxed);
            assert_eq!(next(&order, now), Some(first + 3));
            assert_eq!(next(&order, now), Some(first + 4));
        }
    }

    #[test]
    fn a_step_back_drops_the_nested_word_that_it_saw_and_no_later_one() {
        let (later, now, near) = (after(YEAR, 0), after(YEAR - 11, 0), after(YEAR - 5, 0));
        let order = Order::new();
        order.nested.store(anew(later), Relaxed);
        assert_eq!(next(&order, now), Some(anew(now)));
        assert_eq!(next(&order, near), Some(anew(near)));

        // A handler comes after the call has asked for `nested`.
        let order = Order::new();
        order.nested.store(anew(now) + 5, Relaxed);
        let seen = anew(later);
        let first = word(now, |now| order.begin_anew(now, 1, seen, 0));
        assert_eq!(first.ok(), Some(anew(now)));
        assert_eq!(next(&order, now), Some(anew(now) + 6));
    }

    #[test]
    fn after_the_last_word_there_is_none_while_the_clock_is_near_it() {
        let order = Order::new();
        // 2^48 ms but for 1 ns.
        let end = after(281_474_976_710, 655_999_999);
        let first = next(&order, end).expect("in range");
        assert_eq!(first, u64::MAX - 15);
        for more in 1..15 {
            assert_eq!(next(&order, end).expect("in range"), first + more);
        }
        assert!(next(&order, end).is_none());
        assert!(next(&order, after(281_474_976_701, 0)).is_none());
        assert_eq!(next(&order, at(0)), Some(1));
        assert_eq!(next(&order, end), Some(first));
    }

    #[test]
    fn a_handler_that_interrupts_a_call_moves_the_next_one_on() {
        let order = Order::new();
        let first = next(&order, at(0)).expect("in range");
        // As a call leaves it in the middle.
        order.busy.store(true, Relaxed);
        let nested: Vec<_> = (0..3)
            .map(|_| next(&order, at(0)).expect("in range"))
            .collect();
        assert_eq!(nested, [first + 1, first + 2, first + 3]);
        // The interrupted call had chosen before the handler came.
        order.last.store(first + 1, Relaxed);
        order.busy.store(false, Relaxed);
        assert_eq!(next(&order, at(0)).expect("in range"), first + 4);
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
