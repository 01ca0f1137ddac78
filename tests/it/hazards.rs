//! The table of docs/hazards.md. Each row is a scenario, in which each generator runs in a
//! process of its own. The scenario fails if a cell does not say what happens.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fork_safe_uuid::Uuid;
use support::harness::step;
use support::namespaces::may_unshare;
use support::ok;
use support::process::{fork, wait_unless_stuck};

use crate::arena::duplicates;
use crate::guest::on_x86_64;

mod generators;
mod sources;
mod states;

use generators::{GENERATORS, LIBUUID, libuuid};
use sources::*;
use states::*;

// In one list, so that all names begin with `hazards::` and no module's name follows.
support::scenarios![
    each_row_of_the_readme_is_a_row_of_the_table,
    a_fork,
    a_fork_while_threads_generate,
    pid_1_inside_pid_1 {
        possible: may_unshare
    },
    descriptors_closed,
    descriptors_closed_in_a_static_program {
        possible: static_glibc
    },
    descriptors_closed_and_getrandom_refused,
    a_sandbox_entered_later,
    a_sandbox_entered_later_and_a_fork,
    another_file_at_the_devices_path {
        possible: may_unshare
    },
    no_entropy_at_all,
    a_signal_handler,
    a_snapshot {
        possible: may_unshare
    },
    a_snapshot_of_which_the_kernel_is_not_told {
        possible: || on_x86_64() && may_unshare()
    },
    a_core_dump,
];

/// What happens to a generator, in the terms of docs/hazards.md.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Good,
    Error,
    FewRepeat,
    Repeats,
    Foreign,
    Panics,
    Hangs,
    Predictable,
    Dumped,
    /// This machine does not have the generator, and its cell is not compared.
    NotThere,
}

use Outcome::*;

impl Outcome {
    /// The outcomes and their texts. The process of a generator ends with the index as its
    /// status.
    const ALL: [(Self, &str); 10] = [
        (Good, "✓"),
        (Error, "✓ `Err`"),
        (FewRepeat, "251 a thread; none after `reseed()`"),
        (Repeats, "✗ repeats"),
        (Foreign, "✗ foreign bytes"),
        (Panics, "✗ panics"),
        (Hangs, "✗ hangs"),
        (Predictable, "✗ `rand()`"),
        (Dumped, "✗ shows them"),
        (NotThere, "not there"),
    ];

    fn of(text: &str) -> Self {
        let known = Self::ALL.iter().find(|(_, known)| *known == text);
        known.unwrap_or_else(|| panic!("{text:?} is no outcome")).0
    }

    /// Returns whether any of these UUIDs are equal.
    fn of_repeated(ids: &mut [Uuid]) -> Self {
        match duplicates(ids) {
            0 => Good,
            _ => Repeats,
        }
    }
}

const TABLE: &str = include_str!("../../docs/hazards.md");

fn each_row_of_the_readme_is_a_row_of_the_table() {
    let readme = include_str!("../../README.md");
    let rows: Vec<_> = readme
        .lines()
        .filter(|line| line.contains(" | ✓"))
        .collect();
    assert_eq!(rows.len(), 6);
    for row in rows {
        assert!(TABLE.lines().any(|line| line == row), "{row}");
    }
}

/// Returns the cells of a row.
fn cells(row: &str) -> Vec<Outcome> {
    let mut rows = TABLE.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.find_map(|line| line.strip_prefix(row)?.strip_prefix(" | "));
    let cells = cells.unwrap_or_else(|| panic!("docs/hazards.md has no row {row:?}"));
    let cells = cells.trim_end_matches(" |").split(" | ");
    cells.map(Outcome::of).collect()
}

/// Asserts that what `scene` returns for each generator, which it gets by number, is what the
/// table says. A generator hangs if its process can only wait for itself.
#[track_caller]
fn assert_row(row: &str, scene: impl Fn(usize) -> Outcome) {
    let cells = cells(row);
    assert_eq!(cells.len(), GENERATORS.len());
    let mut seen = vec![];
    for (number, expected) in cells.iter().enumerate() {
        // libuuid is loaded here, because in some scenes the child could not load it.
        step(format_args!("{row}: generator {number}"));
        let is_there = number != LIBUUID || libuuid().is_some();
        let pid = ok(fork());
        if pid == 0 {
            let scene = AssertUnwindSafe(|| if is_there { scene(number) } else { NotThere });
            let outcome = catch_unwind(scene).unwrap_or(Panics);
            let status = Outcome::ALL.iter().position(|(known, _)| *known == outcome);
            // SAFETY: the child ends without running its parent's destructors.
            unsafe { libc::_exit(status.expect("known") as i32) };
        }
        let outcome = match wait_unless_stuck(pid) {
            None => Hangs,
            Some(libc::SIGABRT) => Panics,
            Some(status) if libc::WIFEXITED(status) => {
                Outcome::ALL[libc::WEXITSTATUS(status) as usize].0
            }
            Some(status) => panic!("generator {number} ended with {status:#x}"),
        };
        seen.push(if outcome == NotThere {
            *expected
        } else {
            outcome
        });
    }
    assert_eq!(seen, cells, "{row}");
}
