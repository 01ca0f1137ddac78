//! The parts of versions 6 and 1: a count of 100 ns, a clock sequence and a node
//! (RFC 9562 sections 5.1 and 5.6).
//!
//! **Each clock sequence has its own count, which only grows.** A count is taken by one atomic
//! exchange, so this process returns no count and clock sequence twice. A forked child
//! inherits the counts. They take 128 KiB, of which usually one page is used.
//!
//! **If the clock was set back, the process steps to another clock sequence**
//! (section 6.1), one whose count is not ahead of the clock. The count of a clock sequence is
//! never lowered: a thread that still has the former clock sequence continues its
//! count, or starts over.
//!
//! **Each process has its own clock sequence and random node**, which are drawn at their first
//! use and wiped at fork. Without wiped memory, each UUID has its own clock sequence, and one
//! count goes back with the clock.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{GREGORIAN, Reading, count_step};
use crate::error::Error;
use crate::sys;
use crate::wipe::WipedCell;

#[cfg(test)]
mod tests;

/// The bit of a word that says that it was drawn; the other bits are random. 14 of them are
/// the clock sequence, and all are compared.
const IS_DRAWN: u64 = 1 << 63;

const SEQUENCES: u64 = 1 << 14;

/// What each process draws for itself, as an index of its words.
#[derive(Clone, Copy)]
enum Drawn {
    ClockSequence,
    Node,
}

/// The counts, the clock sequence and the node of a process.
///
/// All words are Relaxed, because none of them guards another.
pub(crate) struct Gregorian {
    /// The last count that was taken with each clock sequence.
    lasts: [AtomicU64; SEQUENCES as usize],
    /// The last count of all, for a process that cannot keep a clock sequence.
    unkept: AtomicU64,
    /// The number of claims so far. It is not wiped, so that no claim of a child equals one of
    /// its parent's.
    claims: AtomicU64,
    /// Each is 0, a claim, or what was drawn.
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

    /// Returns a count and a clock sequence that no other call in this process gets, if there is
    /// wiped memory. `draw` returns random bits.
    #[inline]
    pub(crate) fn next(
        &self,
        now: impl Fn() -> Result<Reading, Error>,
        draw: impl Fn() -> Result<u64, Error>,
    ) -> Result<(u64, u16), Error> {
        loop {
            let sequence = self.drawing(Drawn::ClockSequence, &draw)?;
            let Some(count) = self.count(sequence, now()?)? else {
                continue;
            };
            // [P2 sequence-after-count] If a handler forked in between, both processes have the
            // same count with the same clock sequence. The child's word is wiped.
            if self.is_still(Drawn::ClockSequence, sequence) {
                return Ok((count, (sequence % SEQUENCES) as u16));
            }
        }
    }

    /// Returns this process's random node, with the bit that no network card has
    /// (RFC 9562 section 6.10).
    #[inline]
    pub(crate) fn node(&self, draw: impl Fn() -> Result<u64, Error>) -> Result<[u8; 6], Error> {
        let [_, _, mut node @ ..] = self.drawing(Drawn::Node, &draw)?.to_be_bytes();
        node[0] |= 1;
        Ok(node)
    }

    /// Maps the memory of the clock sequence and the node.
    pub(crate) fn prepare(&self) {
        self.drawings.get_or_map();
    }

    /// Discards the clock sequence and the node. The next call draws others. A clock sequence
    /// that was used before continues its count.
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

    /// Returns the next count of the clock sequence, or `None` if the caller must start over
    /// with another one.
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
                return Err(GREGORIAN.past_the_end());
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
    /// `false` if there is none: after 16,383 steps back from times that are all still ahead.
    /// Then the count does not go back.
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
                words[Drawn::ClockSequence as usize]
                    .compare_exchange(sequence, next, Relaxed, Relaxed)
            }
            // Each call already has its own clock sequence.
            None => self.unkept.compare_exchange(last, now, Relaxed, Relaxed),
        };
        // If the exchange fails, another call came first, or a fork wiped the word.
        if changed.is_ok() {
            count_step();
        }
        true
    }

    /// Returns whether the word is still `drawing`, or no word can be kept.
    #[inline]
    fn is_still(&self, which: Drawn, drawing: u64) -> bool {
        match self.drawings.get() {
            Some(words) => words[which as usize].load(Relaxed) == drawing,
            None => true,
        }
    }

    #[inline]
    fn drawing(&self, which: Drawn, draw: &impl Fn() -> Result<u64, Error>) -> Result<u64, Error> {
        if let Some(words) = self.drawings.get() {
            let drawing = words[which as usize].load(Relaxed);
            if drawing & IS_DRAWN != 0 {
                return Ok(drawing);
            }
        }
        self.draw_and_keep(which, draw)
    }

    #[cold]
    fn draw_and_keep(
        &self,
        which: Drawn,
        draw: &impl Fn() -> Result<u64, Error>,
    ) -> Result<u64, Error> {
        let Some(words) = sys::keeping_errno(|| self.drawings.get_or_map()) else {
            // No word can be kept, so each call draws its own.
            return Ok(draw()? | IS_DRAWN);
        };
        let word = &words[which as usize];
        loop {
            let mut claim = word.load(Relaxed);
            if claim & IS_DRAWN != 0 {
                return Ok(claim);
            }
            // [P2 claim-drawing] If a handler forked after the draw and before the store, both
            // processes would store the same word. In the child, the claim is wiped, and no
            // later claim equals it.
            if claim == 0 {
                claim = self.claims.fetch_add(1, Relaxed) + 1;
                if word.compare_exchange(0, claim, Relaxed, Relaxed).is_err() {
                    continue;
                }
            }
            // Another call's claim is as good, because it was there before this draw.
            let drawing = draw()? | IS_DRAWN;
            if word
                .compare_exchange(claim, drawing, Relaxed, Relaxed)
                .is_ok()
            {
                return Ok(drawing);
            }
        }
    }
}

/// Returns whether the clock is so far behind a count that the process steps back.
#[inline]
fn is_ahead(count: u64, now: u64) -> bool {
    count > now + GREGORIAN.held()
}
