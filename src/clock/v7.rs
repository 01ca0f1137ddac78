//! Version 7: `unix_ts_ms`, its fraction, a counter, and random bits
//! (RFC 9562 section 5.7).
//!
//! ```text
//!  48 bits     4     12 bits     2   4 bits    58 bits
//! unix_ts_ms | 7 |  fraction  | 10 | counter | random
//!             rand_a, by section 6.2, method 3;  rand_b
//! ```
//!
//! **Nothing here is secret, so nothing need be wiped.** A word of timestamp and counter
//! orders the UUIDs. A forked child continues from it. Its UUIDs differ from its parent's by
//! the 58 bits, which come from a pool that is empty in the child.

use core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
    compiler_fence,
};

use uuid::Uuid;

use super::{Reading, V7, count_step};
use crate::drbg::Block;
use crate::error::Error;

#[cfg(test)]
mod tests;

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

/// How often [`restart`] was called: so rarely that each processor keeps it in its cache.
static RESTARTS: AtomicU64 = AtomicU64::new(0);

/// Makes each [`Order`] of this process continue from the clock with its next word, if the
/// last one is ahead of it.
pub(crate) fn restart() {
    RESTARTS.fetch_add(1, Relaxed);
}

/// The order of one thread's or one generator's UUIDs: the last words, each of them the
/// 60 bits of a timestamp above those of the counter.
///
/// The calls of a handler that interrupts a call use a word of their own, and later calls
/// continue from the greater of the two. Only the owning thread and its handlers use an
/// order, so that compiler fences are enough. An exchange of one word takes 11 ns of 40 on
/// Zen 4.
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
        // [P6 busy-first] Before the words are read. Otherwise a handler that comes in between
        // stores its word in `last`, and this call overwrites it with a word that is less.
        self.busy.store(true, Relaxed);
        compiler_fence(SeqCst);
        // [P6 greater-word] If a handler interrupted an earlier call, its last word is in
        // `nested`, and may be greater than `last`.
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
        // [P6 busy-last] After `last` is stored. Otherwise a handler that comes in between
        // stores its word in `last`, and this call overwrites it with a word that is less.
        compiler_fence(SeqCst);
        self.busy.store(false, Relaxed);
        first
    }

    /// `next` if the clock was set back, or after [`restart`].
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
        // [P6 step-back] A handler may have read the clock after it was set back. Its word is
        // then within the limit, and the order continues from it.
        let first = after(up_to(limit, last).max(up_to(limit, nested)), now);
        let end = first.checked_add(count)?;
        // First `last`: handlers that come between the two stores, or after them, then
        // continue from it, and not each from the clock again.
        self.last.store(end - 1, Relaxed);
        compiler_fence(SeqCst);
        if nested > limit {
            // [P6 only-judged] Only the word that was judged above: later calls continue from that of a
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
            // [P6 handler-continues] From the interrupted call's last word, unless that is too
            // far ahead. The interrupted call may be about to replace `last`, and is the one
            // that counts the step: a handler leaves both to it.
            let last = up_to(held(now), self.last.load(Relaxed));
            let first = after(last.max(up_to(held(now), nested)), now);
            let end = first.checked_add(count)?;
            // [P6 handler-exchange] Another handler may have interrupted this one, and its word
            // is greater.
            match self
                .nested
                .compare_exchange(nested, end - 1, Relaxed, Relaxed)
            {
                Ok(_) => return Some(first),
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

#[inline]
fn held(now: u64) -> u64 {
    now.saturating_add(HELD)
}

/// Returns 0, which is no word, if the word is above the limit.
fn up_to(limit: u64, word: u64) -> u64 {
    if word > limit { 0 } else { word }
}

#[inline]
pub(crate) fn word(now: Reading, next: impl FnOnce(u64) -> Option<u64>) -> Result<u64, Error> {
    next(now.ticks(&V7)? << COUNTER_BITS).ok_or_else(|| V7.is_over())
}

/// Returns the UUID of a word, with the random bits of a UUID of version 4.
#[inline]
pub(crate) fn uuid(word: u64, random: Uuid) -> Uuid {
    assemble(word, random.as_u64_pair().1)
}

/// `low` has the variant's bits in their place.
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
