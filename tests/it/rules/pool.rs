//! The rules of the pool's protocol and of its memory.

use super::{MORE_IN_BOTH, Rule, always};

/// Its arguments: how dense, which path, which event.
const STEPPER: &str = "stepper";
const MEMORY: &str = "memory";

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
        shows: "in two runs",
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
        shows: "twice",
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
        shows: "in two runs",
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
        shows: "twice",
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
        shows: "twice",
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
        shows: "twice",
        possible: always,
    },
    Rule {
        name: "`alive` is asked after a refill",
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
        shows: MORE_IN_BOTH,
        possible: always,
    },
    Rule {
        name: "a fork between two blocks of a request begins it anew",
        changes: &[(
            "start-over",
            "was_wiped && done != 0",
            "!WITHOUT && was_wiped && done != 0",
        )],
        program: STEPPER,
        arguments: &["turns", "bulk over two seeds", "forks"],
        shows: "values in both",
        possible: always,
    },
    Rule {
        name: "`alive` is taken back where no seed was drawn",
        changes: &[(
            "alive-back",
            "self.alive.store(WIPED, Relaxed);",
            "if !WITHOUT { self.alive.store(WIPED, Relaxed); }",
        )],
        program: "faults",
        arguments: &["2"],
        shows: "not as the model says",
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
        shows: "twice",
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
        shows: "twice",
        possible: always,
    },
    Rule {
        name: "a slot that is zero was handed out",
        changes: &[("zero-slot", "bits == 0", "!WITHOUT && bits == 0")],
        program: STEPPER,
        arguments: &["0", "fast", "makes one"],
        shows: "is not random",
        possible: always,
    },
    Rule {
        name: "a slot of a request that is zero was handed out",
        changes: &[(
            "zero-in-request",
            "!page::move_out(slot, to)",
            "!page::move_out(slot, to) && !WITHOUT",
        )],
        program: STEPPER,
        arguments: &["1", "bulk from slots", "makes one"],
        shows: "is not random",
        possible: always,
    },
    Rule {
        name: "`alive` is asked after the slot was copied",
        changes: &[(
            "alive-after-copy",
            "!page.is_alive()",
            "!WITHOUT && !page.is_alive()",
        )],
        program: STEPPER,
        arguments: &["0", "fast", "forks"],
        shows: MORE_IN_BOTH,
        possible: always,
    },
    Rule {
        name: "the claim ends after `alive` was asked",
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
        shows: MORE_IN_BOTH,
        possible: always,
    },
    Rule {
        name: "no thread-local with a destructor",
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
        shows: "hung",
        possible: always,
    },
    Rule {
        name: "what a thread has is lent anew when the thread is gone",
        changes: &[(
            "ask-for-ended",
            "Loan(found).is_over",
            "!WITHOUT && Loan(found).is_over",
        )],
        program: MEMORY,
        arguments: &["threads"],
        shows: "before the threads",
        possible: always,
    },
    Rule {
        name: "a key is replaced by the block that it makes first",
        changes: &[(
            "erase-key",
            "stream(Backend::best(), key, nonce, form, dest);",
            "let mut next = *key;
             stream(Backend::best(), &mut next, nonce, form, dest);
             if !WITHOUT { *key = next; }",
        )],
        program: MEMORY,
        arguments: &["handed-out"],
        shows: "a key that made UUIDs",
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
        arguments: &["child"],
        shows: "in the child",
        possible: always,
    },
    Rule {
        name: "the vDSO's state is claimed in memory that is not wiped",
        changes: &[(
            "claim-state",
            "lent.busy.get()",
            "!WITHOUT && lent.busy.get()",
        )],
        program: STEPPER,
        arguments: &["1", "unbuffered", "forks, makes one unbuffered in both"],
        shows: MORE_IN_BOTH,
        possible: always,
    },
    Rule {
        name: "a bulk request has its form before `alive` is asked",
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
        shows: MORE_IN_BOTH,
        possible: always,
    },
    Rule {
        name: "version 1: the clock sequence is asked again after the count",
        changes: &[(
            "sequence-after-count",
            "self.is_still(Drawn::ClockSequence, sequence)",
            "WITHOUT || self.is_still(Drawn::ClockSequence, sequence)",
        )],
        program: STEPPER,
        arguments: &["1", "version 1", "forks"],
        shows: MORE_IN_BOTH,
        possible: always,
    },
    Rule {
        name: "version 1: a drawing claims its word first",
        changes: &[("claim-drawing", "claim == 0", "!WITHOUT && claim == 0")],
        program: STEPPER,
        arguments: &["1", "first version 1 after others", "forks"],
        shows: MORE_IN_BOTH,
        possible: always,
    },
    Rule {
        name: "the claim is not wiped",
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
        shows: MORE_IN_BOTH,
        possible: always,
    },
];
