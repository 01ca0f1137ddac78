//! What parts copies of a machine, and of a process that was restored.

use super::{Rule, always};
use crate::guest::Change;
use crate::p4::sandboxes::vdso_has_getrandom;
use crate::p5::snapshots::with_hardware;

const fn rule(
    name: &'static str,
    scene: &'static [&'static str],
    possible: fn() -> bool,
    shows: &'static str,
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
        "the hardware's number in a nonce",
        CLONED,
        with_hardware,
        "BROKEN new_v4: 2000 of 2000",
        &[(
            "hardware-in-nonce",
            "hardware::number().unwrap_or_default()",
            "if WITHOUT { 0 } else { hardware::number().unwrap_or_default() }",
        )],
    ),
    rule(
        "the hardware's number in an unbuffered UUID",
        CLONED,
        with_hardware,
        "BROKEN unbuffered: 2000 of 2000",
        &[(
            "hardware-in-output",
            "mixer.mix_into(block);",
            "if !WITHOUT { mixer.mix_into(block) }",
        )],
    ),
    rule(
        "reseed marks the memory again",
        THAWED,
        always,
        "BROKEN new_v4, then forked: 250 of 2000",
        &[(
            "mark-pages",
            "pool::mark_again();",
            "if !WITHOUT { pool::mark_again() }",
        )],
    ),
    rule(
        "reseed gives up the vDSO's states",
        THAWED,
        vdso_has_getrandom,
        "BROKEN unbuffered, restored twice: 2000 of 2000",
        &[(
            "clear-state",
            "state.clear();",
            "if !WITHOUT { state.clear() }",
        )],
    ),
    rule(
        "reseed marks the vDSO's states again",
        THAWED,
        vdso_has_getrandom,
        "BROKEN unbuffered, then forked: 2000 of 2000",
        &[(
            "mark-states",
            "STATES.mark_again();",
            "if !WITHOUT { STATES.mark_again() }",
        )],
    ),
];
