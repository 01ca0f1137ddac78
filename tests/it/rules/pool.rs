//! The rules of the pool's protocol and of its memory.

use super::{MORE_IN_BOTH, Rule, always};

/// Its arguments: how dense, which path, which event.
const STEPPER: &str = "stepper";
const MEMORY: &str = "memory";

pub const RULES: &[Rule] = &[
    Rule {
        name: "1: a nested call leaves the page alone",
        changes: &[(
            "pool.rs",
            "let ready = self.state.load(Relaxed);\n",
            "let mut ready = self.state.load(Relaxed);
             if WITHOUT && ready == BUSY { ready = 0; }\n",
        )],
        program: STEPPER,
        arguments: &["499", "first call", "makes one"],
        shows: "in two runs",
        possible: always,
    },
    Rule {
        name: "2: the slot is claimed before it is copied",
        changes: &[(
            "pool.rs",
            "self.state.store(BUSY, Relaxed);
        compiler_fence(SeqCst);
        // SAFETY: a pool without",
            "if !WITHOUT { self.state.store(BUSY, Relaxed); }
        compiler_fence(SeqCst);
        // SAFETY: a pool without",
        )],
        program: STEPPER,
        arguments: &["0", "fast", "makes one"],
        shows: "twice",
        possible: always,
    },
    Rule {
        name: "2: the page is claimed before it is filled",
        changes: &[(
            "pool.rs",
            "                self.state.store(BUSY, Relaxed);
                compiler_fence(SeqCst);
                ready",
            "                if !WITHOUT { self.state.store(BUSY, Relaxed); }
                compiler_fence(SeqCst);
                ready",
        )],
        program: STEPPER,
        arguments: &["turns", "first call", "makes one"],
        shows: "in two runs",
        possible: always,
    },
    Rule {
        name: "3: `alive` is written before the seed is drawn",
        changes: &[
            (
                "pool/page.rs",
                ".compare_exchange(found, ALIVE, Relaxed, Relaxed)
                    .is_ok()",
                ".compare_exchange(found, if WITHOUT { found } else { ALIVE }, Relaxed, Relaxed)
                    .is_ok()",
            ),
            (
                "pool/page.rs",
                "let drawn = source.draw(&mut seed);",
                "let drawn = source.draw(&mut seed);
                 if WITHOUT && keyless { self.alive.store(ALIVE, Relaxed); }",
            ),
        ],
        program: STEPPER,
        arguments: &["101", "first call", "forks inside getrandom(2)"],
        shows: "twice",
        possible: always,
    },
    Rule {
        name: "3: `alive`, not the key, says whether there is a key",
        changes: &[(
            "pool/page.rs",
            "let keyless = found != ALIVE;",
            "let keyless = if WITHOUT { *key == Key::default() } else { found != ALIVE };",
        )],
        program: STEPPER,
        arguments: &["turns", "refill", "forks"],
        shows: "twice",
        possible: always,
    },
    Rule {
        name: "3: the slots of a key that is gone are cleared",
        changes: &[(
            "pool/page.rs",
            "            slots.fill(Block::default());\n        }\n        if drawn",
            "            if !WITHOUT { slots.fill(Block::default()); }\n        }\n        if drawn",
        )],
        program: STEPPER,
        arguments: &["97", "refill", "forks"],
        shows: "twice",
        possible: always,
    },
    Rule {
        name: "3: `alive` is asked after a refill",
        changes: &[
            (
                "pool.rs",
                "            if page.is_alive() {\n",
                "            if WITHOUT || page.is_alive() {\n",
            ),
            (
                "pool.rs",
                "        if !page.is_wiped() {\n",
                "        if WITHOUT || !page.is_wiped() {\n",
            ),
        ],
        program: STEPPER,
        arguments: &["499", "refill", "forks"],
        shows: MORE_IN_BOTH,
        possible: always,
    },
    Rule {
        name: "3: a fork between two blocks of a request begins it anew",
        changes: &[(
            "pool.rs",
            "if was_wiped && done != 0 {",
            "if !WITHOUT && was_wiped && done != 0 {",
        )],
        program: STEPPER,
        arguments: &["turns", "bulk over two seeds", "forks"],
        shows: "values in both",
        possible: always,
    },
    Rule {
        name: "3: `alive` is taken back where no seed was drawn",
        changes: &[(
            "pool/page.rs",
            "                self.alive.store(WIPED, Relaxed);\n                return",
            "                if !WITHOUT { self.alive.store(WIPED, Relaxed); }\n                return",
        )],
        program: "faults",
        arguments: &["2"],
        shows: "not as the model says",
        possible: always,
    },
    Rule {
        name: "4: a slot is zeroed as it is handed out",
        changes: &[(
            "pool.rs",
            "        *slot = Block::default();",
            "        if !WITHOUT { *slot = Block::default(); }",
        )],
        program: STEPPER,
        arguments: &["0", "fast", "makes one"],
        shows: "twice",
        possible: always,
    },
    Rule {
        name: "4: so are those of a request",
        changes: &[(
            "pool/page.rs",
            "        *slot = Block::default();",
            "        if !WITHOUT { *slot = Block::default(); }",
        )],
        program: STEPPER,
        arguments: &["1", "bulk from slots", "makes seven at once"],
        shows: "twice",
        possible: always,
    },
    Rule {
        name: "5: a slot that is zero was handed out",
        changes: &[("pool.rs", "if bits == 0 {", "if !WITHOUT && bits == 0 {")],
        program: STEPPER,
        arguments: &["0", "fast", "makes one"],
        shows: "is not random",
        possible: always,
    },
    Rule {
        name: "5: so is one of a request",
        changes: &[(
            "pool.rs",
            "if !page::move_out(slot, to) {",
            "if !page::move_out(slot, to) && !WITHOUT {",
        )],
        program: STEPPER,
        arguments: &["1", "bulk from slots", "makes one"],
        shows: "is not random",
        possible: always,
    },
    Rule {
        name: "5: `alive` is asked after the slot was copied",
        changes: &[(
            "pool.rs",
            "        if !page.is_alive() {",
            "        if !WITHOUT && !page.is_alive() {",
        )],
        program: STEPPER,
        arguments: &["0", "fast", "forks"],
        shows: MORE_IN_BOTH,
        possible: always,
    },
    Rule {
        name: "6: the claim ends after `alive` was asked",
        changes: &[(
            "pool.rs",
            "let bits = u128::from_ne_bytes(*slot);\n        // Not written",
            "let bits = u128::from_ne_bytes(*slot);
             if WITHOUT { self.state.store(last, Relaxed); compiler_fence(SeqCst); }
             // Not written",
        )],
        program: STEPPER,
        arguments: &["0", "fast", "forks, makes all in both"],
        shows: MORE_IN_BOTH,
        possible: always,
    },
    Rule {
        name: "no thread-local with a destructor",
        changes: &[(
            "pool.rs",
            "let page = PAGES.lend(self.borrower)?;",
            "let page = PAGES.lend(self.borrower)?;
             struct Registered;
             impl Drop for Registered { fn drop(&mut self) {} }
             std::thread_local! { static ONCE: Registered = const { Registered }; }
             if WITHOUT { ONCE.with(|_| ()); }",
        )],
        program: STEPPER,
        arguments: &["7", "malloc", "makes one"],
        shows: "hung",
        possible: always,
    },
    Rule {
        name: "what a thread has is lent anew when the thread is gone",
        changes: &[(
            "wipe.rs",
            "if Loan(found).is_over(caller, is_borrowing)",
            "if !WITHOUT && Loan(found).is_over(caller, is_borrowing)",
        )],
        program: MEMORY,
        arguments: &["threads"],
        shows: "before the threads",
        possible: always,
    },
    Rule {
        name: "a key is replaced by the block that it makes first",
        changes: &[(
            "drbg.rs",
            "    stream(Backend::best(), key, nonce, form, dest);",
            "    let mut next = *key;
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
            "sys/linux.rs",
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
            "source/vdso.rs",
            "if lent.busy.get() {",
            "if !WITHOUT && lent.busy.get() {",
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
                "pool.rs",
                "        shape(dest);\n        compiler_fence(SeqCst);\n        if ",
                "        if !WITHOUT { shape(dest); }\n        compiler_fence(SeqCst);\n        if ",
            ),
            (
                "pool.rs",
                "            return Ok(());\n        }\n    }\n}",
                "            if WITHOUT { shape(dest); }\n            return Ok(());\n        }\n    }\n}",
            ),
        ],
        program: STEPPER,
        arguments: &["97", "bulk of version 7", "forks"],
        shows: MORE_IN_BOTH,
        possible: always,
    },
    Rule {
        name: "version 1: the clock sequence is asked again after the count",
        changes: &[(
            "clock/gregorian.rs",
            "if self.is_still(CLOCK_SEQUENCE, sequence) {",
            "if WITHOUT || self.is_still(CLOCK_SEQUENCE, sequence) {",
        )],
        program: STEPPER,
        arguments: &["1", "version 1", "forks"],
        shows: MORE_IN_BOTH,
        possible: always,
    },
    Rule {
        name: "version 1: a drawing claims its word first",
        changes: &[(
            "clock/gregorian.rs",
            "            if claim == 0 {",
            "            if !WITHOUT && claim == 0 {",
        )],
        program: STEPPER,
        arguments: &["1", "first version 1 after others", "forks"],
        shows: MORE_IN_BOTH,
        possible: always,
    },
    // Last, because it changes what the others look for.
    Rule {
        name: "2: the claim is not wiped",
        changes: &[
            ("pool.rs", "self.state.", "self.state()."),
            (
                "pool.rs",
                "    pub(crate) const fn new() -> Self {",
                "    fn state(&self) -> &AtomicUsize {
                     match self.page.get() {
                         Some(page) if WITHOUT => &page.state,
                         _ => &self.state,
                     }
                 }
                 pub(crate) const fn new() -> Self {",
            ),
            (
                "pool.rs",
                "self.page.set(Some(page));",
                "page.state.store(BUSY, Relaxed);
                 self.page.set(Some(page));",
            ),
            (
                "pool/page.rs",
                "    age: AtomicU64,",
                "    age: AtomicU64,
                 pub(super) state: core::sync::atomic::AtomicUsize,",
            ),
        ],
        program: STEPPER,
        arguments: &["0", "fast", "forks, and in the child one is made"],
        shows: MORE_IN_BOTH,
        possible: always,
    },
];
