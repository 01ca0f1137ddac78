//! The rules that make copies of a machine, or of a restored process, differ.

use super::Shows::{self, Counts};
use super::{Rule, always};
use crate::guest::Change;
use crate::p4::sandboxes::vdso_has_getrandom;
use crate::p5::snapshots::with_hardware;

const fn rule(
    name: &'static str,
    scene: &'static [&'static str],
    possible: fn() -> bool,
    shows: Shows,
    changes: &'static [Change],
) -> Rule {
    Rule {
        name,
        changes,
        program: "twins",
        arguments: scene,
        shows,
        possible,
    }
}

pub const CLONED: &[&str] = &["cloned"];
const THAWED: &[&str] = &["thawed"];

pub const RULES: &[Rule] = &[
    rule(
        "each refill mixes a hardware number into its nonce",
        CLONED,
        with_hardware,
        Counts("new_v4", "in_both", 2000),
        &[(
            "hardware-in-nonce",
            "hardware::number().unwrap_or_default()",
            "if WITHOUT { 0 } else { hardware::number().unwrap_or_default() }",
        )],
    ),
    rule(
        "a hardware number is mixed into each unbuffered UUID",
        CLONED,
        with_hardware,
        Counts("unbuffered", "in_both", 2000),
        &[(
            "hardware-in-output",
            "mixer.mix_into(block);",
            "if !WITHOUT { mixer.mix_into(block) }",
        )],
    ),
    rule(
        "reseed marks the memory of the pools again",
        THAWED,
        always,
        Counts("new_v4, then forked", "in_both", 2000),
        &[(
            "mark-pages",
            "pool::mark_again();",
            "if !WITHOUT { pool::mark_again() }",
        )],
    ),
    rule(
        "reseed clears the vDSO's states",
        THAWED,
        vdso_has_getrandom,
        Counts("unbuffered, restored twice", "in_both", 2000),
        &[(
            "clear-state",
            "state.clear();",
            "if !WITHOUT { state.clear() }",
        )],
    ),
    rule(
        "reseed marks the memory of the vDSO's states again",
        THAWED,
        vdso_has_getrandom,
        Counts("unbuffered, then forked", "in_both", 2000),
        &[(
            "mark-states",
            "STATES.mark_again();",
            "if !WITHOUT { STATES.mark_again() }",
        )],
    ),
    rule(
        "reseed discards the clock sequence and the node",
        CLONED,
        with_hardware,
        Counts("now_v1, after reseed", "in_both", 2000),
        &[(
            "forget-sequence",
            "word.store(0, Relaxed);",
            "if !WITHOUT { word.store(0, Relaxed) }",
        )],
    ),
    rule(
        "reseed marks the memory of the clock sequence and the node again",
        THAWED,
        always,
        Counts("now_v1, then forked", "in_both", 2000),
        &[(
            "mark-sequence",
            "self.drawings.mark_again();",
            "if !WITHOUT { self.drawings.mark_again() }",
        )],
    ),
];
