use super::*;

const fn at(nanos: u32) -> Reading {
    at_second(0, nanos)
}

const fn at_second(seconds: i64, nanos: u32) -> Reading {
    Reading { seconds, nanos }
}

const YEAR: i64 = 365 * 86_400;

fn next(order: &Order, now: Reading) -> Option<u64> {
    word(now, |now| order.next(now, 1)).ok()
}

/// Returns the word that a new order begins with.
fn fresh(now: Reading) -> u64 {
    next(&Order::new(), now).expect("in range")
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
        at_second(YEAR, 245),
        at_second(YEAR - 10, 245),
        at_second(YEAR - 10, 244),
    );
    // The last word is the first of its tick, or the last.
    for words in [1, 16] {
        let order = Order::new();
        for _ in 0..words {
            next(&order, later);
        }
        assert_eq!(next(&order, exactly), Some(fresh(later) + words));
    }
    for words in [1, 16] {
        let order = Order::new();
        for _ in 0..words {
            next(&order, later);
        }
        let steps = crate::clock::steps();
        assert_eq!(next(&order, more), Some(fresh(more)));
        assert!(crate::clock::steps() > steps);
        assert_eq!(next(&order, more), Some(fresh(more) + 1));
        assert_eq!(next(&order, later), Some(fresh(later)));
    }
}

#[test]
fn a_clock_that_jumps_to_and_fro_is_followed_each_time() {
    let order = Order::new();
    for year in [9, 1, 8, 2, 7, 0, 8900, 0, 8900] {
        let now = at_second(year * YEAR + 1, 0);
        for more in 0..3 {
            assert_eq!(next(&order, now), Some(fresh(now) + more));
        }
    }
}

#[test]
fn after_restart_an_order_begins_at_the_clock_once() {
    let (later, now) = (at_second(YEAR, 0), at_second(YEAR - 9, 0));
    let order = Order::new();
    next(&order, later);
    assert_eq!(next(&order, now), Some(fresh(later) + 1), "held");
    order.nested.store(fresh(later) + 7, Relaxed);
    // `restart` would do this to all tests that run now.
    order.restarts.store(u64::MAX, Relaxed);
    for more in 0..3 {
        assert_eq!(next(&order, now), Some(fresh(now) + more));
    }
    // An order that is not ahead of the clock continues.
    order.restarts.store(u64::MAX, Relaxed);
    assert_eq!(next(&order, now), Some(fresh(now) + 3));
}

/// A handler may interrupt a call that is dropping both words: before the first store, without or
/// with a nested word, and after it.
#[test]
fn handlers_inside_a_step_back_are_in_order_and_the_next_call_continues_from_them() {
    let (later, now) = (at_second(YEAR, 0), at_second(YEAR - 11, 0));
    for (last, nested, first) in [
        (fresh(later), 0, fresh(now)),
        (fresh(later), fresh(later) + 5, fresh(now)),
        (fresh(now), fresh(later) + 5, fresh(now) + 1),
    ] {
        let order = Order::new();
        order.last.store(last, Relaxed);
        order.nested.store(nested, Relaxed);
        order.busy.store(true, Relaxed);
        for more in 0..3 {
            assert_eq!(next(&order, now), Some(first + more));
        }
        // The interrupted call had read the clock before it was set.
        order.last.store(fresh(later) + 1, Relaxed);
        order.busy.store(false, Relaxed);
        assert_eq!(next(&order, now), Some(first + 3));
        assert_eq!(next(&order, now), Some(first + 4));
    }
}

#[test]
fn a_step_back_drops_the_nested_word_that_it_saw_and_no_later_one() {
    let (later, now, near) = (
        at_second(YEAR, 0),
        at_second(YEAR - 11, 0),
        at_second(YEAR - 5, 0),
    );
    let order = Order::new();
    order.nested.store(fresh(later), Relaxed);
    assert_eq!(next(&order, now), Some(fresh(now)));
    assert_eq!(next(&order, near), Some(fresh(near)));

    // A handler comes after the call has asked for `nested`.
    let order = Order::new();
    order.nested.store(fresh(now) + 5, Relaxed);
    let seen = fresh(later);
    let first = word(now, |now| order.start_over(now, 1, seen, 0));
    assert_eq!(first.ok(), Some(fresh(now)));
    assert_eq!(next(&order, now), Some(fresh(now) + 6));
}

#[test]
fn after_the_last_word_there_is_none_while_the_clock_is_near_it() {
    let order = Order::new();
    // 1 ns before 2^48 ms.
    let end = at_second(281_474_976_710, 655_999_999);
    let first = next(&order, end).expect("in range");
    assert_eq!(first, u64::MAX - 15);
    for more in 1..15 {
        assert_eq!(next(&order, end).expect("in range"), first + more);
    }
    assert!(next(&order, end).is_none());
    assert!(next(&order, at_second(281_474_976_701, 0)).is_none());
    assert_eq!(next(&order, at(0)), Some(1));
    assert_eq!(next(&order, end), Some(first));
}

#[test]
fn the_call_after_a_handler_continues_from_the_handlers_last_word() {
    let order = Order::new();
    let first = next(&order, at(0)).expect("in range");
    // So a call leaves it in the middle.
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
