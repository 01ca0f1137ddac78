//! Many processes that descend from one, made in every way. Each makes UUIDs one by one, in
//! bulk and without a pool, before and after it makes its children.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Instant;

use fork_safe_uuid::{Generator, Uuid, fill_v4, fill_v7, now_v1, now_v6, now_v7, random_node};
use support::harness::step;
use support::ok;
use support::process::{Copy, fork, wait};
use support::sandbox::refuse_getrandom;

use crate::arena::{Arena, duplicates};
use crate::guest::on_x86_64;
use crate::p2::copies::{clone3, raw_clone, underscore_fork};
use crate::p2::vfork::{clone_vm, in_sharing, vfork};

support::scenarios![
    a_small_forest_repeats_nothing {
        possible: on_x86_64
    },
    a_small_forest_repeats_no_timestamp {
        possible: on_x86_64
    },
    fast_rng_repeats_itself_in_the_forest {
        possible: on_x86_64
    },
    a_hundred_million_of_a_forest_repeat_nothing {
        possible: on_x86_64,
        slow: true
    },
];

/// The calls that make a copy with separate memory.
const COPIES: [Copy; 4] = [fork, underscore_fork, raw_clone, clone3];

struct Forest {
    arena: Arena,
    /// How many UUIDs each process makes.
    each: usize,
    make: fn(&mut [Uuid]),
    /// Whether getrandom(2) is refused to some trees, in which the peer would panic.
    may_refuse: bool,
}

/// A process and its descendants.
#[derive(Clone, Copy)]
struct Tree {
    /// The number of the process, which decides the shape of its tree.
    number: usize,
    /// How many processes there will be, itself included.
    size: usize,
    depth: usize,
    refused: bool,
}

/// Makes version 4, one by one, without a pool and in bulk.
fn make_v4(ids: &mut [Uuid]) {
    let (first, rest) = ids.split_at_mut(ids.len() / 16);
    first.fill_with(fork_safe_uuid::new_v4);
    let (unbuffered, bulk) = rest.split_at_mut(8);
    unbuffered.fill_with(|| Generator::unbuffered().new_v4());
    fill_v4(bulk);
}

/// Makes version 7, one by one and in bulk, version 6 and version 1.
fn make_time_ordered(ids: &mut [Uuid]) {
    let quarter = ids.len() / 4;
    let (sevens, rest) = ids.split_at_mut(quarter);
    let (many, rest) = rest.split_at_mut(quarter);
    let (sixes, ones) = rest.split_at_mut(quarter);
    sevens.fill_with(now_v7);
    fill_v7(many);
    sixes.fill_with(|| now_v6(&random_node()));
    ones.fill_with(|| now_v1(&random_node()));
}

/// Makes version 4 by `uuid` with `fast-rng`.
fn make_by_fast_rng(ids: &mut [Uuid]) {
    ids.fill_with(Uuid::new_v4);
}

impl Forest {
    fn make(&self, count: usize) {
        (self.make)(self.arena.claim(count).expect("room"));
    }

    /// Grows a tree from the calling process.
    fn grow(&self, tree: Tree) {
        self.arena.counts().processes.fetch_add(1, Relaxed);
        self.arena.counts().depth.fetch_max(tree.depth, Relaxed);
        if tree.number.is_multiple_of(10) {
            step(format_args!("process {} of the forest", tree.number));
        }
        let part = self.each / 4;
        let refused = tree.refused || self.may_refuse && tree.number % 32 == 7;
        if refused && !tree.refused {
            refuse_getrandom();
        }
        // Two in three make UUIDs before they have children, so that there is a pool to copy.
        if !tree.number.is_multiple_of(3) {
            self.make(part);
        }
        self.grow_from(Tree { refused, ..tree });
        if tree.number.is_multiple_of(3) {
            self.make(part);
        }
        self.make(part);
        // Only the copies that fork(2) made use threads. The others did not tell their libc
        // that they are copies.
        let rest = [part, self.each - 3 * part];
        if Self::copy_of(tree.number) == 0 {
            self.arena.counts().threads.fetch_add(2, Relaxed);
            thread::scope(|scope| {
                for count in rest {
                    scope.spawn(move || self.make(count));
                }
            });
        } else {
            rest.into_iter().for_each(|count| self.make(count));
        }
    }

