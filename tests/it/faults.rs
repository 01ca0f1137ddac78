//! Each system call fails in each way, in combination, and the calls that are
//! made are those of a model; see the program `faults` of `tests/guest`.

use std::process::{Command, Output};

use crate::guest::{self, on_x86_64};

crate::scenarios![
    at_each_combination_of_faults_the_calls_are_the_models {
        possible: on_x86_64,
        seconds: 600
    },
    without_any_one_step_the_calls_are_not_the_models {
        possible: on_x86_64,
        seconds: 600
    },
];

/// At most so many faults at once; all combinations take minutes.
const FAULTS: &str = "3";
const FAULTS_OF_A_CONTROL: &str = "2";

fn at_each_combination_of_faults_the_calls_are_the_models() {
    guest::assert_passes("faults", &[FAULTS]);
}

const ASKED: &str = "an unproven number was asked";
const CLOSED: &str = "an unproven number was closed";
const SHOWN: &str = "bytes of the descriptor came out";
const OTHERWISE: &str = "not as the model says";

/// A step of the crate: what is seen without it, and the change that leaves it
/// out: in this file, that text becomes this one, where `WITHOUT` is true.
struct Control {
    step: &'static str,
    seen: &'static str,
    change: [&'static str; 3],
}

const fn control(step: &'static str, seen: &'static str, change: [&'static str; 3]) -> Control {
    Control { step, seen, change }
}

const CONTROLS: &[Control] = &[
    control(
        "the proof before close",
        CLOSED,
        [
            "source/device.rs",
            "if self.is_proven() {",
            "if WITHOUT || self.is_proven() {",
        ],
    ),
    control(
        "the proof after open",
        ASKED,
        [
            "source/device.rs",
            "opened.is_proven().then_some(opened)",
            "(WITHOUT || opened.is_proven()).then_some(opened)",
        ],
    ),
    control(
        "the proof of a moved number",
        ASKED,
        [
            "source/device.rs",
            "duplicated?\n        if !opened",
            "duplicated?\n        if !WITHOUT && !opened",
        ],
    ),
    control(
        "the proof before the read",
        ASKED,
        [
            "source/device.rs",
            "if device.is_proven() =>",
            "if WITHOUT || device.is_proven() =>",
        ],
    ),
    control(
        "the proof after the read",
        OTHERWISE,
        [
            "source/device.rs",
            "if device.is_proven() {",
            "if WITHOUT || device.is_proven() {",
        ],
    ),
    control(
        "the inode in a proof",
        OTHERWISE,
        [
            "source/device.rs",
            "sys::identity_of(self.fd) == Ok(self.identity)",
            "sys::identity_of(self.fd).is_ok_and(|found| {
                found == Identity { ino: if WITHOUT { found.ino } else { self.identity.ino }, ..self.identity }
            })",
        ],
    ),
    control(
        "the look at the path",
        OTHERWISE,
        [
            "source/device.rs",
            "if identity.rdev != Some(self.number) {",
            "if !WITHOUT && identity.rdev != Some(self.number) {",
        ],
    ),
    control(
        "the wait for a seeded kernel",
        OTHERWISE,
        [
            "source/device.rs",
            "if bits < INITIALISED_BITS &&",
            "if !WITHOUT && bits < INITIALISED_BITS &&",
        ],
    ),
    control(
        "opening again where the number of /dev/random was taken",
        OTHERWISE,
        [
            "source/device.rs",
            "return Ok(false);",
            "return if WITHOUT { Err(RANDOM.failed(Cause::Replaced(1))) } else { Ok(false) };",
        ],
    ),
    control(
        "moving a number below 3",
        OTHERWISE,
        [
            "source/device.rs",
            "if opened.fd < 3 {",
            "if !WITHOUT && opened.fd < 3 {",
        ],
    ),
    control(
        "a key between the descriptor and the output",
        SHOWN,
        [
            "pool.rs",
            "== Served::Kernel {",
            "== Served::Kernel || WITHOUT {",
        ],
    ),
    control(
        "asking getrandom after a refusal",
        OTHERWISE,
        [
            "source.rs",
            "Source::System => match Kernel.fill(dest) {",
            "Source::System if WITHOUT && last_served() == Some(Served::Device) => {
                return Device.fill(dest).map(|()| Served::Device);
            }
            Source::System => match Kernel.fill(dest) {",
        ],
    ),
    control(
        "opening after a failure to open",
        OTHERWISE,
        [
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
        ],
    ),
    control(
        "getrandom again after a signal",
        OTHERWISE,
        [
            "source/kernel.rs",
            "Err(sys::EINTR) =>",
            "Err(sys::EINTR) if !WITHOUT =>",
        ],
    ),
    control(
        "pread and poll again after a signal",
        OTHERWISE,
        [
            "source/device.rs",
            "Err(sys::EINTR) =>",
            "Err(sys::EINTR) if !WITHOUT =>",
        ],
    ),
    control(
        "the rest of a short getrandom",
        OTHERWISE,
        [
            "source/kernel.rs",
            "Ok(filled) =>",
            "Ok(_) if WITHOUT => return Ok(()),
            Ok(filled) =>",
        ],
    ),
    control(
        "the rest of a short read",
        OTHERWISE,
        [
            "source/device.rs",
            "dest = &mut dest[filled..];",
            "dest = if WITHOUT { &mut [] } else { &mut dest[filled..] };",
        ],
    ),
    control(
        "advice that does not exist",
        OTHERWISE,
        [
            "sys/linux.rs",
            "if advise(NO_SUCH_ADVICE) == 0",
            "if !WITHOUT && advise(NO_SUCH_ADVICE) == 0",
        ],
    ),
];

/// Which step is left out is said in the environment, so that all are built at
/// once.
const WITHOUT: &str = "FORK_SAFE_UUID_WITHOUT";

fn without_any_one_step_the_calls_are_not_the_models() {
    let asks = (
        "sys.rs",
        "mod linux;".to_owned(),
        format!(
            "pub(crate) fn is_without(step: &str) -> bool {{
                std::env::var_os({WITHOUT:?}).is_some_and(|name| name == step)
            }}
            mod linux;"
        ),
    );
    let mut changes = vec![asks];
    for Control { step, change, .. } in CONTROLS {
        let [file, from, to] = *change;
        let asked = format!("crate::sys::is_without({step:?})");
        changes.push((file, from.to_owned(), to.replace("WITHOUT", &asked)));
    }
    let program = guest::build_changed("faults", &changes);
    let run = |step: &str| -> Output {
        let mut command = Command::new(&program);
        let command = command.arg(FAULTS_OF_A_CONTROL).env(WITHOUT, step);
        command.output().expect("the guest")
    };

    let whole = run("nothing");
    assert!(whole.status.success(), "{}", guest::text(&whole));
    for Control { step, seen, .. } in CONTROLS {
        let output = run(step);
        let text = guest::text(&output);
        assert_eq!(
            output.status.code(),
            Some(1),
            "nothing was seen without {step}: {text}"
        );
        assert!(text.contains(seen), "without {step}: {text}");
    }
}
