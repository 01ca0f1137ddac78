//! The order of version 7: the words of one thread's or one generator's UUIDs increase
//! (`format::v7` says what a word is).
//!
//! **Nothing here is secret, so nothing need be wiped.** A forked child continues from its
//! parent's word. Its UUIDs differ from its parent's by the 58 random bits, which come from a
//! pool that is empty in the child.

use core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
    compiler_fence,
};

use super::{Reading, V7, count_step};
use crate::error::Error;
use crate::format::v7::{COUNTER, COUNTER_BITS, UUIDS_PER_WORD};

#[cfg(test)]
mod tests;

/// How far a word may be ahead of the clock. The counter is no part of the time, so this
/// includes all words of the last tick.
const HELD: u64 = V7.held() << COUNTER_BITS | COUNTER;

/// How often [`restart`] was called. It changes so rarely that each processor keeps it in its
/// cache.
static RESTARTS: AtomicU64 = AtomicU64::new(0);

/// Makes each [`Order`] of this process start again at the clock, if its last word is ahead of
/// the clock.
pub(crate) fn restart() {
    RESTARTS.fetch_add(1, Relaxed);
}

/// The last words of one thread or one generator. A word has the 60 bits of a timestamp, and
/// below them those of the counter.
///
/// If a handler interrupts a call, the handler's calls use `nested`, and later calls continue
/// from the greater of the two words. Only the owning thread and its handlers use an order, so
/// compiler fences are enough; an atomic exchange of one word would take 11 ns of 40 on Zen 4.
///
/// A word that is too far ahead of the clock is ignored. Each call judges both words by its
/// own time: the clock may be set back after the interrupted call has read it and before the
/// handler reads it.
pub(crate) struct Order {
    last: AtomicU64,
    /// The last word of a handler that interrupted a call.
    nested: AtomicU64,
    busy: AtomicBool,
    /// The value of [`RESTARTS`] at the last word of a call that interrupted no other.
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

    /// Returns the first of `count` words, or `None` if there are no more words. It is the
    /// clock's word if that is later than the last one, or earlier by more than [`HELD`].
    ///
    /// It is not inlined, because `LocalKey::with` then is, which saves 2 ns of 40 on Zen 3.
    #[inline(never)]
    pub(crate) fn next(&self, now: u64, count: u64) -> Option<u64> {
        if self.busy.load(Relaxed) {
            return self.next_nested(now, count);
        }
        // [P6 busy-first] The order is claimed before the words are read. Otherwise a handler
        // that comes in between stores its word in `last`, and this call overwrites it with a
        // word that is less.
        self.busy.store(true, Relaxed);
        compiler_fence(SeqCst);
        // [P6 greater-word] If a handler interrupted an earlier call, its last word is in
        // `nested`, and may be greater than `last`.
        let nested = self.nested.load(Relaxed);
        let latest = self.last.load(Relaxed).max(nested);
        let restarts = RESTARTS.load(Relaxed);
        let first = if latest > held(now) || restarts != self.restarts.load(Relaxed) {
            self.start_over(now, count, nested, restarts)
        } else {
            let first = after(latest, now);
            first.checked_add(count).map(|end| {
                self.last.store(end - 1, Relaxed);
                first
            })
        };
        // [P6 busy-last] The claim ends after `last` is stored. Otherwise a handler that comes in
        // between stores its word in `last`, and this call overwrites it with a word that is
        // less.
        compiler_fence(SeqCst);
        self.busy.store(false, Relaxed);
        first
    }

    /// Does the work of [`Order::next`] if the clock was set back, or after [`restart`].
    #[cold]
    #[inline(never)]
    fn start_over(&self, now: u64, count: u64, nested: u64, restarts: u64) -> Option<u64> {
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
        // `last` first, so that a handler which comes between the two stores gets another word.
        self.last.store(end - 1, Relaxed);
        compiler_fence(SeqCst);
        if nested > limit {
            // [P6 only-judged] Exchanged, so that only the word that was judged above is
            // dropped. If a handler has stored another one since, later calls continue from that.
            let _ = self.nested.compare_exchange(nested, 0, Relaxed, Relaxed);
        }
        self.restarts.store(restarts, Relaxed);
        Some(first)
    }

    #[cold]
    #[inline(never)]
    fn next_nested(&self, now: u64, count: u64) -> Option<u64> {
        let mut nested = self.nested.load(Relaxed);
        loop {
            // [P6 handler-continues] A handler continues from the last word before the interrupted
            // call, unless that is too far ahead. It leaves `last` and the count of steps to the
            // interrupted call, which may be about to change them.
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

/// Returns the word after `latest`, or the clock's if that is greater. The greatest word of
/// all is never used, so the sum may saturate.
#[inline]
fn after(latest: u64, now: u64) -> u64 {
    now.max(latest.saturating_add(1))
}

#[inline]
fn held(now: u64) -> u64 {
    now.saturating_add(HELD)
}

/// Returns the word, or 0, which is no word, if it is above the limit.
fn up_to(limit: u64, word: u64) -> u64 {
    if word > limit { 0 } else { word }
}

/// Returns how many words `len` UUIDs need.
#[inline]
pub(crate) fn words_for(len: usize) -> u64 {
    len.div_ceil(UUIDS_PER_WORD) as u64
}

#[inline]
pub(crate) fn word(now: Reading, next: impl FnOnce(u64) -> Option<u64>) -> Result<u64, Error> {
    next(now.ticks(&V7)? << COUNTER_BITS).ok_or_else(|| V7.past_the_end())
}
