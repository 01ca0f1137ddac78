//! Tries every combination of faults, and compares what happens with a model.
//!
//! A process makes UUIDs. This program lets the kernel answer each of its system calls, or
//! answers with a fault. [`model`] says which calls the process makes in which order, and
//! what its functions return. Both must be exactly so.
//!
//! `faults [FAULTS [KEY]]`: it tries the combinations of at most FAULTS faults, and ends as soon
//! as what KEY counts has happened. What it observes must also keep some promises that do not
//! depend on the model, see [`check`]. It prints a row that counts the combinations in which
//! something was wrong.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::process::exit;

mod call;
mod child;
mod fault;
mod model;
mod tracer;
mod world;

use call::{Answer, Call, STRANGER};
use child::Report;
use model::{Model, STEPS, UUID};
use tracer::PATTERN;
use world::World;

/// What can be wrong with a combination: the keys of the row.
const WRONGS: [&str; 6] = [
    "unproven_asked",
    "unproven_closed",
    "strange_call",
    "shown",
    "not_unique",
    "unlike_model",
];

/// Returns what is wrong with a run, whether or not it is as the model says.
fn check(trace: &[(Call, Answer)], report: &Report) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    for (at, &(call, _)) in trace.iter().enumerate() {
        let before = &trace[..at];
        match call {
            Call::Pread(number, _) | Call::EntropyCount(number) | Call::Poll(number)
                if !is_proven(before, call, number) =>
            {
                wrong.push("unproven_asked");
            }
            Call::Close(number) if !is_own(before, number, true) => {
                wrong.push("unproven_closed");
            }
            Call::Replace(_, number) if !is_own(before, number, false) => {
                wrong.push("unproven_closed");
            }
            Call::Close(STRANGER) | Call::Fstat(STRANGER) | Call::Other(_) => {
                wrong.push("strange_call");
            }
            _ => {}
        }
    }
    let made = report.iter().filter(|made| made.line() == UUID);
    let uuids: Vec<_> = made.map(|made| made.uuid).collect();
    for (index, uuid) in uuids.iter().enumerate() {
        // Two of the bytes contain the version and the variant.
        if uuid.windows(5).any(|bytes| bytes == [PATTERN; 5]) {
            wrong.push("shown");
        }
        if uuid[6] >> 4 != 4 || uuid[8] >> 6 != 2 || uuids[..index].contains(uuid) {
            wrong.push("not_unique");
        }
    }
    wrong
}

/// Returns whether the last call with this number was a proof, and was in this step. A call
/// that a signal interrupted does not count, because it has read nothing.
fn is_proven(before: &[(Call, Answer)], call: Call, number: usize) -> bool {
    let interrupted = (call, Answer::Return(-i64::from(libc::EINTR)));
    let last = before
        .iter()
        .rev()
        .filter(|&&entry| entry != interrupted)
        .find(|(call, _)| match *call {
            Call::Step(_) => true,
            Call::Fstat(other)
            | Call::Move(other)
            | Call::Replace(_, other)
            | Call::EntropyCount(other)
            | Call::Poll(other)
            | Call::Pread(other, _)
            | Call::Close(other) => other == number,
            _ => false,
        });
    last == Some(&(Call::Fstat(number), Answer::Real))
}

/// Returns whether the last two calls proved that the number leads to the device and that
/// the crate opened it. The second call may have been refused if `may_be_refused`.
fn is_own(before: &[(Call, Answer)], number: usize, may_be_refused: bool) -> bool {
    let [.., proof, flags] = before else {
        return false;
    };
    let refused = Answer::Return(-i64::from(libc::EPERM));
    *proof == (Call::Fstat(number), Answer::Real)
        && (*flags == (Call::Flags(number), Answer::Real)
            || may_be_refused && *flags == (Call::Flags(number), refused))
}

/// Returns a text that shows the first difference, or `None` if there is none.
fn difference(
    expected: &(Vec<(Call, Answer)>, Vec<String>),
    trace: &[(Call, Answer)],
    lines: &[String],
) -> Option<String> {
    let mut text = String::new();
    let length = expected.0.len().max(trace.len());
    if let Some(at) = (0..length).find(|&at| expected.0.get(at) != trace.get(at)) {
        let from = at.saturating_sub(6);
        let part = |trace: &[(Call, Answer)]| {
            let end = trace.len().min(at + 3);
            format!("{:?}", &trace[from.min(end)..end])
        };
        text += &format!("\n  call {at}, expected: {}", part(&expected.0));
        text += &format!("\n  call {at}, observed: {}", part(trace));
    }
    for (step, (expected, line)) in expected.1.iter().zip(lines).enumerate() {
        if expected != line {
            text += &format!("\n  {}: expected {expected}", STEPS[step]);
            text += &format!("\n  {}: observed {line}", STEPS[step]);
        }
    }
    (!text.is_empty()).then_some(text)
}

/// Runs the current combination of `world`. Returns how many calls the model makes, what is
/// wrong, and a text that shows the first difference from the model.
fn run(
    world: &mut World,
    kernel_has_vdso: bool,
    report: &mut Report,
) -> (usize, Vec<&'static str>, Option<String>) {
    let has_vdso = world.has_vdso(kernel_has_vdso);
    let outcomes = Model::run(world, has_vdso);
    let expected = (std::mem::take(&mut world.trace), outcomes);
    let mut again = has_vdso;
    loop {
        world.restart();
        tracer::run(world, has_vdso, report);
        let mut wrong = check(&world.trace, report);
        let lines: Vec<_> = report.iter().map(child::Made::line).collect();
        let different = difference(&expected, &world.trace, &lines);
        // The kernel renews its key once a minute. If it does so during a call of the vDSO,
        // the vDSO draws a second key, which the model does not know.
        if different.is_some() && std::mem::take(&mut again) {
            continue;
        }
        wrong.extend(different.is_some().then_some("unlike_model"));
        return (expected.0.len(), wrong, different);
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let most = arguments
        .next()
        .map_or(usize::MAX, |most| most.parse().expect("a number"));
    let key = arguments.next();
    tracer::keep_to_one_processor();
    let report = child::shared_report();
    let kernel_has_vdso = kernel_has_vdso();
    let mut world = World::default();
    let (mut combinations, mut calls) = (0, 0);
    let mut wrong = BTreeMap::from(WRONGS.map(|key| (key, 0)));
    loop {
        let (made, found, different) = run(&mut world, kernel_has_vdso, report);
        if combinations % 100 == 0 {
            eprintln!("{combinations} combinations");
        }
        combinations += 1;
        calls += made;
        if let Some(text) = different
            && wrong.values().sum::<u64>() < 5
        {
            println!("[{}]{text}", world.describe());
        }
        for what in found {
            *wrong.get_mut(what).expect("a key") += 1;
        }
        let is_found = key.as_deref().is_some_and(|key| wrong[key] > 0);
        if is_found || !world.next(most) {
            break;
        }
    }
    let mut pairs: Vec<(&str, &dyn Debug)> =
        vec![("combinations", &combinations), ("calls", &calls)];
    pairs.extend(WRONGS.map(|key| (key, &wrong[key] as &dyn Debug)));
    println!("{}", guest::row(&pairs));
    exit(i32::from(wrong.values().any(|&count| count != 0)));
}

fn kernel_has_vdso() -> bool {
    let name = b"__vdso_getrandom\0";
    let image = support::memory::vdso().unwrap_or_default();
    image.windows(name.len()).any(|bytes| bytes == name)
}
