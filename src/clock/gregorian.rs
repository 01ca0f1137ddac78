//! Versions 6 and 1: a count of 100 ns, a clock sequence and a node
//! (RFC 9562 sections 5.1 and 5.6).
//!
//! **Each clock sequence has its own count, which only grows.** One exchange of one word
//! decides, so that this process returns no count and clock sequence twice. A forked child
//! may inherit the counts. They take 128 KiB, of which usually one page is used.
//!
//! **A clock that was set back is followed by a step to another clock sequence**
//! (section 6.1), one whose count is not ahead of the clock. No count is ever
//! lowered: a thread that still has the former clock sequence continues its
//! count, or starts over.
//!
//! **Each process has its own clock sequence and random node**, drawn at their first use and
//! wiped at fork.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use uuid::Uuid;

use super::{GREGORIAN, Reading, count_step};
use crate::error::Error;
use crate::sys;
use crate::wipe::WipedCell;

#[cfg(test)]
mod tests;

/// The bit of a word that says that it was drawn; the other bits are random. All of a
/// clock sequence's bits are compared, and 14 are used.
const DRAWN: u64 = 1 << 63;

const SEQUENCES: u64 = 1 << 14;

const CLOCK_SEQUENCE: usize = 0;
const NODE: usize = 1;

/// All words here are Relaxed: none of them guards another, and each is taken
/// by an exchange.
pub(crate) struct Gregorian {
    /// The last count that was taken with each clock sequence.
    lasts: [AtomicU64; SEQUENCES as usize],
    /// The last count of all, where no clock sequence can be kept.
    unkept: AtomicU64,
    /// Drawings so far. It is not wiped, so that a child has no claim of its parent's.
    claims: AtomicU64,
    /// 0, a claim, or a drawing.
    drawings: WipedCell<[AtomicU64; 2]>,
}

pub(crate) static PROCESS: Gregorian = Gregorian::new();

impl Gregorian {
    const fn new() -> Self {
        Self {
            lasts: [const { AtomicU64::new(0) }; SEQUENCES as usize],
            unkept: AtomicU64::new(0),
            claims: AtomicU64::new(0),
            drawings: WipedCell::new(),
        }
    }

    /// Returns a count and a clock sequence that no other call in this process
    /// gets, by random bits of `draw`.
    #[inline]
    pub(crate) fn next(
        &self,
        now: impl Fn() -> Result<Reading, Error>,
        draw: impl Fn() -> Result<u64, Error>,
    ) -> Result<(u64, u16), Error> {
        loop {
            let sequence = self.drawing(CLOCK_SEQUENCE, &draw)?;
            let Some(count) = self.count(sequence, now()?)? else {
                continue;
            };
            // [P2 sequence-after-count] A handler that forks in between would leave the same
            // count with the same clock sequence in both processes.
            if self.is_still(CLOCK_SEQUENCE, sequence) {
                return Ok((count, (sequence % SEQUENCES) as u16));
            }
        }
    }

    /// Returns this copy's random node, with the bit that no network card has
    /// (RFC 9562 section 6.10).
    #[inline]
    pub(crate) fn node(&self, draw: impl Fn() -> Result<u64, Error>) -> Result<[u8; 6], Error> {
        let [_, _, mut node @ ..] = self.drawing(NODE, &draw)?.to_be_bytes();
        node[0] |= 1;
        Ok(node)
    }

    /// Discards the clock sequence and the node. The next ones are drawn anew, and a clock
    /// sequence that was used before continues its count.
    pub(crate) fn forget(&self) {
        // [P5 forget-sequence] Two clones of a machine have the same clock sequence and node.
        for word in self.drawings.get().into_iter().flatten() {
            word.store(0, Relaxed);
        }
    }

    pub(crate) fn mark_again(&self) {
        // [P2 mark-sequence] A restored process has lost the mark, and its child would have
        // its clock sequence and node.
        self.drawings.mark_again();
    }

    /// Returns the next count, or `None` if the caller must start over with another clock
    /// sequence.
    #[inline]
    fn count(&self, sequence: u64, now: Reading) -> Result<Option<u64>, Error> {
        let now = now.ticks(&GREGORIAN)?;
        let word = match self.drawings.get() {
            Some(_) => self.last_of(sequence),
            None => &self.unkept,
        };
        let mut last = word.load(Relaxed);
        if is_ahead(last, now) && self.step_back(sequence, last, now) {
            return Ok(None);
        }
        loop {
            let next = now.max(last + 1);
            if next >= super::TICKS_END as u64 {
                return Err(GREGORIAN.is_over());
            }
            // [P6 count-exchange] Another thread, or a handler, may have taken this count.
            match word.compare_exchange_weak(last, next, Relaxed, Relaxed) {
                Ok(_) => return Ok(Some(next)),
                Err(other) => last = other,
            }
        }
    }

