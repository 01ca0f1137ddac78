//! The steps of the kernel's and the device's source.

use super::{Rule, always};
use crate::guest::Change;

const ASKED: &str = "an unproven number was asked";
const CLOSED: &str = "an unproven number was closed";
const SHOWN: &str = "bytes of the descriptor came out";
const OTHERWISE: &str = "not as the model says";

const fn rule(name: &'static str, shows: &'static str, changes: &'static [Change]) -> Rule {
    Rule {
        name,
        changes,
        program: "faults",
        // At most so many at once.
        arguments: &["2"],
        shows,
        possible: always,
    }
}

pub const RULES: &[Rule] = &[
    rule(
        "the proof before close",
        CLOSED,
        &[(
            "prove-before-close",
            "match (self.is_proven(), sys::is_marked(self.fd)) {",
            "match (self.is_proven().map(|it| it || WITHOUT), sys::is_marked(self.fd)) {",
        )],
    ),
    rule(
        "the mark before close",
        CLOSED,
        &[(
            "prove-before-close",
            "(Ok(true), Ok(true) | Err(_)) |",
            "(Ok(true), Ok(false)) if WITHOUT => sys::close(self.fd),
            (Ok(true), Ok(true) | Err(_)) |",
        )],
    ),
    rule(
        "the proof after open",
        ASKED,
        &[(
            "prove-opened",
            "Ok(opened.prove_or_close()?.then_some(opened))",
            "Ok((WITHOUT || opened.prove_or_close()?).then_some(opened))",
        )],
    ),
    rule(
        "the proof of a moved number",
        ASKED,
        &[(
            "prove-moved",
            "!opened",
            "!WITHOUT && !opened",
        )],
    ),
    rule(
        "the proof before the read",
        ASKED,
        &[(
            "prove-before-read",
            "opened.is_proven()?",
            "(WITHOUT || opened.is_proven()?)",
        )],
    ),
    rule(
        "the proof after the read",
        OTHERWISE,
        &[(
            "prove-after-read",
            "!matches!",
            "!WITHOUT && !matches!",
        )],
    ),
    rule(
        "the inode in a proof",
        OTHERWISE,
        &[(
            "inode",
            "Ok(found) => Ok(found == self.identity),",
            "Ok(found) => Ok(found == Identity {
                ino: if WITHOUT { found.ino } else { self.identity.ino },
                ..self.identity
            }),",
        )],
    ),
    rule(
        "the look at the path",
        OTHERWISE,
        &[(
            "look-first",
            "identity.rdev != ",
            "!WITHOUT && identity.rdev != ",
        )],
    ),
    rule(
        "the wait for a seeded kernel",
        OTHERWISE,
        &[(
            "wait-initialised",
            "bits < INITIALISED_BITS &&",
            "!WITHOUT && bits < INITIALISED_BITS &&",
        )],
    ),
    rule(
        "the wait where the ioctl is refused",
        OTHERWISE,
        &[(
            "wait-initialised",
            "sys::entropy_count(urandom).unwrap_or(0)",
            "sys::entropy_count(urandom).unwrap_or(if WITHOUT { INITIALISED_BITS } else { 0 })",
        )],
    ),
    rule(
        "opening again where the number of /dev/random was taken",
        OTHERWISE,
        &[(
            "wait-initialised",
            "return Ok(false);",
            "return if WITHOUT {
                Err(RANDOM.failed(Call::Ppoll, Cause::Replaced(1)))
            } else {
                Ok(false)
            };",
        )],
    ),
    rule(
        "moving a number below 3",
        OTHERWISE,
        &[("above-stdio", "opened.fd < 3", "!WITHOUT && opened.fd < 3")],
    ),
    rule(
        "the mark of the record, which a fork wipes",
        OTHERWISE,
        &[(
            "mark-tells",
            "mark.load(Relaxed) == 0",
            "!WITHOUT && mark.load(Relaxed) == 0",
        )],
    ),
    rule(
        "the process in the record",
        OTHERWISE,
        &[(
            "process-tells",
            "if is_own",
            "if WITHOUT || is_own",
        )],
    ),
    rule(
        "the inherited descriptor's place",
        OTHERWISE,
        &[(
            "take-place",
            "opened.take_place_of(inherited);",
            "if !WITHOUT { opened.take_place_of(inherited); }",
        )],
    ),
    rule(
        "the proof of an inherited number that is replaced",
        CLOSED,
        &[(
            "prove-before-replace",
            "!other.is_own()",
            "!WITHOUT && !other.is_own()",
        )],
    ),
    rule(
        "the proof after an inherited number was replaced",
        ASKED,
        &[(
            "prove-in-its-place",
            "opened.is_proven()?",
            "WITHOUT || opened.is_proven()?",
        )],
    ),
    rule(
        "closing the inherited descriptor where its place cannot be taken",
        OTHERWISE,
        &[(
            "prove-before-replace",
            "else if other",
            "else if !WITHOUT && other",
        )],
    ),
    rule(
        "the inherited descriptor where there is no room for another",
        OTHERWISE,
        &[(
            "keep-inherited",
            "error.is_out_of_descriptors()",
            "!WITHOUT && error.is_out_of_descriptors()",
        )],
    ),
    rule(
        "a look whether what prepare opened is tracked",
        OTHERWISE,
        &[(
            "look-at-prepared",
            "matches!",
            "WITHOUT || matches!",
        )],
    ),
    rule(
        "a key between the descriptor and the output",
        SHOWN,
        &[(
            "key-only",
            "hedge::",
            "if WITHOUT { dest.fill(seed); return Ok(()) }
            hedge::",
        )],
    ),
    rule(
        "asking getrandom after a refusal",
        OTHERWISE,
        &[(
            "kernel-first",
            "Source::System => match Kernel.fill(dest) {",
            "Source::System if WITHOUT && last_served() == Some(Served::Device) => {
                return Device.fill(dest).map(|()| Served::Device);
            }
            Source::System => match Kernel.fill(dest) {",
        )],
    ),
    rule(
        "opening after a failure to open",
        OTHERWISE,
        &[(
            "open-again",
            "retried(|| sys::open(self.path))",
            "retried(|| {
                static FAILED: core::sync::atomic::AtomicI32 = core::sync::atomic::AtomicI32::new(0);
                let opened = match FAILED.load(Relaxed) {
                    errno if WITHOUT && errno > 0 => Err(errno),
                    _ => sys::open(self.path),
                };
                if let Err(errno) = opened && errno != sys::EINTR {
                    FAILED.store(errno, Relaxed);
                }
                opened
            })",
        )],
    ),
    rule(
        "getrandom again after a signal",
        OTHERWISE,
        &[(
            "after-signal",
            "Err(sys::EINTR) =>",
            "Err(sys::EINTR) if !WITHOUT =>",
        )],
    ),
    rule(
        "openat, pread and ppoll again after a signal",
        OTHERWISE,
        &[(
            "after-signal-too",
            "Err(sys::EINTR) =>",
            "Err(sys::EINTR) if !WITHOUT =>",
        )],
    ),
    rule(
        "the rest of a short getrandom",
        OTHERWISE,
        &[(
            "rest-of-answer",
            "Ok(filled) =>",
            "Ok(_) if WITHOUT => return Ok(()),
            Ok(filled) =>",
        )],
    ),
    rule(
        "the rest of a short read",
        OTHERWISE,
        &[(
            "rest-of-read",
            "dest = &mut dest[filled..];",
            "dest = if WITHOUT { &mut [] } else { &mut dest[filled..] };",
        )],
    ),
    rule(
        "advice that does not exist",
        OTHERWISE,
        &[(
            "refuse-nonsense",
            "if unsafe { libc::madvise(memory, len, NO_SUCH_ADVICE) } != 0",
            "if WITHOUT || unsafe { libc::madvise(memory, len, NO_SUCH_ADVICE) } != 0",
        )],
    ),
];
