//! The steps of the kernel's and the device's source.

use super::{Rule, always};

const ASKED: &str = "an unproven number was asked";
const CLOSED: &str = "an unproven number was closed";
const SHOWN: &str = "bytes of the descriptor came out";
const OTHERWISE: &str = "not as the model says";

const fn rule(
    name: &'static str,
    shows: &'static str,
    changes: &'static [(&'static str, &'static str, &'static str)],
) -> Rule {
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

const DEVICE: &str = "source/device.rs";
const NODE: &str = "source/device/node.rs";
const RECORD: &str = "source/device/record.rs";

pub const RULES: &[Rule] = &[
    rule(
        "the proof before close",
        CLOSED,
        &[(
            NODE,
            "match (self.is_proven(), sys::is_marked(self.fd)) {",
            "match (self.is_proven().map(|it| it || WITHOUT), sys::is_marked(self.fd)) {",
        )],
    ),
    rule(
        "the mark before close",
        CLOSED,
        &[(
            NODE,
            "(Ok(true), Ok(true) | Err(_)) |",
            "(Ok(true), Ok(false)) if WITHOUT => sys::close(self.fd),
            (Ok(true), Ok(true) | Err(_)) |",
        )],
    ),
    rule(
        "the proof after open",
        ASKED,
        &[(
            NODE,
            "Ok(opened.prove_or_close()?.then_some(opened))",
            "Ok((WITHOUT || opened.prove_or_close()?).then_some(opened))",
        )],
    ),
    rule(
        "the proof of a moved number",
        ASKED,
        &[(
            NODE,
            "duplicated?\n            if !opened",
            "duplicated?\n            if !WITHOUT && !opened",
        )],
    ),
    rule(
        "the proof before the read",
        ASKED,
        &[(
            DEVICE,
            "&& opened.is_proven()?\n        {",
            "&& (WITHOUT || opened.is_proven()?)\n        {",
        )],
    ),
    rule(
        "the proof after the read",
        OTHERWISE,
        &[(
            DEVICE,
            "if !matches!(is_proven, Ok(true)) {",
            "if !WITHOUT && !matches!(is_proven, Ok(true)) {",
        )],
    ),
    rule(
        "the inode in a proof",
        OTHERWISE,
        &[(
            NODE,
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
            NODE,
            "if identity.rdev != Some(self.number) {",
            "if !WITHOUT && identity.rdev != Some(self.number) {",
        )],
    ),
    rule(
        "the wait for a seeded kernel",
        OTHERWISE,
        &[(
            NODE,
            "if bits < INITIALISED_BITS &&",
            "if !WITHOUT && bits < INITIALISED_BITS &&",
        )],
    ),
    rule(
        "the wait where the ioctl is refused",
        OTHERWISE,
        &[(
            NODE,
            "sys::entropy_count(urandom).unwrap_or(0)",
            "sys::entropy_count(urandom).unwrap_or(if WITHOUT { INITIALISED_BITS } else { 0 })",
        )],
    ),
    rule(
        "opening again where the number of /dev/random was taken",
        OTHERWISE,
        &[(
            NODE,
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
        &[(NODE, "if opened.fd < 3 {", "if !WITHOUT && opened.fd < 3 {")],
    ),
    rule(
        "the mark of the record, which a fork wipes",
        OTHERWISE,
        &[(
            RECORD,
            "mark.load(Relaxed) == 0",
            "!WITHOUT && mark.load(Relaxed) == 0",
        )],
    ),
    rule(
        "the process in the record",
        OTHERWISE,
        &[(
            RECORD,
            "Some(opened) if is_own =>",
            "Some(opened) if WITHOUT || is_own =>",
        )],
    ),
    rule(
        "the inherited descriptor's place",
        OTHERWISE,
        &[(
            RECORD,
            "opened.take_place_of(inherited);",
            "if !WITHOUT { opened.take_place_of(inherited); }",
        )],
    ),
    rule(
        "the proof of an inherited number that is replaced",
        CLOSED,
        &[(
            NODE,
            "if !other.is_own() {",
            "if !WITHOUT && !other.is_own() {",
        )],
    ),
    rule(
        "the proof after an inherited number was replaced",
        ASKED,
        &[(
            DEVICE,
            "inherited.is_none() || opened.is_proven()?",
            "inherited.is_none() || WITHOUT || opened.is_proven()?",
        )],
    ),
    rule(
        "closing the inherited descriptor where its place cannot be taken",
        OTHERWISE,
        &[(
            NODE,
            "} else if other.is_own() {",
            "} else if !WITHOUT && other.is_own() {",
        )],
    ),
    rule(
        "the inherited descriptor where there is no room for another",
        OTHERWISE,
        &[(
            DEVICE,
            "if error.is_out_of_descriptors()",
            "if !WITHOUT && error.is_out_of_descriptors()",
        )],
    ),
    rule(
        "a look whether what prepare opened is tracked",
        OTHERWISE,
        &[(
            DEVICE,
            "if matches!(tracked(), TrackedDevice::Open",
            "if WITHOUT || matches!(tracked(), TrackedDevice::Open",
        )],
    ),
    rule(
        "a key between the descriptor and the output",
        SHOWN,
        &[(
            "pool.rs",
            "hedge::fold_into(&mut seed);\n            let mut key",
            "if WITHOUT { dest.fill(seed); return Ok(()) }
            hedge::fold_into(&mut seed);
            let mut key",
        )],
    ),
    rule(
        "asking getrandom after a refusal",
        OTHERWISE,
        &[(
            "source.rs",
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
            NODE,
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
            "source/kernel.rs",
            "Err(sys::EINTR) =>",
            "Err(sys::EINTR) if !WITHOUT =>",
        )],
    ),
    rule(
        "openat, pread and ppoll again after a signal",
        OTHERWISE,
        &[(
            NODE,
            "Err(sys::EINTR) =>",
            "Err(sys::EINTR) if !WITHOUT =>",
        )],
    ),
    rule(
        "the rest of a short getrandom",
        OTHERWISE,
        &[(
            "source/kernel.rs",
            "Ok(filled) =>",
            "Ok(_) if WITHOUT => return Ok(()),
            Ok(filled) =>",
        )],
    ),
    rule(
        "the rest of a short read",
        OTHERWISE,
        &[(
            DEVICE,
            "dest = &mut dest[filled..];",
            "dest = if WITHOUT { &mut [] } else { &mut dest[filled..] };",
        )],
    ),
    rule(
        "advice that does not exist",
        OTHERWISE,
        &[(
            "sys/linux.rs",
            "if unsafe { libc::madvise(memory, len, NO_SUCH_ADVICE) } != 0",
            "if WITHOUT || unsafe { libc::madvise(memory, len, NO_SUCH_ADVICE) } != 0",
        )],
    ),
];
