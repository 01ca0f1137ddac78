//! Injects an event at each instruction of a call.
//!
//! A call is traced once, by the processor's trap flag. Then, in a fresh child
//! for each of its instructions, a hardware breakpoint stops there (or, where
//! there is none, the trap flag goes all the way), and the handler of SIGTRAP is
//! the event. Afterwards all processes of the run draw more than a whole pool,
//! and all values are compared.
//!
//! `stepper STRIDE [PATH [EVENT]]`: every STRIDE-th instruction of the long
//! paths, or with 0 none of them, or with none or `turns` each instruction in the first,
//! the second and the last turn of its loop; the fast path is always complete.
//! Prints a line for each path and event, and fails where a value comes twice,
//! is not random, or a process hangs or crashes. It says why, also where a row
//! was never finished. `FORK_SAFE_UUID_PATIENCE` multiplies the 10 seconds after
//! which a process hangs.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod events;
mod log;
mod paths;

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, exit};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use guest::trap;
use perf_event::Counter;
use seccompiler::apply_filter;
use support::SLOTS;

use events::{EVENTS, Event};
use log::Made;
use paths::{PATHS, Path};

/// Where the event comes: at an instruction that is executed for the nth time,
/// which is the `step`-th of the call.
#[derive(Clone, Copy)]
struct Target {
    step: usize,
    address: u64,
    nth: u64,
}

/// What this process is to do when it is armed.
struct Plan {
    /// None: to trace.
    target: Cell<Option<(Target, &'static Event)>>,
    breakpoint: OnceCell<Option<Counter>>,
}

// SAFETY: only the thread that makes the call, and its handlers, come here once
// the plan is made.
unsafe impl Sync for Plan {}

static PLAN: Plan = Plan {
    target: Cell::new(None),
    breakpoint: OnceCell::new(),
};

/// The breakpoint, unless the trap flag has to do.
fn breakpoint() -> Option<&'static Counter> {
    PLAN.breakpoint.get().and_then(Option::as_ref)
}

/// Instructions since the trap flag was set, and how many there are before the
/// second event.
static STEP: AtomicUsize = AtomicUsize::new(0);
static SECOND: AtomicUsize = AtomicUsize::new(0);

/// The call has returned; no second event any more.
static OVER: AtomicBool = AtomicBool::new(false);

/// From here on each instruction counts.
#[inline(always)]
pub fn armed() {
    prepare();
    match breakpoint() {
        Some(breakpoint) if PLAN.target.get().is_some() => guest::switch(breakpoint, true),
        _ => trap(true),
    }
}

/// By the thread that is to be stopped; also where it is only traced, as the
/// allocations of this are part of what is traced.
#[inline(never)]
fn prepare() {
    let (address, nth) = PLAN
        .target
        .get()
        .map_or((trap as *const () as u64, 1), |(target, _)| {
            (target.address, target.nth)
        });
    PLAN.breakpoint
        .get_or_init(|| guest::breakpoint(address, nth));
}

#[inline(always)]
pub fn disarm() {
    OVER.store(true, SeqCst);
    trap(false);
    if let Some(breakpoint) = breakpoint() {
        guest::switch(breakpoint, false);
    }
}

/// How far after the first event the second one comes: near and far.
const LATER: [usize; 13] = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 377, 1597, 4181];

extern "C" fn on_trap(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some((target, event)) = PLAN.target.get() else {
        // SAFETY: what the kernel gave this handler.
        log::put_step(*unsafe { guest::register(context, libc::REG_RIP) } as u64);
        return;
    };
    let step = STEP.fetch_add(1, SeqCst);
    let second = SECOND.load(SeqCst);
    let later = |on| {
        // SAFETY: what the kernel gave this handler.
        unsafe { guest::trap_later(context, on) };
    };
    if second != 0 {
        if OVER.load(SeqCst) {
            later(false);
        } else if step == second {
            SECOND.store(0, SeqCst);
            later(false);
            event.second.expect("there is one")();
        }
        return;
    }
    match breakpoint() {
        Some(breakpoint) => guest::switch(breakpoint, false),
        None if step == target.step => later(false),
        None => return,
    }
    log::shared().came.store(1, SeqCst);
    let me = log::me();
    (event.run)();
    if event.second.is_some() && log::me() != me {
        SECOND.store(LATER[target.step % LATER.len()], SeqCst);
        STEP.store(1, SeqCst);
        later(true);
    }
}

/// Runs a path in a fresh child, and returns how that ended.
fn run(path: &Path, target: Option<(Target, &'static Event)>) -> i32 {
    log::clear();
    let mut ends = [0; 2];
    let mut status = 0;
    // SAFETY: one thread; the pointers lead to an int, or two, or a byte.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        let pid = libc::fork();
        if pid == 0 {
            log::set_alarm();
            apply_filter(&events::ANONYMOUS).expect("seccomp");
            PLAN.target.set(target);
            (path.call)();
            finish();
        }
        libc::close(ends[1]);
        // Ends when all processes have.
        let mut byte = 0_u8;
        libc::read(ends[0], (&raw mut byte).cast(), 1);
        libc::close(ends[0]);
        libc::waitpid(pid, &raw mut status, 0);
    }
    status
}

