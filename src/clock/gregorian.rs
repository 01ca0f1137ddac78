//! Versions 6 and 1: a count of 100 ns, a clock sequence and a node
//! (RFC 9562 sections 5.1 and 5.6).
//!
//! **The count is the process's**: no two threads get the same, nor any thread
//! one twice. It is in ordinary memory: that a forked child inherits it is
//! harmless.
//!
//! **The clock sequence and the random node are the copy's**: they are drawn at
//! their first use and live in memory that is wiped at fork, and `reseed`
//! clears them.
//!
//! **Why the clock sequence is asked again after the count was taken.** A
//! handler that forks in between would leave the same count with the same clock
//! sequence in both processes. In the child the word is no longer what it was,
//! and the call starts over.
//!
//! **Why a drawing claims the word first.** A handler that forks between the
//! drawing and its storing would have both processes store the same. In the
//! child the claim is wiped, and no later one is like it.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use uuid::Uuid;

use super::{GREGORIAN, Reading};
use crate::error::Error;
use crate::sys;
use crate::wipe::WipedCell;

/// What is drawn, in a word of 64 bits: this one is set, the others are random.
/// Of the clock sequence all are compared and 14 used.
const DRAWN: u64 = 1 << 63;

const CLOCK_SEQUENCE: usize = 0;
const NODE: usize = 1;

/// All words here are Relaxed: none of them guards another, and each is taken
/// by an exchange.
pub(crate) struct Gregorian {
    /// The last count that was taken.
    last: AtomicU64,
    /// Drawings so far. Not wiped, so that a child's are none of its parent's.
    claims: AtomicU64,
    /// 0, a claim, or a drawing.
    drawings: WipedCell<[AtomicU64; 2]>,
}

/// The process's.
pub(crate) static PROCESS: Gregorian = Gregorian::new();

