//! Every combination of faults, against a model.
//!
//! A process makes UUIDs; each of its system calls is answered by this program,
//! truly or with a fault. [`model`] says which calls it makes in which order
//! and what comes out, and so it must be, to the last call and word.
//!
//! With an argument, all combinations of at most so many faults. Whatever the
//! model says, what is observed must also keep promises by itself, see
//! [`check`].
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::collections::BTreeMap;
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

/// What is wrong with a run that follows the model or not.
fn check(trace: &[(Call, Answer)], report: &Report) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    for (at, &(call, _)) in trace.iter().enumerate() {
        let before = &trace[..at];
        match call {
            Call::Pread(number, _) | Call::EntropyCount(number) | Call::Poll(number)
                if !is_proven(before, call, number) =>
            {
                wrong.push("an unproven number was asked");
            }
            Call::Close(number) if !is_own(before, number, true) => {
                wrong.push("an unproven number was closed");
            }
            Call::Replace(_, number) if !is_own(before, number, false) => {
                wrong.push("an unproven number was closed");
            }
            Call::Close(STRANGER) | Call::Fstat(STRANGER) | Call::Other(_) => {
                wrong.push("a call that is none of the crate's");
            }
            _ => {}
        }
    }
    let made = report.iter().filter(|made| made.line() == UUID);
    let uuids: Vec<_> = made.map(|made| made.uuid).collect();
    for (index, uuid) in uuids.iter().enumerate() {
        // Version and variant stand in two of the bytes.
        if uuid.windows(5).any(|bytes| bytes == [PATTERN; 5]) {
            wrong.push("bytes of the descriptor came out");
        }
        if uuid[6] >> 4 != 4 || uuid[8] >> 6 != 2 || uuids[..index].contains(uuid) {
            wrong.push("no UUID, or one that was there before");
        }
    }
    wrong
}

/// Whether the last call with this number was a proof, in this step; a call
/// that a signal interrupted has read nothing and is passed over.
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

/// Whether the last two calls proved the device at this number, and that the
/// crate opened it, if it was not refused to ask for that.
fn is_own(before: &[(Call, Answer)], number: usize, may_be_refused: bool) -> bool {
    let [.., proof, flags] = before else {
        return false;
    };
    let refused = Answer::Return(-i64::from(libc::EPERM));
    *proof == (Call::Fstat(number), Answer::Real)
        && (*flags == (Call::Flags(number), Answer::Real)
            || may_be_refused && *flags == (Call::Flags(number), refused))
}

/// The first difference, in words.
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

/// Runs the combination that `world` stands at. Returns how many calls the
/// model has it make, and what is wrong.
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
        // Once a minute the kernel takes a new key, and the vDSO another one,
        // too, if that comes in the middle of its call.
        if different.is_some() && std::mem::take(&mut again) {
            continue;
        }
        wrong.extend(different.is_some().then_some("not as the model says"));
        return (expected.0.len(), wrong, different);
    }
}

fn main() {
    let argument = std::env::args().nth(1);
    let most = argument.map_or(usize::MAX, |argument| argument.parse().expect("a number"));
    tracer::keep_to_one_processor();
    let report = child::shared_report();
    let kernel_has_vdso = kernel_has_vdso();
    let mut world = World::default();
    let (mut combinations, mut calls) = (0, 0);
    let mut wrong = BTreeMap::<&str, u64>::new();
    loop {
        let (made, found, different) = run(&mut world, kernel_has_vdso, report);
        combinations += 1;
        calls += made;
        if let Some(text) = different
            && wrong.values().sum::<u64>() < 5
        {
            println!("[{}]{text}", world.describe());
        }
        for what in found {
            *wrong.entry(what).or_default() += 1;
        }
        if !world.next(most) {
            break;
        }
    }
    println!("{combinations} combinations, {calls} calls; wrong: {wrong:?}");
    exit(i32::from(!wrong.is_empty()));
}

fn kernel_has_vdso() -> bool {
    let name = b"__vdso_getrandom\0";
    let image = support::memory::vdso().unwrap_or_default();
    image.windows(name.len()).any(|bytes| bytes == name)
}
