//! The rules of the time-based versions: their order, also in signal handlers.

use super::Shows::{Finds, Grows};
use super::{Rule, STEPPER, Shows, always};
use crate::guest::Change;

/// The handler makes two UUIDs: the second is equal to one that is made later if the order
/// has lost it.
const fn v7(name: &'static str, path: &'static [&'static str], changes: &'static [Change]) -> Rule {
    rule(name, path, Finds("out_of_order"), changes)
}

const fn rule(
    name: &'static str,
    arguments: &'static [&'static str],
    shows: Shows,
    changes: &'static [Change],
) -> Rule {
    Rule {
        name,
        changes,
        program: STEPPER,
        arguments,
        shows,
        possible: always,
    }
}

const UNDISTURBED: &[&str] = &["0", "version 7", "makes two"];
const SET_BACK: &[&str] = &["0", "version 7, clock set back", "makes two"];
const SET_BACK_IN_HANDLER: &[&str] = &["0", "version 7, clock set back in a handler", "makes two"];
const IN_HANDLER: &[&str] = &["0", "version 7 in a handler of version 7", "makes two"];

pub const RULES: &[Rule] = &[
    v7(
        "version 7: a call claims the order before it reads the words",
        UNDISTURBED,
        &[(
            "busy-first",
            "self.busy.store(true, Relaxed);",
            "if !WITHOUT { self.busy.store(true, Relaxed); }",
        )],
    ),
    v7(
        "version 7: a call continues from the greater of the two words",
        UNDISTURBED,
        &[(
            "greater-word",
            ".max(nested)",
            ".max(if WITHOUT { 0 } else { nested })",
        )],
    ),
    v7(
        "version 7: a call stores its word before it releases the order",
        UNDISTURBED,
        &[
            (
                "greater-word",
                "let restarts",
                "if WITHOUT { self.busy.store(false, Relaxed); compiler_fence(SeqCst); }
                let restarts",
            ),
            (
                "busy-last",
                "self.busy.store(false, Relaxed);",
                "if !WITHOUT { self.busy.store(false, Relaxed); }",
            ),
        ],
    ),
    v7(
        "version 7: a step back continues from the words that are not ahead",
        SET_BACK_IN_HANDLER,
        &[(
            "step-back",
            ".max(up_to(limit, nested))",
            ".max(if WITHOUT { 0 } else { up_to(limit, nested) })",
        )],
    ),
    v7(
        "version 7: a step back clears only the word of a handler that it has judged",
        SET_BACK,
        &[(
            "only-judged",
            "let _ = self.nested.compare_exchange(nested, 0, Relaxed, Relaxed);",
            "if WITHOUT {
                self.nested.store(0, Relaxed);
            } else {
                let _ = self.nested.compare_exchange(nested, 0, Relaxed, Relaxed);
            }",
        )],
    ),
    v7(
        "version 7: a handler continues from the interrupted call's last word",
        UNDISTURBED,
        &[(
            "handler-continues",
            "after(last.max(",
            "after(if WITHOUT { 0 } else { last }.max(",
        )],
    ),
    v7(
        "version 7: a handler ignores a word that is too far ahead",
        SET_BACK,
        &[(
            "handler-continues",
            "up_to(held(now), self.last.load(Relaxed))",
            "up_to(if WITHOUT { u64::MAX } else { held(now) }, self.last.load(Relaxed))",
        )],
    ),
    v7(
        "version 7: a handler replaces only the word from which it continues",
        IN_HANDLER,
        &[(
            "handler-exchange",
            ".compare_exchange(nested, end - 1, Relaxed, Relaxed)",
            ".compare_exchange(
                if WITHOUT { self.nested.load(Relaxed) } else { nested },
                end - 1,
                Relaxed,
                Relaxed,
            )",
        )],
    ),
    rule(
        "version 1: a call replaces only the count from which it continues",
        &["1", "version 1", "makes one"],
        Finds("twice"),
        &[(
            "count-exchange",
            "word.compare_exchange_weak(last, next, Relaxed, Relaxed)",
            "word.compare_exchange_weak(
                if WITHOUT { word.load(Relaxed) } else { last },
                next,
                Relaxed,
                Relaxed,
            )",
        )],
    ),
    rule(
        "version 1: a step back replaces only the clock sequence from which it continues",
        &["0", "version 1, clock set back", "forks"],
        Grows("in_both"),
        &[(
            "sequence-exchange",
            ".compare_exchange(sequence, next, Relaxed, Relaxed)",
            ".compare_exchange(
                if WITHOUT {
                    words[Drawn::ClockSequence as usize].load(Relaxed)
                } else {
                    sequence
                },
                next,
                Relaxed,
                Relaxed,
            )",
        )],
    ),
];
