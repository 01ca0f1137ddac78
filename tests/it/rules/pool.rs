//! The rules of the pool's protocol and of its memory.

use super::Shows::{Finds, Grows};
use super::{FAULTS, MEMORY, Rule, STEPPER, always};

pub const RULES: &[Rule] = &[
    Rule {
        name: "a nested call leaves the page alone",
        changes: &[(
            "nested",
            "let ready = self.state.load(Relaxed);",
            "let mut ready = self.state.load(Relaxed);
            if WITHOUT && ready == BUSY { ready = 0; }",
        )],
        program: STEPPER,
        arguments: &["turns", "first call", "makes one"],
        shows: Finds("in_two_runs"),
        possible: always,
    },
    Rule {
        name: "the slot is claimed before it is copied",
        changes: &[(
            "claim-slot",
            "self.state.store(BUSY, Relaxed);",
            "if !WITHOUT { self.state.store(BUSY, Relaxed); }",
        )],
        program: STEPPER,
        arguments: &["0", "fast", "makes one"],
        shows: Finds("twice"),
        possible: always,
    },
    Rule {
        name: "the page is claimed before it is filled",
        changes: &[(
            "claim-page",
            "self.state.store(BUSY, Relaxed);",
            "if !WITHOUT { self.state.store(BUSY, Relaxed); }",
        )],
        program: STEPPER,
        arguments: &["turns", "first call", "makes one"],
        shows: Finds("in_two_runs"),
        possible: always,
    },
    Rule {
        name: "`alive` is written before the seed is drawn",
        changes: &[
            (
                "alive-first",
                "(found, ALIVE,",
                "(found, if WITHOUT { found } else { ALIVE },",
            ),
            (
                "alive-tells",
                "let drawn = source.draw(&mut seed);",
                "let drawn = source.draw(&mut seed);
                 if WITHOUT && keyless { self.alive.store(ALIVE, Relaxed); }",
            ),
        ],
        program: STEPPER,
        arguments: &["turns", "first call", "forks inside getrandom(2)"],
        shows: Finds("twice"),
        possible: always,
    },
    Rule {
        name: "`alive`, not the key, says whether there is a key",
        changes: &[(
            "alive-tells",
            "let keyless = found != ALIVE;",
            "let keyless = if WITHOUT { *key == Key::default() } else { found != ALIVE };",
        )],
        program: STEPPER,
        arguments: &["turns", "refill", "forks"],
        shows: Finds("twice"),
        possible: always,
    },
    Rule {
        name: "the slots of a key that is gone are cleared",
        changes: &[(
            "clear-slots",
            "slots.fill(Block::default());",
            "if !WITHOUT { slots.fill(Block::default()); }",
        )],
        program: STEPPER,
        arguments: &["turns", "refill", "forks"],
        shows: Finds("twice"),
        possible: always,
    },
    Rule {
        name: "`alive` is loaded after a refill",
        changes: &[
            (
                "alive-after-refill",
                "page.is_alive()",
                "WITHOUT || page.is_alive()",
            ),
            (
                "shape-first",
                "!page.is_wiped()",
                "WITHOUT || !page.is_wiped()",
            ),
        ],
        program: STEPPER,
        arguments: &["turns", "refill", "forks"],
        shows: Grows("in_both"),
        possible: always,
    },
    Rule {
        name: "a request that a fork interrupts between two blocks starts again",
        changes: &[(
            "start-over",
            "was_wiped && done != 0",
            "!WITHOUT && was_wiped && done != 0",
        )],
        program: STEPPER,
        arguments: &["turns", "bulk over two seeds", "forks"],
        shows: Finds("partly_in_both"),
        possible: always,
    },
    Rule {
        name: "`alive` is cleared if no seed was drawn",
        changes: &[(
            "alive-back",
            "self.alive.store(WIPED, Relaxed);",
            "if !WITHOUT { self.alive.store(WIPED, Relaxed); }",
        )],
        program: FAULTS,
        arguments: &["2"],
        shows: Finds("unlike_model"),
        possible: always,
    },
    Rule {
        name: "a slot is zeroed as it is handed out",
        changes: &[(
            "zero-slot",
            "*slot = Block::default();",
            "if !WITHOUT { *slot = Block::default(); }",
        )],
        program: STEPPER,
        arguments: &["0", "fast", "makes one"],
        shows: Finds("twice"),
        possible: always,
    },
    Rule {
        name: "a slot of a request is zeroed as it is handed out",
        changes: &[(
            "zero-moved",
            "*slot = Block::default();",
            "if !WITHOUT { *slot = Block::default(); }",
        )],
        program: STEPPER,
        arguments: &["1", "bulk from slots", "makes seven at once"],
        shows: Finds("twice"),
        possible: always,
    },
    Rule {
        name: "a slot that is zero is not handed out again",
        changes: &[("zero-slot", "bits == 0", "!WITHOUT && bits == 0")],
        program: STEPPER,
        arguments: &["0", "fast", "makes one"],
        shows: Finds("not_random"),
        possible: always,
    },
    Rule {
        name: "a slot of a request that is zero is not handed out again",
        changes: &[(
            "zero-in-request",
            "!page::move_out(slot, to)",
            "!page::move_out(slot, to) && !WITHOUT",
        )],
        program: STEPPER,
        arguments: &["1", "bulk from slots", "makes one"],
        shows: Finds("not_random"),
        possible: always,
    },
    Rule {
        name: "`alive` is loaded after the slot was copied",
        changes: &[(
            "alive-after-copy",
            "!page.is_alive()",
            "!WITHOUT && !page.is_alive()",
        )],
        program: STEPPER,
        arguments: &["0", "fast", "forks"],
        shows: Grows("in_both"),
        possible: always,
    },
    Rule {
        name: "the claim ends after `alive` was loaded",
        changes: &[
            (
                "alive-after-copy",
                "if ",
                "if WITHOUT { self.state.store(left, Relaxed); compiler_fence(SeqCst); }
                if ",
            ),
            (
                "release-last",
                "self.state.store(left, Relaxed);",
                "if !WITHOUT { self.state.store(left, Relaxed); }",
            ),
        ],
        program: STEPPER,
        arguments: &["0", "fast", "forks, makes all in both"],
        shows: Grows("in_both"),
        possible: always,
    },
    Rule {
        name: "no thread-local has a destructor",
        changes: &[(
            "no-destructor",
            "let page = PAGES.lend(self.borrower)?;",
            "let page = PAGES.lend(self.borrower)?;
             struct Registered;
             impl Drop for Registered { fn drop(&mut self) {} }
             std::thread_local! { static ONCE: Registered = const { Registered }; }
             if WITHOUT { ONCE.with(|_| ()); }",
        )],
        program: STEPPER,
        arguments: &["turns", "malloc", "makes one"],
        shows: Finds("hung"),
        possible: always,
    },
    Rule {
        name: "the page of a thread that has ended is lent to another thread",
        changes: &[(
            "ask-for-ended",
            "Loan(found).is_over",
            "!WITHOUT && Loan(found).is_over",
        )],
        program: MEMORY,
        arguments: &["threads"],
        shows: Finds("bytes_left_by_threads"),
        possible: always,
    },
    Rule {
        name: "a key is replaced by the block that it makes first",
        changes: &[(
            "erase-key",
            "stream(best(), key, nonce, form, dest);",
            // With the step, this code must not copy the key.
            "if WITHOUT {
                let mut next = *key;
                stream(best(), &mut next, nonce, form, dest);
             } else {
                stream(best(), key, nonce, form, dest);
             }",
        )],
        program: MEMORY,
        arguments: &["to-come"],
        shows: Finds("used_keys"),
        possible: always,
    },
    Rule {
        name: "memory is wiped at fork",
        changes: &[(
            "wipe-on-fork",
            "advise(libc::MADV_WIPEONFORK)",
            "advise(if WITHOUT { libc::MADV_NORMAL } else { libc::MADV_WIPEONFORK })",
        )],
        program: MEMORY,
        arguments: &["to-come"],
        shows: Finds("parents_in_child"),
        possible: always,
    },
    Rule {
        name: "the vDSO's state is claimed in memory that is not wiped",
        changes: &[(
            "claim-state",
            "thread.busy.get()",
            "!WITHOUT && thread.busy.get()",
        )],
        program: STEPPER,
        arguments: &["1", "unbuffered", "forks, makes one unbuffered in both"],
        shows: Grows("in_both"),
        possible: always,
    },
    Rule {
        name: "a bulk request has its form before `alive` is loaded",
        changes: &[
            (
                "shape-first",
                "shape(dest);",
                "if !WITHOUT { shape(dest); }",
            ),
            (
                "shape-first",
                "return Ok(());",
                "if WITHOUT { shape(dest); }
                return Ok(());",
            ),
        ],
        program: STEPPER,
        arguments: &["turns", "bulk of version 7", "forks"],
        shows: Grows("in_both"),
        possible: always,
    },
    Rule {
        name: "version 1: the clock sequence is loaded again after the count",
        changes: &[(
            "sequence-after-count",
            "self.is_still(Drawn::ClockSequence, sequence)",
            "WITHOUT || self.is_still(Drawn::ClockSequence, sequence)",
        )],
        program: STEPPER,
        arguments: &["1", "version 1", "forks"],
        shows: Grows("in_both"),
        possible: always,
    },
    Rule {
        name: "version 1: a drawing claims its word first",
        changes: &[("claim-drawing", "claim == 0", "!WITHOUT && claim == 0")],
        program: STEPPER,
        arguments: &["1", "first version 1 after others", "forks"],
        shows: Grows("in_both"),
        possible: always,
    },
    Rule {
        name: "a fork does not wipe the claim",
        changes: &[(
            "claim-survives",
            "let left",
            "if WITHOUT && self.page.get().is_some_and(Page::is_wiped) {
                self.state.store(0, Relaxed);
            }
            let left",
        )],
        program: STEPPER,
        arguments: &["0", "fast", "forks, and in the child one is made"],
        shows: Grows("in_both"),
        possible: always,
    },
];
