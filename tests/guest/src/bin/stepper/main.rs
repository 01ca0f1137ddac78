//! Interrupts a call by an event at each of its instructions.
//!
//! The trap flag of the processor records the instructions of a call once. Then, for each
//! instruction, a fresh child makes the call, and a hardware breakpoint (or the trap flag,
//! where there is none) stops it there. The handler of SIGTRAP is the event. Afterwards all
//! processes of the run make more UUIDs than a pool has, and all UUIDs are compared.
//!
//! `stepper [STRIDE|turns[/STRIDE] [PATH [EVENT]]]`: with a number, it stops at every STRIDE-th
//! instruction of the long paths, or at none of them if it is 0, and at every instruction of
//! the short paths, or at one in STRIDE / 1000. With `turns` or without an argument, it stops at
//! each instruction in the first, the second and the last turn of its loop, or at every
//! STRIDE-th of these.
//!
//! It prints a row for each path and event. It fails if a UUID comes twice, is not random or
//! is out of order, or if a process hangs or crashes. It also fails if a row was not
//! finished. A process hangs if all of its threads sleep, or if it uses the processor for a
//! minute.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod clock;
mod events;
mod injection;
mod log;
mod paths;
mod row;
mod verdict;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, exit};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use events::{EVENTS, Event};
use guest::Target;
use injection::{on_trap, trace};
use log::Made;
use paths::{PATHS, Path};

/// Returns the targets in the first, the second and the last turn of each loop.
fn of_few_turns(targets: Vec<Target>) -> Vec<Target> {
    let mut last = BTreeMap::new();
    for target in &targets {
        last.insert(target.address, target.nth);
    }
    let few = |target: &Target| target.nth <= 2 || target.nth == last[&target.address];
    targets.into_iter().filter(few).collect()
}

type Row = (&'static Path, &'static Event);

/// Which instructions of a path are interrupted.
enum Choice {
    /// One in so many of all turns of each loop.
    All(usize),
    /// One in so many of a few turns.
    OfFewTurns(usize),
}

impl Choice {
    fn read(text: &str) -> Self {
        let number = |text: &str| text.parse().expect("a number");
        match text.split_once('/') {
            None if text == "turns" => Self::OfFewTurns(1),
            Some(("turns", stride)) => Self::OfFewTurns(number(stride)),
            _ => Self::All(number(text)),
        }
    }

    fn stride(&self, path: &Path) -> usize {
        match *self {
            Self::All(stride) if path.long => stride,
            Self::All(stride) => (stride / 1000).max(1),
            Self::OfFewTurns(stride) => stride,
        }
    }
}

/// What the workers share.
struct Progress {
    /// How many rows were begun.
    begun: &'static AtomicUsize,
    /// The worker that makes a row, or `DONE`.
    workers: &'static [AtomicUsize; PATHS.len() * EVENTS.len()],
}

const DONE: usize = usize::MAX;

/// Makes the rows that no other worker has begun, and returns whether all is well.
fn work(rows: &[Row], progress: &Progress, choice: &Choice) -> bool {
    log::map();
    let mut made = Made::new();
    let mut well = true;
    let mut traced = None;
    let mut targets = vec![];
    while let index = progress.begun.fetch_add(1, SeqCst)
        && let Some(&(path, event)) = rows.get(index)
    {
        progress.workers[index].store(std::process::id() as usize, SeqCst);
        if traced != Some(path.name) {
            traced = Some(path.name);
            eprintln!("{}: records the instructions", path.name);
            targets = trace(path);
            if matches!(choice, Choice::OfFewTurns(_)) {
                targets = of_few_turns(targets);
            }
        }
        well &= row::print(path, &targets, event, choice.stride(path), &mut made);
        progress.workers[index].store(DONE, SeqCst);
    }
    well
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let choice = Choice::read(arguments.next().as_deref().unwrap_or("turns"));
    let (only_path, only_event) = (arguments.next(), arguments.next());
    let is = |only: &Option<String>, name| only.as_deref().is_none_or(|only| only == name);
    let rows: Vec<Row> = PATHS
        .iter()
        .filter(|path| is(&only_path, path.name) && choice.stride(path) != 0)
        // musl blocks all signals while it holds the lock of the keys.
        .filter(|path| cfg!(not(target_env = "musl")) || path.name != "malloc after many keys")
        .flat_map(|path| EVENTS.iter().map(move |event| (path, event)))
        .filter(|(_, event)| is(&only_event, event.name))
        .collect();
    assert!(!rows.is_empty(), "there is no such path or event");

    LazyLock::force(&events::TRAPPED);
    LazyLock::force(&events::ANONYMOUS);
    guest::on(libc::SIGTRAP, on_trap);
    guest::on(libc::SIGSYS, events::on_sys);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let progress = Progress {
        begun: &log::map_numbers::<1>()[0],
        workers: log::map_numbers(),
    };
    let pids: Vec<_> = (0..workers)
        .map(|_| {
            // SAFETY: this process has one thread.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                exit(i32::from(!work(&rows, &progress, &choice)));
            }
            pid
        })
        .collect();
    let mut failed = false;
    for pid in pids {
        let mut status = 0;
        // SAFETY: the pointer leads to an int.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        failed |= status != 0;
        let is_its = |worker: &AtomicUsize| worker.load(SeqCst) == pid as usize;
        if let Some(index) = progress.workers.iter().position(is_its) {
            let (path, event) = rows[index];
            let status = ExitStatus::from_raw(status).to_string();
            let pairs: [(&str, &dyn std::fmt::Debug); 3] = [
                ("path", &path.name),
                ("event", &event.name),
                ("worker_ended", &status),
            ];
            println!("{}", guest::row(&pairs));
        }
    }
    if let Some(rest) = rows.get(progress.begun.load(SeqCst)..)
        && !rest.is_empty()
    {
        failed = true;
        println!("{}", guest::row(&[("rows_not_begun", &rest.len())]));
    }
    exit(i32::from(failed));
}