/// A clock that stands still, in place of the C library's. Like the process ids
/// that are all the same, it is for the hedge not to hide a key that is used
/// twice.
#[unsafe(no_mangle)]
extern "C" fn clock_gettime(_: libc::clockid_t, time: *mut libc::timespec) -> i32 {
    // SAFETY: the caller's, as clock_gettime(2) asks for it.
    unsafe {
        (*time).tv_sec = 1_700_000_000;
        (*time).tv_nsec = 0;
    }
    0
}

/// Draws the whole next pool, and ends the process.
pub fn finish() -> ! {
    events::answer_no_more();
    let finishing = log::mine().len.load(SeqCst);
    log::mine().finishing.store(finishing, SeqCst);
    log::draw(SLOTS + 10);
    log::mine().ended.store(1, SeqCst);
    // SAFETY: ends without the parent's destructors.
    unsafe { libc::_exit(0) }
}

/// What the undisturbed call executes.
fn trace(path: &Path) -> Vec<Target> {
    log::shared().steps.store(0, SeqCst);
    let status = run(path, None);
    assert_eq!(status, 0, "an undisturbed call");
    let steps = &log::shared().trace[..log::shared().steps.load(SeqCst)];
    let mut times = BTreeMap::new();
    let mut targets: Vec<Target> = vec![];
    for (step, &address) in steps.iter().enumerate() {
        // A string instruction is stopped at each of its turns by the trap
        // flag, and once by a breakpoint.
        if targets.last().is_none_or(|last| last.address != address) {
            let nth = times.entry(address).or_insert(0);
            *nth += 1;
            targets.push(Target {
                step,
                address,
                nth: *nth,
            });
        }
    }
    targets
}

/// Who has the same values of the interrupted call.
#[derive(Clone, Copy, PartialEq)]
enum Shared {
    Nobody,
    /// The first process and another one.
    WithFirst,
    /// Two of its children alone: a second fork cut the call that the child makes in
    /// its place.
    AmongChildren,
}

/// At so many instructions at the most such a fork leaves its values in both: a
/// child makes its first UUID there, or refills.
const COMMITTED_OF_CHILD: usize = 80;

/// What a run with an event came to.
enum Outcome {
    /// The instruction was not executed this time.
    Missed,
    /// All is well; and who shares the call's values.
    Well(Shared),
}

