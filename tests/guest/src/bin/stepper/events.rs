//! The events that interrupt a call.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};
use support::SLOTS;
use support::seccomp::filter;

use crate::log::{draw, draw_at_once, draw_unbuffered, fork, restart_order};

pub struct Event {
    pub name: &'static str,
    pub run: fn(),
    /// An event that interrupts the child that `run` forks, some instructions later.
    pub second: Option<fn()>,
}

const fn event(name: &'static str, run: fn()) -> Event {
    Event {
        name,
        run,
        second: None,
    }
}

const fn twice(name: &'static str, second: fn()) -> Event {
    Event {
        name,
        run: || _ = fork(),
        second: Some(second),
    }
}

fn reseed() {
    fork_safe_uuid::reseed();
    restart_order();
}

pub const EVENTS: [Event; 18] = [
    event("makes one", || draw(1)),
    event("makes two", || draw(2)),
    // Afterwards the number of ready slots is the one that the interrupted call has read.
    event("makes as many as there are slots", || draw(SLOTS)),
    event("makes seven at once", draw_at_once::<7>),
    event("makes one unbuffered", draw_unbuffered),
    event("reseeds", reseed),
    event("forks", || _ = fork()),
    event("makes, forks, makes", || {
        draw(1);
        fork();
        draw(1);
    }),
    event("forks, makes all in both", || {
        fork();
        draw(SLOTS);
    }),
    event("forks, makes one unbuffered in both", || {
        fork();
        draw_unbuffered();
    }),
    event("reseeds, forks, reseeds", || {
        reseed();
        fork();
        reseed();
    }),
    twice("forks, and in the child one is made", || draw(1)),
    twice("forks, and the child forks", || _ = fork()),
    twice("forks, and the child makes, forks, makes all", || {
        draw(1);
        fork();
        draw(SLOTS);
    }),
    event("interrupts getrandom(2), cuts it short", || {
        answer(&[INTERRUPT, SHORT, INTERRUPT])
    }),
    event("refuses getrandom(2) from now on", || answer(&[REFUSE])),
    event("fails getrandom(2) once", || answer(&[FAIL])),
    event("forks inside getrandom(2)", || answer(&[FORK])),
];

/// Stands in for the kernel's getrandom(2), and returns its result.
type Answer = fn(buffer: u64, length: u64) -> i64;

const INTERRUPT: Answer = |_, _| {
    draw(1);
    -i64::from(libc::EINTR)
};
const SHORT: Answer = |buffer, _| getrandom(buffer, 5);
const REFUSE: Answer = |_, _| -i64::from(libc::EPERM);
const FAIL: Answer = |_, _| -i64::from(libc::EIO);
const FORK: Answer = |buffer, length| {
    let got = getrandom(buffer, length);
    fork();
    draw(1);
    got
};

/// Makes the system call. It sets a flag that the library does not set, by which the
/// filter knows that it must not trap this call.
fn getrandom(buffer: u64, length: u64) -> i64 {
    // SAFETY: these are the arguments of the interrupted call.
    unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, libc::GRND_NONBLOCK) }
}

/// The answers to the next calls, or 0. A refusal stays.
static ANSWERS: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];

/// Refuses nothing, but traps getrandom(2). `main` makes it before any event, because a
/// handler must not allocate.
pub static TRAPPED: LazyLock<BpfProgram> = LazyLock::new(|| {
    let flags = SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, 0);
    let rule = SeccompRule::new(vec![flags.expect("a condition")]).expect("a rule");
    let rules = [(libc::SYS_getrandom, vec![rule])].into();
    let arch = std::env::consts::ARCH.try_into().expect("known");
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Trap, arch)
        .and_then(TryInto::try_into)
        .expect("a filter")
});

/// Refuses getpid(2), so that all processes have the same id in the hedge.
pub static ANONYMOUS: LazyLock<BpfProgram> = LazyLock::new(|| {
    let action = SeccompAction::Errno(1);
    filter(&[libc::SYS_getpid], action, SeccompAction::Allow).expect("x86-64")
});

fn answer(answers: &'static [Answer]) {
    for (place, answer) in ANSWERS.iter().zip(answers) {
        place.store(*answer as *const () as usize, SeqCst);
    }
    apply_filter(&TRAPPED).expect("seccomp");
}

/// Lets the kernel answer all further calls.
pub fn answer_no_more() {
    ANSWERS.iter().for_each(|place| place.store(0, SeqCst));
}

/// Answers a call that the filter trapped.
pub extern "C" fn on_sys(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passed this context to this handler.
    let register = |which| unsafe { guest::register(context, which) };
    let (buffer, length) = (*register(libc::REG_RDI), *register(libc::REG_RSI));
    let next = ANSWERS.iter().find(|place| place.load(SeqCst) != 0);
    let answer: Answer = next.map_or(getrandom, |place| {
        let answer = place.load(SeqCst);
        if answer != REFUSE as *const () as usize {
            place.store(0, SeqCst);
        }
        // SAFETY: `answer` stored an `Answer`.
        unsafe { std::mem::transmute::<usize, Answer>(answer) }
    });
    *register(libc::REG_RAX) = answer(buffer as u64, length as u64);
}
