//! Each step of `src` that has a tag is left out in turn: a program of `tests/guest` must
//! find what breaks, and nothing if no step is left out.

use std::collections::BTreeMap;
use std::process::Command;

use crate::guest::{self, Change, on_x86_64};

mod copies;
pub mod layers;
mod pool;
mod source;
pub mod tags;

support::scenarios![without_any_one_rule_something_breaks {
    possible: on_x86_64,
    seconds: 600
}];

/// A rule, how it is left out, and what shows it.
pub struct Rule {
    name: &'static str,
    /// The code below a tag, and the code without the rule. `WITHOUT` says there whether
    /// this rule is left out.
    changes: &'static [Change],
    /// The program that finds it.
    program: &'static str,
    arguments: &'static [&'static str],
    /// A part of what the program prints.
    shows: &'static str,
    /// Whether this machine can show it.
    possible: fn() -> bool,
}

const ALL: [&[Rule]; 3] = [source::RULES, copies::RULES, pool::RULES];

fn always() -> bool {
    true
}

/// What the stepper says with a greater number behind it than with all rules:
/// its own bound is for a call without switches.
const MORE_IN_BOTH: &str = "both have the value at";

/// All rules are in the changed program, each with a switch.
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
            "mod engine;".to_owned(),
            format!("mod engine;{SWITCH}"),
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
        // The hardware's numbers would hide what else is missing.
        if rule.arguments != copies::CLONED {
            command.env("BLIND", "");
        }
        let output = command.output();
        guest::text(&output.expect("a program"))
    };
    let mut whole = BTreeMap::new();
    let possible = (1..).zip(rules).filter(|(_, rule)| (rule.possible)());
    for (number, rule) in possible {
        let with = whole
            .entry((rule.program, rule.arguments))
            .or_insert_with(|| run(0, rule));
        let without = run(number, rule);
        println!("with {}:\n{with}\nwithout:\n{without}", rule.name);
        let shown = |text: &str| match rule.shows {
            MORE_IN_BOTH => both(text) > both(with),
            shows => text.contains(shows),
        };
        assert!(shown(&without) && !shown(with), "{}", rule.name);
    }
}

fn both(text: &str) -> usize {
    let (_, rest) = text.split_once(MORE_IN_BOTH).expect("a row");
    let (number, _) = rest.split_once(':').unwrap_or((rest, ""));
    number.trim().parse().expect("a number")
}