fn inject(
    path: &Path,
    event: &'static Event,
    target: Target,
    made: &mut Made,
) -> Result<Outcome, String> {
    let status = run(path, Some((target, event)));
    match status {
        0 => {}
        libc::SIGALRM => return Err("hung".into()),
        _ => return Err(format!("ended with status {status:#x}")),
    }
    let log = log::shared();
    let processes = &log.values[..log.processes.load(SeqCst)];
    let well = processes
        .iter()
        .filter(|values| values.ended.load(SeqCst) == 1)
        .count();
    if well != processes.len() {
        return Err(format!(
            "{well} of {} processes ended well",
            processes.len()
        ));
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

/// All values are random and distinct; only the interrupted call's may be in
/// several processes, and then all of them.
fn check(processes: &[log::Values]) -> Result<Shared, String> {
    let mut seen = BTreeMap::new();
    let mut equal = 0;
    let mut shared = Shared::Nobody;
    let mut made = 0;
    for (who, values) in processes.iter().enumerate() {
        made = made.max(values.made.load(SeqCst));
        for (place, id) in values.ids[..values.len.load(SeqCst)].iter().enumerate() {
            let few = match id.get_version_num() {
                4 => id.as_u128().count_ones() < 20,
                7 => (id.as_u128() as u64 & u64::MAX >> 6).count_ones() < 4,
                1 => id.get_node_id().is_some_and(|node| node[0] & 1 == 0),
                _ => true,
            };
            if few {
                return Err(format!("{id} is not random"));
            }
            let call = place.wrapping_sub(values.call.load(SeqCst));
            let of_call = call < values.made.load(SeqCst);
            match seen.insert(id, (who, call)) {
                None => {}
                Some((other, same)) if other != who && same == call && of_call => {
                    equal += 1;
                    if other == 0 {
                        shared = Shared::WithFirst;
                    } else if shared == Shared::Nobody {
                        shared = Shared::AmongChildren;
                    }
                }
                Some(_) => return Err(format!("{id} twice")),
            }
        }
    }
    if equal != 0 && equal % made != 0 {
        return Err(format!("{equal} values in both"));
    }
    Ok(shared)
}

/// So many errors tell enough.
const ENOUGH: usize = 20;

/// One line of the table; returns whether all is well.
fn row(
    path: &Path,
    targets: &[Target],
    event: &'static Event,
    stride: usize,
    made: &mut Made,
) -> bool {
    let (mut injected, mut missed, mut both, mut later) = (0, 0, 0, 0);
    let mut errors = BTreeMap::<String, Vec<usize>>::new();
    // Beginning anywhere, so that runs differ.
    let first = std::process::id() as usize % stride;
    for target in targets.iter().skip(first).step_by(stride) {
        match inject(path, event, *target, made) {
            Ok(Outcome::Missed) => missed += 1,
            Ok(Outcome::Well(shared)) => {
                injected += 1;
                both += usize::from(shared == Shared::WithFirst);
                later += usize::from(shared == Shared::AmongChildren);
            }
            Err(error) => {
                injected += 1;
                // Without the value, which is another each time.
                let what = match error.split_once(' ') {
                    Some((id, what)) if id.len() == 36 => what,
                    _ => &error,
                };
                errors.entry(what.into()).or_default().push(target.step);
                if errors.values().map(Vec::len).sum::<usize>() == ENOUGH || what.contains("hung") {
                    break;
                }
            }
        }
    }
    let repeated = made.take_repeated();
    if !repeated.is_empty() {
        errors.insert("in two runs".into(), repeated);
    }
    // The first and last instructions are those of the arming itself.
    let may_be_missed = 8 + targets.len() / stride / 20;
    let may_be_both = path.committed / stride + 1;
    let mut text = String::new();
    if missed > may_be_missed {
        text += &format!(": more than {may_be_missed} missed");
    }
    if both > may_be_both {
        text += &format!(": both have the value at more than {may_be_both}");
    }
    let may_be_later = COMMITTED_OF_CHILD.min(targets.len()) / stride + 1;
    if later > may_be_later {
        text += &format!(": two children have it at {later}, more than {may_be_later}");
    }
    if !errors.is_empty() {
        text += &format!(": {errors:?}");
    }
    println!(
        "{:<28} {:<44} {:>6} instructions, {injected:>6} injected, {missed:>2} missed, both have the value at {both}{text}",
        path.name,
        event.name,
        targets.len(),
    );
    text.is_empty()
}

/// The targets in the first, the second and the last turn of each loop.
fn of_few_turns(targets: Vec<Target>) -> Vec<Target> {
    let mut last = BTreeMap::new();
    for target in &targets {
        last.insert(target.address, target.nth);
    }
    let few = |target: &Target| target.nth <= 2 || target.nth == last[&target.address];
    targets.into_iter().filter(few).collect()
}

type Row = (&'static Path, &'static Event);

/// What the workers share.
struct Progress {
    /// How many rows were begun.
    begun: &'static AtomicUsize,
    /// The worker that makes a row, or `DONE`.
    workers: &'static [AtomicUsize; PATHS.len() * EVENTS.len()],
}

const DONE: usize = usize::MAX;

/// Makes rows that nobody has begun yet.
fn work(rows: &[Row], progress: &Progress, stride: Option<usize>) -> bool {
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
            targets = trace(path);
            if stride.is_none() {
                targets = of_few_turns(targets);
            }
        }
        let stride = stride.filter(|_| path.long).unwrap_or(1);
        well &= row(path, &targets, event, stride, &mut made);
        progress.workers[index].store(DONE, SeqCst);
    }
    well
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let stride = arguments
        .next()
        .filter(|text| text != "turns")
        .map(|text| text.parse().expect("a number"));
    let (only_path, only_event) = (arguments.next(), arguments.next());
    let is = |only: &Option<String>, name| only.as_deref().is_none_or(|only| only == name);
    let rows: Vec<Row> = PATHS
        .iter()
        .filter(|path| is(&only_path, path.name) && (stride != Some(0) || !path.long))
        .flat_map(|path| EVENTS.iter().map(move |event| (path, event)))
        .filter(|(_, event)| is(&only_event, event.name))
        .collect();
    assert!(!rows.is_empty(), "there is no such path or event");
    if let Ok(factor) = std::env::var("FORK_SAFE_UUID_PATIENCE") {
        log::multiply_patience(factor.parse().expect("a factor"));
    }

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
            // SAFETY: one thread.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                exit(i32::from(!work(&rows, &progress, stride)));
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
            let status = ExitStatus::from_raw(status);
            println!(
                "{:<28} {:<44} lost: its worker ended with {status}",
                path.name, event.name
            );
        }
    }
    if let Some(rest) = rows.get(progress.begun.load(SeqCst)..)
        && !rest.is_empty()
    {
        failed = true;
        println!("{} rows were not begun", rest.len());
    }
    exit(i32::from(failed));
}
