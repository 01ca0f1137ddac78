//! Runs a path in a fresh process, and the event at one of its instructions.

use std::cell::{Cell, OnceCell};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use guest::{Target, targets, trap};
use perf_event::Counter;
use seccompiler::apply_filter;
use support::stuck::stuck_in_group;
use support::{SLOTS, ok};

use crate::events::{self, Event};
use crate::log;
use crate::paths::Path;

/// What this process does when it is armed.
struct Plan {
    /// `None`: it only records the instructions.
    target: Cell<Option<(Target, &'static Event)>>,
    breakpoint: OnceCell<Option<Counter>>,
}

// SAFETY: once the plan is made, only the thread that makes the call and its handlers use
// it.
unsafe impl Sync for Plan {}

static PLAN: Plan = Plan {
    target: Cell::new(None),
    breakpoint: OnceCell::new(),
};

/// Returns the breakpoint, or `None` if the trap flag is used instead.
fn breakpoint() -> Option<&'static Counter> {
    PLAN.breakpoint.get().and_then(Option::as_ref)
}

/// How many instructions were executed since the trap flag was set.
static STEP: AtomicUsize = AtomicUsize::new(0);

/// The number of the instruction that the second event interrupts, or 0 if none comes.
static SECOND: AtomicUsize = AtomicUsize::new(0);

/// Whether the call has returned. No second event comes then.
static OVER: AtomicBool = AtomicBool::new(false);

/// Starts the part of the path that the event may interrupt.
#[inline(always)]
pub fn armed() {
    prepare();
    match breakpoint() {
        Some(breakpoint) if PLAN.target.get().is_some() => guest::switch(breakpoint, true),
        _ => trap(true),
    }
}

/// Makes the breakpoint, which counts the instructions of the thread that makes it. It does
/// so even where the instructions are only recorded, because it allocates, and each run must
/// find the same heap.
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
    log::begin_call();
}

/// Ends that part.
#[inline(always)]
pub fn disarm() {
    OVER.store(true, SeqCst);
    trap(false);
    if let Some(breakpoint) = breakpoint() {
        guest::switch(breakpoint, false);
    }
}

/// How many instructions lie between the first event and the second.
const LATER: [usize; 13] = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 377, 1597, 4181];

pub extern "C" fn on_trap(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let trap_later = |on| {
        // SAFETY: the kernel passed this context to this handler.
        unsafe { guest::trap_later(context, on) };
    };
    let handler = HANDLER.load(SeqCst);
    if handler != 0 {
        if LEFT.fetch_sub(1, SeqCst) == 0 {
            HANDLER.store(0, SeqCst);
            trap_later(false);
            // SAFETY: `interrupt` stored a function of this type.
            let handler = unsafe { mem::transmute::<usize, fn()>(handler) };
            handler();
        }
        return;
    }
    let Some((target, event)) = PLAN.target.get() else {
        // SAFETY: the kernel passed this context to this handler.
        log::put_step(*unsafe { guest::register(context, libc::REG_RIP) } as u64);
        return;
    };
    let step = STEP.fetch_add(1, SeqCst);
    let second = SECOND.load(SeqCst);
    if second != 0 {
        if OVER.load(SeqCst) {
            trap_later(false);
        } else if step == second {
            SECOND.store(0, SeqCst);
            trap_later(false);
            event.second.expect("a second event")();
        }
        return;
    }
    match breakpoint() {
        Some(breakpoint) => guest::switch(breakpoint, false),
        None if step == target.step => trap_later(false),
        None => return,
    }
    log::shared().came.store(1, SeqCst);
    let me = log::me();
    (event.run)();
    if event.second.is_some() && log::me() != me {
        SECOND.store(LATER[target.step % LATER.len()], SeqCst);
        STEP.store(1, SeqCst);
        trap_later(true);
    }
}

/// The handler of [`interrupt`], or 0, and how many instructions are left before it runs.
static HANDLER: AtomicUsize = AtomicUsize::new(0);
static LEFT: AtomicUsize = AtomicUsize::new(0);

/// Makes `call`, and runs `handler` in a signal handler before the instruction with the
/// number `at`. This prepares a path. The event is independent of it.
#[inline(never)]
pub fn interrupt<T>(at: usize, handler: fn(), call: fn() -> T) -> T {
    LEFT.store(at, SeqCst);
    HANDLER.store(handler as *const () as usize, SeqCst);
    trap(true);
    let result = call();
    trap(false);
    HANDLER.store(0, SeqCst);
    result
}

/// The processor time after which a process is said to hang. A call takes a fraction of it, even
/// if each of its instructions is trapped.
const CPU_SECONDS: libc::rlim_t = 60;

/// Runs a path in a fresh child, and returns the child's status.
pub fn run(path: &Path, target: Option<(Target, &'static Event)>) -> i32 {
    log::clear();
    let mut ends = [0; 2];
    let mut status = 0;
    // SAFETY: this process has one thread. The pointers lead to an int, two ints or a byte.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        let pid = libc::fork();
        if pid == 0 {
            // A process that spins for ever ends by SIGXCPU. So does its child.
            let limit = libc::rlimit {
                rlim_cur: CPU_SECONDS,
                rlim_max: CPU_SECONDS + 1,
            };
            ok(libc::setrlimit(libc::RLIMIT_CPU, &raw const limit));
            apply_filter(&events::ANONYMOUS).expect("seccomp");
            PLAN.target.set(target);
            (path.call)();
            finish();
        }
        libc::close(ends[1]);
        // The pipe is closed when all processes of the run have ended.
        let mut closed = libc::pollfd {
            fd: ends[0],
            events: libc::POLLIN,
            revents: 0,
        };
        while ok(libc::poll(&raw mut closed, 1, 200)) == 0 {
            // Another worker may have started it, whose run then hangs.
            if let Some(stuck) = stuck_in_group(libc::getpgrp()) {
                libc::kill(stuck, libc::SIGALRM);
            }
        }
        libc::close(ends[0]);
        libc::waitpid(pid, &raw mut status, 0);
    }
    status
}

/// Makes as many UUIDs as the next whole pool has, and ends the process.
pub fn finish() -> ! {
    events::answer_no_more();
    let finishing = log::mine().len.load(SeqCst);
    log::mine().finishing.store(finishing, SeqCst);
    log::draw(SLOTS + 10);
    log::mine().ended.store(1, SeqCst);
    // SAFETY: ends the process without the parent's destructors.
    unsafe { libc::_exit(0) }
}

/// Returns the instructions that the call executes if no event interrupts it.
pub fn trace(path: &Path) -> Vec<Target> {
    log::shared().steps.store(0, SeqCst);
    let status = run(path, None);
    assert_eq!(status, 0, "{}: a call without an event fails", path.name);
    targets(&log::shared().trace[..log::shared().steps.load(SeqCst)])
}
