//! The result of one event at the instructions of one path.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::Ordering::SeqCst;

use guest::Target;

use crate::events::Event;
use crate::injection;
use crate::log::{self, Made};
use crate::paths::Path;
use crate::verdict::{Shared, WRONGS, Wrong, check};

/// How many instructions of a child may share UUIDs with a child of that child, if a fork
/// interrupts them: the child makes its first UUID there, or refills.
const COMMITTED_OF_CHILD: usize = 80;

/// A row ends after this many errors.
const ENOUGH: usize = 20;

/// The result of a run that is well.
enum Outcome {
    /// The instruction was not executed this time.
    Missed,
    Well(Shared),
}

fn inject(
    path: &Path,
    event: &'static Event,
    target: Target,
    made: &mut Made,
) -> Result<Outcome, Wrong> {
    let status = injection::run(path, Some((target, event)));
    match status {
        0 => {}
        libc::SIGALRM | libc::SIGXCPU => return Err(("hung", "the first process".into())),
        _ => return Err(("ended_early", format!("status {status:#x}"))),
    }
    let log = log::shared();
    let processes = &log.values[..log.processes.load(SeqCst)];
    let ended = processes
        .iter()
        .filter(|values| values.ended.load(SeqCst) == 1)
        .count();
    if ended != processes.len() {
        let text = format!("{ended} of {} processes reached their end", processes.len());
        return Err(("ended_early", text));
    }
    let shared = check(processes)?;
    for values in processes {
        for id in &values.ids[..values.finishing.load(SeqCst)] {
            made.add(*id, target.step);
        }
    }
    Ok(if log.came.load(SeqCst) == 0 {
        Outcome::Missed
    } else {
        Outcome::Well(shared)
    })
}

/// Prints the row, and returns whether all is well.
pub fn print(
    path: &Path,
    targets: &[Target],
    event: &'static Event,
    stride: usize,
    made: &mut Made,
) -> bool {
    let (mut injected, mut missed, mut in_both, mut in_two_children) = (0, 0, 0, 0);
    let mut wrongs = BTreeMap::from(WRONGS.map(|wrong| (wrong, vec![])));
    let mut texts = BTreeMap::new();
    // The process id decides where a row begins, so that runs with a stride differ.
    let first = std::process::id() as usize % stride;
    let chosen: Vec<_> = targets.iter().skip(first).step_by(stride).collect();
    for (number, target) in chosen.iter().enumerate() {
        if number % 100 == 0 {
            let count = chosen.len();
            eprintln!("{}, {}: {number} of {count}", path.name, event.name);
        }
        match inject(path, event, **target, made) {
            Ok(Outcome::Missed) => missed += 1,
            Ok(Outcome::Well(shared)) => {
                injected += 1;
                in_both += usize::from(shared == Shared::WithFirst);
                in_two_children += usize::from(shared == Shared::AmongChildren);
            }
            Err((wrong, text)) => {
                injected += 1;
                wrongs.get_mut(wrong).expect("a key").push(target.step);
                texts.entry(wrong).or_insert(text);
                if wrongs.values().map(Vec::len).sum::<usize>() == ENOUGH || wrong == "hung" {
                    break;
                }
            }
        }
    }
    wrongs.insert("in_two_runs", made.take_repeated());

    // The first and the last instructions are those of the arming itself.
    let missed_limit = 8 + targets.len() / stride / 20;
    let in_both_limit = path.committed / stride + 1;
    let in_two_children_limit = COMMITTED_OF_CHILD.min(targets.len()) / stride + 1;
    let counts = WRONGS.map(|wrong| (wrong, wrongs[wrong].len()));
    let is_above = [
        ("missed", missed > missed_limit),
        ("in_both", in_both > in_both_limit),
        ("in_two_children", in_two_children > in_two_children_limit),
    ];
    let is_wrong = counts.map(|(wrong, count)| (wrong, count > 0));
    let failed: Vec<_> = is_above
        .into_iter()
        .chain(is_wrong)
        .filter_map(|(key, is_bad)| is_bad.then_some(key))
        .collect();
    let failed = failed.join(" ");
    let instructions = targets.len();
    let mut pairs: Vec<(&str, &dyn Debug)> = vec![
        ("path", &path.name),
        ("event", &event.name),
        ("instructions", &instructions),
        ("injected", &injected),
        ("missed", &missed),
        ("missed_limit", &missed_limit),
        ("in_both", &in_both),
        ("in_both_limit", &in_both_limit),
        ("in_two_children", &in_two_children),
        ("in_two_children_limit", &in_two_children_limit),
    ];
    pairs.extend(
        counts
            .iter()
            .map(|(wrong, count)| (*wrong, count as &dyn Debug)),
    );
    pairs.push(("failed", &failed));
    println!("{}", guest::row(&pairs));
    for (wrong, steps) in wrongs.iter().filter(|(_, steps)| !steps.is_empty()) {
        let text = texts.get(wrong).map_or("", String::as_str);
        println!("  {wrong}: {text}; at the instructions {steps:?}");
    }
    failed.is_empty()
}
