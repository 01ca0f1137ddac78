//! The rules of the kernel's and the device's source.

use super::Shows::{self, Finds};
use super::{FAULTS, Rule, always};
use crate::guest::Change;

const ASKED: Shows = Finds("unproven_asked");
const CLOSED: Shows = Finds("unproven_closed");
const SHOWN: Shows = Finds("shown");
const OTHERWISE: Shows = Finds("unlike_model");

const fn rule(name: &'static str, shows: Shows, changes: &'static [Change]) -> Rule {
    Rule {
        name,
        changes,
        program: FAULTS,
        // It tries the combinations of at most two faults.
        arguments: &["2"],
        shows,
        possible: always,
    }
}

pub const RULES: &[Rule] = &[
    rule(
        "a number is proven before it is closed",
        CLOSED,
        &[(
            "prove-before-close",
            "match (self.is_proven(), sys::is_marked(self.fd)) {",
            "match (self.is_proven().map(|it| it || WITHOUT), sys::is_marked(self.fd)) {",
        )],
    ),
    rule(
        "a descriptor without the crate's mark is not closed",
        CLOSED,
        &[(
            "prove-before-close",
            "(Ok(true), Ok(true) | Err(_)) |",
            "(Ok(true), Ok(false)) if WITHOUT => sys::close(self.fd),
            (Ok(true), Ok(true) | Err(_)) |",
        )],
    ),
    rule(
        "a number is proven after it was opened",
        ASKED,
        &[(
            "prove-opened",
            "Ok(opened.prove_or_close()?.then_some(opened))",
            "Ok((WITHOUT || opened.prove_or_close()?).then_some(opened))",
        )],
    ),
    rule(
        "a moved number is proven",
        ASKED,
        &[(
            "prove-moved",
            "!opened",
            "!WITHOUT && !opened",
        )],
    ),
    rule(
        "a number is proven before it is read",
        ASKED,
        &[(
            "prove-before-read",
            "opened.is_proven()?",
            "(WITHOUT || opened.is_proven()?)",
        )],
    ),
    rule(
        "a number is proven after it was read",
        OTHERWISE,
        &[(
            "prove-after-read",
            "!matches!",
            "!WITHOUT && !matches!",
        )],
    ),
    rule(
        "a proof compares the inode",
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
        "the path is looked at before it is opened",
        OTHERWISE,
        &[(
            "look-first",
            "identity.rdev != ",
            "!WITHOUT && identity.rdev != ",
        )],
    ),
    rule(
        "a read waits for a kernel that is initialised",
        OTHERWISE,
        &[(
            "wait-initialised",
            "bits < INITIALISED_BITS &&",
            "!WITHOUT && bits < INITIALISED_BITS &&",
        )],
    ),
    rule(
        "a read also waits if the entropy count is refused",
        OTHERWISE,
        &[(
            "wait-initialised",
            "sys::entropy_count(urandom).unwrap_or(0)",
            "sys::entropy_count(urandom).unwrap_or(if WITHOUT { INITIALISED_BITS } else { 0 })",
        )],
    ),
    rule(
        "the device is opened again if the number of /dev/random was taken",
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
        "a number below 3 is moved",
        OTHERWISE,
        &[("above-stdio", "opened.fd < 3", "!WITHOUT && opened.fd < 3")],
    ),
    rule(
        "a record whose mark was wiped by a fork is not used",
        OTHERWISE,
        &[(
            "mark-tells",
            "mark.load(Relaxed) == 0",
            "!WITHOUT && mark.load(Relaxed) == 0",
        )],
    ),
    rule(
        "a record of another process is not used",
        OTHERWISE,
        &[(
            "process-tells",
            "if is_own",
            "if WITHOUT || is_own",
        )],
    ),
    rule(
        "a new descriptor takes the place of the inherited one",
        OTHERWISE,
        &[(
            "take-place",
            "opened.take_place_of(inherited);",
            "if !WITHOUT { opened.take_place_of(inherited); }",
        )],
    ),
    rule(
        "an inherited number is proven before it is replaced",
        CLOSED,
        &[(
            "prove-before-replace",
            "!other.is_own()",
            "!WITHOUT && !other.is_own()",
        )],
    ),
    rule(
        "an inherited number is proven after it was replaced",
        ASKED,
        &[(
            "prove-in-its-place",
            "opened.is_proven()?",
            "WITHOUT || opened.is_proven()?",
        )],
    ),
    rule(
        "the inherited descriptor is closed if its place cannot be taken",
        OTHERWISE,
        &[(
            "prove-before-replace",
            "else if other",
            "else if !WITHOUT && other",
        )],
    ),
    rule(
        "the inherited descriptor is used if there is no room for another",
        OTHERWISE,
        &[(
            "keep-inherited",
            "error.is_out_of_descriptors()",
            "!WITHOUT && error.is_out_of_descriptors()",
        )],
    ),
    rule(
        "prepare succeeds only if it leaves a tracked descriptor",
        OTHERWISE,
        &[(
            "look-at-prepared",
            "matches!",
            "WITHOUT || matches!",
        )],
    ),
    rule(
        "bytes of the descriptor are used only as a key",
        SHOWN,
        &[(
            "key-only",
            "hedge::",
            "if WITHOUT { dest.fill(seed); return Ok(()) }
            hedge::",
        )],
    ),
    rule(
        "getrandom is asked again after a refusal",
        OTHERWISE,
        &[(
            "kernel-first",
            "Source::System => match Kernel.fill(dest) {",
            "Source::System if WITHOUT && last_answered() == Some(Answered::Device) => {
                return Device.fill(dest).map(|()| Answered::Device);
            }
            Source::System => match Kernel.fill(dest) {",
        )],
    ),
    rule(
        "the device is opened again after a failure to open",
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
        "getrandom is called again after a signal",
        OTHERWISE,
        &[(
            "after-signal",
            "Err(sys::EINTR) =>",
            "Err(sys::EINTR) if !WITHOUT =>",
        )],
    ),
    rule(
        "openat, pread and ppoll are called again after a signal",
        OTHERWISE,
        &[(
            "after-signal-too",
            "Err(sys::EINTR) =>",
            "Err(sys::EINTR) if !WITHOUT =>",
        )],
    ),
    rule(
        "the rest of a short getrandom is drawn",
        OTHERWISE,
        &[(
            "rest-of-answer",
            "Ok(filled) =>",
            "Ok(_) if WITHOUT => return Ok(()),
            Ok(filled) =>",
        )],
    ),
    rule(
        "the rest of a short read is read",
        OTHERWISE,
        &[(
            "rest-of-read",
            "dest = &mut dest[filled..];",
            "dest = if WITHOUT { &mut [] } else { &mut dest[filled..] };",
        )],
    ),
    rule(
        "a kernel that accepts advice which does not exist is not believed",
        OTHERWISE,
        &[(
            "refuse-nonsense",
            "if unsafe { libc::madvise(memory, len, NO_SUCH_ADVICE) } != 0",
            "if WITHOUT || unsafe { libc::madvise(memory, len, NO_SUCH_ADVICE) } != 0",
        )],
    ),
];
