//! What parts copies of a machine, and of a process that was restored.

use super::Rule;

const fn rule(
    name: &'static str,
    scene: &'static [&'static str],
    shows: &'static str,
    changes: &'static [(&'static str, &'static str, &'static str)],
) -> Rule {
    Rule {
        name,
        changes,
        program: "twins",
        arguments: scene,
        shows,
    }
}

pub const CLONED: &[&str] = &["cloned"];
const THAWED: &[&str] = &["thawed"];

pub const RULES: &[Rule] = &[
    rule(
        "the hardware's number in a nonce",
        CLONED,
        "BROKEN new_v4: 2000 of 2000",
        &[(
            "hedge.rs",
            "hardware::number().unwrap_or_default()",
            "if WITHOUT { 0 } else { hardware::number().unwrap_or_default() }",
        )],
    ),
    rule(
        "the hardware's number in an unbuffered UUID",
        CLONED,
        "BROKEN unbuffered: 2000 of 2000",
        &[(
            "pool.rs",
            "mixer.mix_into(block);",
            "if !WITHOUT { mixer.mix_into(block) }",
        )],
    ),
    rule(
        "reseed marks the memory again",
        THAWED,
        "BROKEN new_v4, then forked: 250 of 2000",
        &[(
            "pool/page.rs",
            "PAGES.mark_again();",
            "if !WITHOUT { PAGES.mark_again() }",
        )],
    ),
    rule(
        "reseed gives up the vDSO's states",
        THAWED,
        "BROKEN unbuffered, restored twice: 2000 of 2000",
        &[(
            "source/vdso.rs",
            "state.clear();",
            "if !WITHOUT { state.clear() }",
        )],
    ),
    rule(
        "reseed marks the vDSO's states again",
        THAWED,
        "BROKEN unbuffered, then forked: 2000 of 2000",
        &[(
            "source/vdso.rs",
            "STATES.mark_again();",
            "if !WITHOUT { STATES.mark_again() }",
        )],
    ),
];
