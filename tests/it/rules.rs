//! Each step of `src` that has a tag is left out in turn. A program of `tests/guest` must then
//! find what breaks, and must succeed if no step is left out.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use support::harness::step;

use crate::guest::rows::Rows;
use crate::guest::{self, Change, on_x86_64};

mod clock;
mod copies;
pub mod layers;
mod pool;
mod source;
pub mod tags;

use Shows::{Counts, Finds, Grows};

support::scenarios![without_any_one_rule_something_breaks {
    possible: on_x86_64
}];

/// A step that a promise needs, and the program that finds that the step is missing.
pub struct Rule {
    name: &'static str,
    /// The changes by which the step can be left out. In the new code, `WITHOUT` is true when it
    /// is left out.
    changes: &'static [Change],
    program: &'static str,
    arguments: &'static [&'static str],
    shows: Shows,
    /// Whether this machine can show it.
    possible: fn() -> bool,
}

/// How the rows of a program show that a step is missing.
enum Shows {
    /// The count of this key is 0 with the step, and greater without it.
    Finds(&'static str),
    /// The count of this key is greater without the step than with it.
    Grows(&'static str),
    /// In the row of this name, the key has this count without the step, and another with it.
    Counts(&'static str, &'static str, usize),
}

impl Shows {
    fn is_shown(&self, with: &Rows, without: &Rows) -> bool {
        match *self {
            Finds(key) => with.count(key) == 0 && without.count(key) > 0,
            Grows(key) => with.count(key) < without.count(key),
            Counts(row, key, count) => {
                with.count_of(row, key) != count && without.count_of(row, key) == count
            }
        }
    }
}

/// Returns whether a program with all steps has the result that it must have.
///
/// The count `in_both` of the stepper may be above its limit, which is for a call without
/// switches: they add instructions to the part of a call that a fork leaves in both processes.
fn is_well(with: &Output, rows: &Rows) -> bool {
    with.status.success() || rows.values("failed") == ["in_both"]
}

const ALL: [&[Rule]; 4] = [source::RULES, copies::RULES, pool::RULES, clock::RULES];

/// The arguments of the stepper are the stride, a path and an event.
const STEPPER: &str = "stepper";
const MEMORY: &str = "memory";
/// The first argument is how many faults there are at most. If the key that a rule needs is the
/// second, the program ends when it has found it.
const FAULTS: &str = "faults";

fn always() -> bool {
    true
}

/// The changed programs have a switch for each rule, so that they are built once.
const SWITCH: &str = "
static REMOVED: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(0);
static BLIND: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(false);

#[inline(always)]
fn is_blind() -> bool {
    BLIND.load(core::sync::atomic::Ordering::Relaxed)
}

#[inline(always)]
fn without(rule: usize) -> bool {
    REMOVED.load(core::sync::atomic::Ordering::Relaxed) == rule
}

extern \"C\" fn remove() {
    let rule = std::env::var(\"WITHOUT\").map_or(0, |rule| rule.parse().expect(\"a number\"));
    REMOVED.store(rule, core::sync::atomic::Ordering::Relaxed);
    BLIND.store(std::env::var_os(\"BLIND\").is_some(), core::sync::atomic::Ordering::Relaxed);
}

#[allow(unsafe_code)]
#[used]
#[unsafe(link_section = \".init_array\")]
static AT_START: extern \"C\" fn() = remove;
";

fn without_any_one_rule_something_breaks() {
    let rules: Vec<_> = ALL.into_iter().flatten().collect();
    let [(file, from, to)] = guest::WITHOUT_HARDWARE;
    let blindly = format!("if crate::is_blind() {{ {to} }} else {{ {from} }}");
    let mut changes = vec![
        (
            "lib.rs",
            "\npub use uuid::Uuid;".to_owned(),
            format!("{SWITCH}\npub use uuid::Uuid;"),
        ),
        (file, from.to_owned(), blindly),
    ];
    for (number, rule) in (1..).zip(&rules) {
        for &(tag, from, to) in rule.changes {
            let to = to.replace("WITHOUT", &format!("crate::without({number})"));
            changes.push((tag, from.to_owned(), to));
        }
    }
    const PROGRAMS: [&str; 4] = ["stepper", "memory", "faults", "twins"];
    let built = BTreeMap::from_iter(
        PROGRAMS
            .into_iter()
            .zip(guest::build_changed(PROGRAMS, &changes)),
    );
    let run = |number: usize, rule: &Rule| {
        let mut command = Command::new(&built[rule.program]);
        command
            .args(rule.arguments)
            .env("WITHOUT", number.to_string());
        if let (FAULTS, Finds(key)) = (rule.program, &rule.shows) {
            command.arg(key);
        }
        // The hardware numbers would hide that another step is missing.
        if rule.arguments != copies::CLONED {
            command.env("BLIND", "");
        }
        guest::run_by(&mut command)
    };
    let mut whole = BTreeMap::new();
    let possible = (1..).zip(rules).filter(|(_, rule)| (rule.possible)());
    for (number, rule) in possible {
        step(rule.name);
        let with = whole
            .entry((rule.program, rule.arguments))
            .or_insert_with(|| run(0, rule));
        let without = guest::text(&run(number, rule));
        let text = guest::text(with);
        println!("with {}:\n{text}\nwithout:\n{without}", rule.name);
        let (rows, without) = (Rows::read(&text), Rows::read(&without));
        assert!(is_well(with, &rows), "{}: with it", rule.name);
        assert!(rule.shows.is_shown(&rows, &without), "{}", rule.name);
    }
}
