use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use super::*;

/// A time that is this many seconds after 1970.
fn at(seconds: i64) -> Result<Reading, Error> {
    Ok(Reading { seconds, nanos: 0 })
}

/// Returns the count of that time.
fn ticks(seconds: i64) -> u64 {
    let now = at(seconds).expect("a time");
    now.ticks(&GREGORIAN).expect("in range")
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

/// Returns a state that can keep what it draws, or `None` if there is no wiped memory.
fn keeping() -> Option<Gregorian> {
    let state = Gregorian::new();
    state.drawings.get_or_map()?;
    Some(state)
}

#[test]
fn a_clock_that_stands_or_goes_back_a_little_gives_the_last_count_plus_one() {
    let Some(state) = keeping() else { return };
    let dice = Dice::default();
    let (first, sequence) = state.next(|| at(1), || dice.draw()).expect("in range");
    for (clock, expected) in [(1, 1), (0, 2), (-8, 3), (2, 10_000_000), (-7, 10_000_001)] {
        let next = state.next(|| at(clock), || dice.draw());
        assert_eq!(next.expect("in range"), (first + expected, sequence));
    }
    assert_eq!(dice.0.get(), 1, "drawn once");
}

#[test]
fn after_the_last_count_there_is_none_while_the_clock_is_near_it() {
    let (state, dice) = (Gregorian::new(), Dice::default());
    let last = UNIX_EPOCH + Duration::from_millis(115_292_150_460_684 - 12_219_292_800_000);
    let last = || Ok(Reading::from(last));
    while state.next(last, || dice.draw()).is_ok() {}
    // 10 s back: 5236-03-31 21:20:50.6846976.
    let held = || at(103_072_857_651);
    let error = state.next(held, || dice.draw()).expect_err("no more");
    assert_eq!(
        error.to_string(),
        "no timestamp: wall clock: it is, or was, after 5236-03-31; set the clock"
    );
    let next = state.next(|| at(1), || dice.draw()).expect("in range");
    assert_eq!(next.0, ticks(1));
    let next = state.next(|| at(-12_219_292_800), || dice.draw());
    assert_eq!(next.expect("in range").0, 1);
    assert!(state.next(|| at(-12_219_292_801), || dice.draw()).is_err());
}

#[test]
fn ten_seconds_back_are_held_and_a_tick_more_steps_to_the_next_clock_sequence() {
    let Some(state) = keeping() else { return };
    // All bits of the clock sequence are ones.
    let next = |now: i64, nanos| {
        let now = Reading {
            seconds: now,
            nanos,
        };
        state.next(|| Ok(now), || Ok(u64::MAX)).expect("in range")
    };
    let steps = crate::clock::steps();
    assert_eq!(next(11, 100), (ticks(11) + 1, 0x3fff));
    assert_eq!(next(1, 100), (ticks(11) + 2, 0x3fff));
    assert_eq!(next(1, 200), (ticks(11) + 3, 0x3fff));
    assert_eq!(next(1, 299), (ticks(1) + 2, 0));
    assert!(crate::clock::steps() > steps);
    assert_eq!(next(1, 299), (ticks(1) + 3, 0));
    assert_eq!(next(11, 100), (ticks(11) + 1, 0));
    assert_eq!(next(1, 0), (ticks(1), 1));
    // The other bits that were drawn stay the same.
    let word = &state.drawings.get().expect("wiped memory")[Drawn::ClockSequence as usize];
    assert_eq!(word.load(Relaxed) >> 14, u64::MAX >> 14);
}

/// A loop that makes more UUIDs than there are timestamps needs seconds to get 10 s ahead. The
/// test begins 3 timestamps before.
#[test]
fn counts_that_run_ahead_of_the_clock_step_to_the_next_clock_sequence_at_ten_seconds() {
    let Some(state) = keeping() else { return };
    let next = || state.next(|| at(1), || Ok(1)).expect("in range");
    assert_eq!(next(), (ticks(1), 1));
    state.last_of(1).store(ticks(11) - 2, Relaxed);
    for (count, sequence) in [
        (ticks(11) - 1, 1),
        (ticks(11), 1),
        (ticks(11) + 1, 1),
        (ticks(1), 2),
        (ticks(1) + 1, 2),
    ] {
        assert_eq!(next(), (count, sequence));
    }
}

/// The clock goes a year ahead and back again, more often than there are clock sequences.
#[test]
fn after_all_clock_sequences_the_count_is_held_until_the_clock_has_come_past() {
    const YEAR: i64 = 365 * 86_400;
    let Some(state) = keeping() else { return };
    let next = |now| state.next(|| at(now), || Ok(5)).expect("in range");
    let mut all = BTreeSet::new();
    for round in 0..SEQUENCES {
        let sequence = ((5 + round) % SEQUENCES) as u16;
        assert_eq!(next(1), (ticks(1), sequence));
        assert_eq!(next(YEAR), (ticks(YEAR), sequence));
        all.extend([(ticks(1), sequence), (ticks(YEAR), sequence)]);
    }
    assert_eq!(all.len() as u64, 2 * SEQUENCES);
    for more in 1..10 {
        assert_eq!(next(1), (ticks(YEAR) + more, 4));
    }
    state.forget();
    assert_eq!(next(1), (ticks(YEAR) + 1, 5));
    assert_eq!(next(YEAR + 1), (ticks(YEAR + 1), 5));
    assert_eq!(next(YEAR - 9), (ticks(YEAR + 1) + 1, 5));
    // The counts of the other clock sequences are at most 10 s ahead.
    assert_eq!(next(YEAR - 10), (ticks(YEAR) + 1, 6));
}

#[test]
fn after_forget_a_new_clock_sequence_starts_at_the_clock_and_a_used_one_continues() {
    let Some(state) = keeping() else { return };
    let dice = Dice::default();
    let next = |now| state.next(|| at(now), || dice.draw()).expect("in range");
    assert_eq!(next(9), (ticks(9), 1));
    assert_eq!(next(1), (ticks(9) + 1, 1));
    state.forget();
    assert_eq!(next(1), (ticks(1), 2));
    state.forget();
    // The next drawing has the same lower 14 bits as the first one.
    dice.0.set(SEQUENCES);
    assert_eq!(next(1), (ticks(9) + 2, 1));
}

/// Another thread or a handler steps back in the middle of a call: when the clock is read, which
/// is after the clock sequence was taken and before the count is.
#[test]
fn a_step_back_inside_a_call_repeats_nothing_whichever_time_the_call_has() {
    for (before, inside) in [(100, 1), (1, 100), (100, 100), (1, 1)] {
        let Some(state) = keeping() else { return };
        let all = RefCell::new(vec![]);
        let plain = |now| {
            let next = state.next(|| at(now), || Ok(1)).expect("in range");
            all.borrow_mut().push(next);
        };
        plain(100);
        let once = Cell::new(true);
        let clock = || {
            if once.take() {
                // Back, ahead, back, and to the time that this round has.
                for now in [1, 100, 1, inside] {
                    plain(now);
                }
            }
            at(before)
        };
        let next = state.next(clock, || Ok(1)).expect("in range");
        all.borrow_mut().push(next);
        for now in [1, 100, 1] {
            plain(now);
        }
        let all = all.into_inner();
        let distinct = BTreeSet::from_iter(&all);
        assert_eq!(distinct.len(), all.len(), "{all:?}");
        // The control: without the clock sequence, some of them are equal.
        let counts = BTreeSet::from_iter(all.iter().map(|(count, _)| count));
        assert!(counts.len() < all.len());
    }
}

#[test]
fn threads_that_race_through_steps_back_repeat_nothing() {
    const CALLS: usize = 20_000;
    let Some(state) = keeping() else { return };
    let clock = AtomicU64::new(0);
    let make = |thread| {
        let mut all = vec![];
        for call in 0..CALLS {
            if call % 50 == thread {
                clock.fetch_xor(100, Relaxed);
            }
            let now = || at(clock.load(Relaxed) as i64);
            all.push(state.next(now, || Ok(1)).expect("in range"));
        }
        all
    };
    let steps = crate::clock::steps();
    let all: Vec<_> = std::thread::scope(|scope| {
        let threads = [0, 1, 2, 3].map(|thread| scope.spawn(move || make(thread)));
        let all = threads.map(|thread| thread.join().expect("no panic"));
        all.into_iter().flatten().collect()
    });
    assert!(crate::clock::steps() > steps);
    assert_eq!(BTreeSet::from_iter(&all).len(), 4 * CALLS);
    // The control: without the clock sequence, many of them are equal.
    let counts = BTreeSet::from_iter(all.iter().map(|(count, _)| count));
    assert!(counts.len() < 3 * CALLS, "{}", counts.len());
}

/// A new state has mapped no memory, as a state that cannot keep what it draws.
#[test]
fn without_a_kept_clock_sequence_the_count_goes_back_with_the_clock() {
    let state = Gregorian::new();
    let count = |now| {
        let now = || at(now).expect("a time");
        let mut counts = (0..).map(|sequence| state.count(sequence, now()));
        counts.find_map(|count| count.expect("in range"))
    };
    assert_eq!(count(100), Some(ticks(100)));
    assert_eq!(count(90), Some(ticks(100) + 1));
    assert_eq!(count(89), Some(ticks(89) + 1));
    assert_eq!(count(89), Some(ticks(89) + 2));
}

#[test]
fn threads_that_read_the_same_time_get_different_counts() {
    let state = Gregorian::new();
    let counts = || (0..10_000).map(|_| state.next(|| at(7), || Ok(1)).expect("in range").0);
    let all: BTreeSet<_> = std::thread::scope(|scope| {
        let threads = [(); 4].map(|()| scope.spawn(|| counts().collect::<Vec<_>>()));
        let counts = threads.map(|thread| thread.join().expect("no panic"));
        counts.into_iter().flatten().collect()
    });
    assert_eq!(all.len(), 40_000);
}

/// If a handler forks when the clock is read, the child sees such a wipe.
#[test]
fn a_wipe_after_the_clock_sequence_was_taken_makes_the_call_start_over() {
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
    let (first, _) = Gregorian::new().next(|| at(7), || Ok(0)).expect("in range");
    assert_eq!(count, first, "each clock sequence has its own count");
    assert_eq!(state.last_of(1).load(Relaxed), first, "the parent's");
}

/// If a handler forks before a drawing is stored, the child sees such a wipe. The handler may
/// have drawn the child's own node by then, or may be about to.
#[test]
fn a_node_that_was_drawn_before_a_wipe_is_not_used() {
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
                    let claim = state.claims.fetch_add(1, Relaxed) + 1;
                    words[Drawn::Node as usize].store(claim, Relaxed);
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