    /// Returns which of `COPIES` makes the process with this number.
    fn copy_of(number: usize) -> usize {
        number / 5 % COPIES.len()
    }

    /// Starts the trees that grow from `tree`, and waits for them.
    fn grow_from(&self, tree: Tree) {
        let mut rest = tree.size - 1;
        let mut number = tree.number;
        let mut start = || {
            let mut pids = vec![];
            // One in five has a single child, and the others have up to five.
            let branches = 1 + tree.number % 5;
            for branch in (1..=branches).rev() {
                let size = rest.div_ceil(branch);
                if size == 0 {
                    break;
                }
                rest -= size;
                let child = Tree {
                    number: number + 1,
                    size,
                    depth: tree.depth + 1,
                    ..tree
                };
                number += size;
                if size == 1 && child.number.is_multiple_of(2) {
                    let share = [vfork, clone_vm][child.number / 2 % 2];
                    in_sharing(share, || {
                        self.arena.counts().processes.fetch_add(1, Relaxed);
                        self.make(self.each);
                    });
                } else {
                    pids.push(self.start(child));
                }
            }
            for pid in pids {
                assert_eq!(wait(pid), 0, "a process failed");
            }
        };
        // One in seven of the processes that use threads forks in a thread.
        if Self::copy_of(tree.number) == 0 && tree.number.is_multiple_of(7) {
            self.arena.counts().threads.fetch_add(1, Relaxed);
            thread::scope(|scope| scope.spawn(start).join().expect("no panic"));
        } else {
            start();
        }
    }

    fn start(&self, tree: Tree) -> i32 {
        let pid = ok(COPIES[Self::copy_of(tree.number)]());
        if pid == 0 {
            let grown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.grow(tree)));
            // SAFETY: the child ends without running its parent's destructors.
            unsafe { libc::_exit(if grown.is_ok() { 0 } else { 101 }) };
        }
        pid
    }
}

/// Grows a forest of `processes`, each of which makes `each` UUIDs, and returns how many of
/// them are duplicates.
fn duplicates_of(processes: usize, each: usize, make: fn(&mut [Uuid]), may_refuse: bool) -> usize {
    let begin = Instant::now();
    let forest = Forest {
        arena: Arena::new(processes * each),
        each,
        make,
        may_refuse,
    };
    // All processes are copied from this one, which has made UUIDs.
    let mut before = vec![Uuid::nil(); 100];
    make(&mut before);
    forest.grow(Tree {
        number: 0,
        size: processes,
        depth: 0,
        refused: false,
    });
    let grown = begin.elapsed();
    let counts = forest.arena.counts();
    assert_eq!(counts.processes.load(Relaxed), processes);
    let threads = counts.threads.load(Relaxed);
    assert!(threads > processes / 8, "{threads} threads");
    let depth = counts.depth.load(Relaxed);
    let ids = forest.arena.into_ids();
    assert_eq!(ids.len(), processes * each);
    assert!(
        !ids.iter().any(Uuid::is_nil),
        "a process did not make all of its UUIDs"
    );
    let found = duplicates(ids)
        + before
            .iter()
            .filter(|id| ids.binary_search(id).is_ok())
            .count();
    eprintln!(
        "{processes} processes in {depth} generations, {threads} threads: {} UUIDs, {found} \
         duplicates; made in {grown:.1?}, compared after {:.1?}",
        ids.len(),
        begin.elapsed()
    );
    found
}

fn a_small_forest_repeats_nothing() {
    assert_eq!(duplicates_of(120, 4000, make_v4, true), 0);
}

fn a_small_forest_repeats_no_timestamp() {
    assert_eq!(duplicates_of(120, 4000, make_time_ordered, true), 0);
}

/// The control: `uuid` with `fast-rng` repeats its UUIDs in the children.
fn fast_rng_repeats_itself_in_the_forest() {
    assert!(
        duplicates_of(120, 400, make_by_fast_rng, false) > 1000,
        "fast-rng was mended?"
    );
}

fn a_hundred_million_of_a_forest_repeat_nothing() {
    assert_eq!(duplicates_of(2500, 41_000, make_v4, true), 0);
}
