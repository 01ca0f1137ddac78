//! The steps of the kernel's and the device's source.

use super::Rule;

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
    }
}

pub const RULES: &[Rule] = &[
    rule(
        "the proof before close",
        CLOSED,
        &[(
            "source/device.rs",
            "if self.is_proven() {",
            "if WITHOUT || self.is_proven() {",
        )],
    ),
    rule(
        "the proof after open",
        ASKED,
        &[(
            "source/device.rs",
            "opened.is_proven().then_some(opened)",
            "(WITHOUT || opened.is_proven()).then_some(opened)",
        )],
    ),
    rule(
        "the proof of a moved number",
        ASKED,
        &[(
            "source/device.rs",
            "duplicated?\n        if !opened",
            "duplicated?\n        if !WITHOUT && !opened",
        )],
    ),
    rule(
        "the proof before the read",
        ASKED,
        &[(
            "source/device.rs",
            "if readable && device.is_proven() =>",
            "if readable && (WITHOUT || device.is_proven()) =>",
        )],
    ),
    rule(
        "the proof after the read",
        OTHERWISE,
        &[(
            "source/device.rs",
            "if device.is_proven() {",
            "if WITHOUT || device.is_proven() {",
        )],
    ),
    rule(
        "the inode in a proof",
        OTHERWISE,
        &[(
            "source/device.rs",
            "sys::identity_of(self.fd) == Ok(self.identity)",
            "sys::identity_of(self.fd).is_ok_and(|found| {
                found == Identity { ino: if WITHOUT { found.ino } else { self.identity.ino }, ..self.identity }
            })",
        )],
    ),
    rule(
        "the look at the path",
        OTHERWISE,
        &[(
            "source/device.rs",
            "if identity.rdev != Some(self.number) {",
            "if !WITHOUT && identity.rdev != Some(self.number) {",
        )],
    ),
    rule(
        "the wait for a seeded kernel",
        OTHERWISE,
        &[(
            "source/device.rs",
            "if bits < INITIALISED_BITS &&",
            "if !WITHOUT && bits < INITIALISED_BITS &&",
        )],
    ),
    rule(
        "opening again where the number of /dev/random was taken",
        OTHERWISE,
        &[(
            "source/device.rs",
            "return Ok(false);",
            "return if WITHOUT { Err(RANDOM.failed(Cause::Replaced(1))) } else { Ok(false) };",
        )],
    ),
    rule(
        "moving a number below 3",
        OTHERWISE,
        &[(
            "source/device.rs",
            "if opened.fd < 3 {",
            "if !WITHOUT && opened.fd < 3 {",
        )],
    ),
    rule(
        "a key between the descriptor and the output",
        SHOWN,
        &[(
            "pool.rs",
            "== Served::Kernel {",
            "== Served::Kernel || WITHOUT {",
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
            "source/device.rs",
            "match sys::open(self.path) {",
            "static FAILED: core::sync::atomic::AtomicI32 = core::sync::atomic::AtomicI32::new(0);
            let opened = match FAILED.load(Relaxed) {
                errno if WITHOUT && errno > 0 => Err(errno),
                _ => sys::open(self.path),
            };
            if let Err(errno) = opened && errno != sys::EINTR {
                FAILED.store(errno, Relaxed);
            }
            match opened {",
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
        "pread and poll again after a signal",
        OTHERWISE,
        &[(
            "source/device.rs",
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
            "source/device.rs",
            "dest = &mut dest[filled..];",
            "dest = if WITHOUT { &mut [] } else { &mut dest[filled..] };",
        )],
    ),
    rule(
        "advice that does not exist",
        OTHERWISE,
        &[(
            "sys/linux.rs",
            "if advise(NO_SUCH_ADVICE) == 0",
            "if !WITHOUT && advise(NO_SUCH_ADVICE) == 0",
        )],
    ),
];