impl Gregorian {
    const fn new() -> Self {
        Self {
            last: AtomicU64::new(0),
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
            let count = self.count(now()?)?;
            if self.is_still(CLOCK_SEQUENCE, sequence) {
                return Ok((count, (sequence & 0x3fff) as u16));
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

    /// Has clock sequence and node drawn anew.
    pub(crate) fn forget(&self) {
        for word in self.drawings.get().into_iter().flatten() {
            word.store(0, Relaxed);
        }
    }

    #[inline]
    fn count(&self, now: Reading) -> Result<u64, Error> {
        let now = now.ticks(&GREGORIAN)?;
        let mut last = self.last.load(Relaxed);
        loop {
            let next = now.max(last + 1);
            if next >= super::TICKS_END as u64 {
                return Err(GREGORIAN.is_over());
            }
            match self
                .last
                .compare_exchange_weak(last, next, Relaxed, Relaxed)
            {
                Ok(_) => return Ok(next),
                Err(other) => last = other,
            }
        }
    }

    /// Whether the word has not been wiped, where it can be.
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
            // Nothing can be kept: each call has its own.
            return Ok(draw()? | DRAWN);
        };
        let word = &words[word];
        loop {
            let mut claim = word.load(Relaxed);
            if claim & DRAWN != 0 {
                return Ok(claim);
            }
            if claim == 0 {
                claim = self.claims.fetch_add(1, Relaxed) + 1;
                if word.compare_exchange(0, claim, Relaxed, Relaxed).is_err() {
                    continue;
                }
            }
            // Another's claim does as well: it was there before the drawing.
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

/// Version 1.
#[inline]
pub(crate) fn v1((count, sequence): (u64, u16), node: &[u8; 6]) -> Uuid {
    uuid::Builder::from_gregorian_timestamp(count, sequence, node).into_uuid()
}

/// Version 6.
#[inline]
pub(crate) fn v6((count, sequence): (u64, u16), node: &[u8; 6]) -> Uuid {
    uuid::Builder::from_sorted_gregorian_timestamp(count, sequence, node).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeSet;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// The second after 1970, or after 1582 where it is negative.
    fn at(seconds: i64) -> Result<Reading, Error> {
        Ok(Reading { seconds, nanos: 0 })
    }

    /// Draws 1, 2, 3 …
    #[derive(Default)]
    struct Dice(Cell<u64>);

    impl Dice {
        fn draw(&self) -> Result<u64, Error> {
            self.0.set(self.0.get() + 1);
            Ok(self.0.get())
        }
    }

    /// Where there is no wiped memory there is nothing that could be kept.
    fn keeping() -> Option<Gregorian> {
        let state = Gregorian::new();
        state.drawings.get_or_map()?;
        Some(state)
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_gives_the_last_count_plus_one() {
        let Some(state) = keeping() else { return };
        let dice = Dice::default();
        let (first, sequence) = state.next(|| at(1), || dice.draw()).expect("in range");
        for (clock, expected) in [
            (1, 1),
            (0, 2),
            (-365 * 86_400, 3),
            (2, 10_000_000),
            (-12_219_292_800, 10_000_001),
        ] {
            let next = state.next(|| at(clock), || dice.draw());
            assert_eq!(next.expect("in range"), (first + expected, sequence));
        }
        assert_eq!(dice.0.get(), 1, "drawn once");
    }

    #[test]
    fn after_the_last_count_there_is_none_whatever_the_clock_shows() {
        let (state, dice) = (Gregorian::new(), Dice::default());
        let last = UNIX_EPOCH + Duration::from_millis(115_292_150_460_684 - 12_219_292_800_000);
        let last = || Ok(Reading::from(last));
        while state.next(last, || dice.draw()).is_ok() {}
        assert_eq!(state.last.load(Relaxed), (1 << 60) - 1);
        let error = state.next(|| at(1), || dice.draw()).expect_err("no more");
        assert_eq!(
            error.to_string(),
            "no timestamp: wall clock: it is, or was, after 5236-03-31; set the clock"
        );
        assert!(state.next(|| at(-12_219_292_801), || dice.draw()).is_err());
    }

    #[test]
    fn threads_share_a_clock_that_stands_and_no_count() {
        let state = Gregorian::new();
        let counts = || (0..10_000).map(|_| state.next(|| at(7), || Ok(1)).expect("in range").0);
        let all: BTreeSet<_> = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(|| counts().collect::<Vec<_>>()));
            let counts = threads.map(|thread| thread.join().expect("no panic"));
            counts.into_iter().flatten().collect()
        });
        assert_eq!(all.len(), 40_000);
    }

    /// What the child of a handler sees that forks where the clock is read.
    #[test]
    fn a_wipe_after_the_clock_sequence_was_asked_starts_over() {
        let Some(state) = keeping() else { return };
        let dice = Dice::default();
        let wipe = Cell::new(true);
        let clock = || {
            if wipe.take() {
                state.forget();
            }
            at(7)
        };
        let (count, sequence) = state.next(clock, || dice.draw()).expect("in range");
        assert_eq!(sequence, 2, "the first is the parent's");
        assert_eq!(state.last.load(Relaxed), count);
        let (first, _) = Gregorian::new().next(|| at(7), || Ok(0)).expect("in range");
        assert_eq!(count, first + 1, "the first is the parent's");
    }

    /// What the child of a handler sees that forks before a drawing is stored;
    /// the handler may make the child's own in the meantime, or be about to.
    #[test]
    fn a_wipe_while_a_node_is_drawn_leaves_what_was_drawn_after_it() {
        for handler_draws in [false, true] {
            let Some(state) = keeping() else { return };
            let dice = Dice::default();
            let wipe = Cell::new(true);
            let draw = || {
                let drawn = dice.draw()?;
                if wipe.take() {
                    state.forget();
                    if handler_draws {
                        state.node(|| dice.draw())?;
                    } else {
                        // A thread of the child has claimed and not yet drawn.
                        let words = state.drawings.get().expect("wiped memory");
                        words[NODE].store(state.claims.fetch_add(1, Relaxed) + 1, Relaxed);
                    }
                }
                Ok(drawn)
            };
            let node = state.node(draw).expect("entropy");
            assert_eq!(node, [1, 0, 0, 0, 0, 2], "1 is the parent's");
            assert_eq!(state.node(|| dice.draw()).expect("entropy"), node);
        }
    }

    #[test]
    fn a_failed_drawing_is_an_error_and_the_next_call_tries_again() {
        let (state, dice) = (Gregorian::new(), Dice::default());
        let fails = || Err(Error::custom("the dice are lost"));
        assert!(state.node(fails).is_err());
        assert!(state.next(|| at(7), fails).is_err());
        assert!(state.node(|| dice.draw()).is_ok());
        assert!(state.next(|| at(7), || dice.draw()).is_ok());
    }
}