    #[inline]
    fn last_of(&self, sequence: u64) -> &AtomicU64 {
        &self.lasts[(sequence % SEQUENCES) as usize]
    }

    /// Changes the clock sequence to the next one whose count is not ahead, or returns
    /// `false` if there is none. That takes 16,384 steps back from a time that is still
    /// ahead; the last count is then held.
    #[cold]
    fn step_back(&self, sequence: u64, last: u64, now: u64) -> bool {
        let changed = match self.drawings.get() {
            Some(words) => {
                let own = sequence % SEQUENCES;
                let next = (1..SEQUENCES)
                    .map(|step| sequence - own + (own + step) % SEQUENCES)
                    .find(|next| !is_ahead(self.last_of(*next).load(Relaxed), now));
                let Some(next) = next else { return false };
                // [P2 sequence-exchange] If a handler forks before this, the word is wiped in the
                // child, which then draws its own clock sequence.
                words[CLOCK_SEQUENCE].compare_exchange(sequence, next, Relaxed, Relaxed)
            }
            // Each call has its own clock sequence already.
            None => self.unkept.compare_exchange(last, now, Relaxed, Relaxed),
        };
        // Otherwise another call came first, or a fork wiped the word.
        if changed.is_ok() {
            count_step();
        }
        true
    }

    /// Returns whether the word has not been wiped, where it can be.
    #[inline]
    fn is_still(&self, word: usize, drawing: u64) -> bool {
        match self.drawings.get() {
            Some(words) => words[word].load(Relaxed) == drawing,
            None => true,
        }
    }

    #[inline]
    fn drawing(&self, word: usize, draw: &impl Fn() -> Result<u64, Error>) -> Result<u64, Error> {
        if let Some(words) = self.drawings.get() {
            let drawing = words[word].load(Relaxed);
            if drawing & DRAWN != 0 {
                return Ok(drawing);
            }
        }
        self.drawing_anew(word, draw)
    }

    #[cold]
    fn drawing_anew(
        &self,
        word: usize,
        draw: &impl Fn() -> Result<u64, Error>,
    ) -> Result<u64, Error> {
        let Some(words) = sys::keeping_errno(|| self.drawings.get_or_map()) else {
            // Nothing can be kept: each call draws its own.
            return Ok(draw()? | DRAWN);
        };
        let word = &words[word];
        loop {
            let mut claim = word.load(Relaxed);
            if claim & DRAWN != 0 {
                return Ok(claim);
            }
            // [P2 claim-drawing] A handler that forks between the drawing and its storing
            // would make both processes store the same. In the child the claim is wiped, and
            // no later claim equals it.
            if claim == 0 {
                claim = self.claims.fetch_add(1, Relaxed) + 1;
                if word.compare_exchange(0, claim, Relaxed, Relaxed).is_err() {
                    continue;
                }
            }
            // Another call's claim is as good: it was there before the drawing.
            let drawing = draw()? | DRAWN;
            if word
                .compare_exchange(claim, drawing, Relaxed, Relaxed)
                .is_ok()
            {
                return Ok(drawing);
            }
        }
    }
}

/// Returns whether the clock is so far behind a count that it is followed.
#[inline]
fn is_ahead(count: u64, now: u64) -> bool {
    count > now + GREGORIAN.held()
}

#[inline]
pub(crate) fn v1((count, sequence): (u64, u16), node: &[u8; 6]) -> Uuid {
    let time = count << 32 | (count >> 16 & 0xffff_0000) | 1 << 12 | count >> 48;
    assemble(time, sequence, node)
}

#[inline]
pub(crate) fn v6((count, sequence): (u64, u16), node: &[u8; 6]) -> Uuid {
    let time = count >> 12 << 16 | 6 << 12 | count & 0xfff;
    assemble(time, sequence, node)
}

/// The count has 60 bits and the clock sequence 14. `uuid`'s builder makes the same by a
/// call, which takes longer.
#[inline]
fn assemble(time: u64, sequence: u16, node: &[u8; 6]) -> Uuid {
    let [a, b, c, d, e, f] = *node;
    let node = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    Uuid::from_u64_pair(time, 1 << 63 | u64::from(sequence) << 48 | node)
}
