//! The log of one run: memory that all processes of the run share.

use std::mem;
use std::ptr;
use std::slice;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{self, SeqCst},
};

use fork_safe_uuid::{Error, Generator, Uuid, fill_v4, new_v4};
use support::memory::map_shared;

/// The process that makes the call, its child, a child of that child, and one more.
pub const PROCESSES: usize = 4;

/// At least as many instructions as the longest path has.
const TRACE: usize = 1 << 17;

const CAPACITY: usize = 2000;

/// The UUIDs that one process made.
#[repr(C)]
pub struct Values {
    pub len: AtomicUsize,
    /// How many there were when the interrupted call began.
    pub begun: AtomicUsize,
    /// The place of the first UUID of the interrupted call, and how many it made.
    pub call: AtomicUsize,
    pub made: AtomicUsize,
    /// How many there were when the order of version 7 started again.
    pub restart: Restart,
    /// How many there were when the process began to make those of the last pool.
    pub finishing: AtomicUsize,
    pub ended: AtomicUsize,
    pub ids: [Uuid; CAPACITY],
    /// How many there were when the call began that made this one.
    pub begins: [usize; CAPACITY],
}

impl Values {
    pub fn ids(&self) -> &[Uuid] {
        &self.ids[..self.len.load(SeqCst)]
    }
}

/// A number plus 1, or 0 if there is none.
#[repr(transparent)]
pub struct Restart(AtomicUsize);

impl Restart {
    pub fn load(&self, order: Ordering) -> Option<usize> {
        self.0.load(order).checked_sub(1)
    }
}

#[repr(C)]
pub struct Log {
    /// How many processes there are.
    pub processes: AtomicUsize,
    /// Whether the event came.
    pub came: AtomicUsize,
    pub values: [Values; PROCESSES],
    /// What `paths::nested` has found, or 0. It is the same in all runs.
    pub nested: AtomicUsize,
    /// The instructions of the call that no event interrupts.
    pub steps: AtomicUsize,
    pub trace: [u64; TRACE],
}

static LOG: AtomicUsize = AtomicUsize::new(0);

/// The number of this process in the run.
static ME: AtomicUsize = AtomicUsize::new(0);

pub fn map() {
    LOG.store(map_shared(size_of::<Log>()).addr(), SeqCst);
}

/// Maps numbers that the workers share.
pub fn map_numbers<const N: usize>() -> &'static [AtomicUsize; N] {
    // SAFETY: zeros are valid numbers, and the memory is never unmapped.
    unsafe { &*map_shared(size_of::<[AtomicUsize; N]>()).cast() }
}

/// The UUIDs that the runs of a row made in the call and in the event, with the step of
/// each. Each run has a fresh seed, so that no two runs may make the same UUID.
///
/// The memory is shared, so that the many forks need not copy it.
pub struct Made {
    room: *mut (Uuid, usize),
    len: usize,
}

impl Made {
    /// More than the longest path makes with any event.
    const CAPACITY: usize = 1 << 26;

    pub fn new() -> Self {
        Self {
            room: map_shared(Self::CAPACITY * size_of::<(Uuid, usize)>()).cast(),
            len: 0,
        }
    }

    pub fn add(&mut self, id: Uuid, step: usize) {
        assert!(self.len < Self::CAPACITY);
        // SAFETY: the place is inside the mapping.
        unsafe { self.room.add(self.len).write((id, step)) };
        self.len += 1;
    }

    /// Removes all UUIDs, and returns the later step of each two that made the same.
    pub fn take_repeated(&mut self) -> Vec<usize> {
        // SAFETY: `add` has written them, and only this call borrows them.
        let made = unsafe { slice::from_raw_parts_mut(self.room, self.len) };
        self.len = 0;
        made.sort_unstable();
        made.windows(2)
            .filter(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1)
            .map(|pair| pair[1].1)
            .collect()
    }
}

fn log() -> *mut Log {
    ptr::with_exposed_provenance_mut(LOG.load(SeqCst))
}

pub fn me() -> usize {
    ME.load(SeqCst)
}

/// Returns the log. Processes write `ids` and `trace` through pointers, and these are read
/// when all processes have ended.
pub fn shared() -> &'static Log {
    // SAFETY: `map` has mapped it. Zeros are a valid log, and it is never unmapped.
    unsafe { &*log() }
}

pub fn mine() -> &'static Values {
    &shared().values[me()]
}

pub fn clear() {
    let log = shared();
    log.processes.store(1, SeqCst);
    log.came.store(0, SeqCst);
    for values in &log.values {
        for word in [
            &values.len,
            &values.begun,
            &values.call,
            &values.made,
            &values.restart.0,
            &values.finishing,
            &values.ended,
        ] {
            word.store(0, SeqCst);
        }
    }
}

/// Makes UUIDs, and puts them into the log.
fn record<const N: usize>(make: impl FnOnce() -> [Uuid; N]) {
    let (process, begin) = (me(), mine().len.load(SeqCst));
    let ids = make();
    // The log of a child that was forked meanwhile has none that were there before.
    let begin = if process == me() { begin } else { 0 };
    ids.into_iter().for_each(|id| put(id, begin));
}

fn put(id: Uuid, begin: usize) {
    // A handler that interrupts this takes the next place.
    let place = mine().len.fetch_add(1, SeqCst);
    assert!(place < mine().ids.len());
    // SAFETY: only this call writes to this place.
    unsafe {
        let values = &raw mut (*log()).values[me()];
        (&raw mut (*values).ids[place]).write(id);
        (&raw mut (*values).begins[place]).write(begin);
    }
}

/// Records where the interrupted call begins.
pub fn begin_call() {
    mine().begun.store(mine().len.load(SeqCst), SeqCst);
}

/// Records that the order of version 7 starts again.
pub fn restart_order() {
    mine().restart.0.store(mine().len.load(SeqCst) + 1, SeqCst);
}

/// Records what the interrupted call made.
pub fn put_call(ids: &[Uuid]) {
    mine().call.store(mine().len.load(SeqCst), SeqCst);
    mine().made.store(ids.len(), SeqCst);
    let begin = mine().begun.load(SeqCst);
    ids.iter().for_each(|id| put(*id, begin));
}

pub fn put_step(address: u64) {
    let step = shared().steps.fetch_add(1, SeqCst);
    assert!(step < TRACE);
    // SAFETY: only one thread of one process is traced.
    unsafe { (&raw mut (*log()).trace[step]).write(address) };
}

/// A function that makes a UUID of some version.
pub type Make = fn() -> Result<Uuid, Error>;

static MAKE: AtomicUsize = AtomicUsize::new(0);

/// Makes [`draw`] use `make` instead of `new_v4`.
pub fn set_make(make: Make) {
    MAKE.store(make as *const () as usize, SeqCst);
}

fn make() -> Uuid {
    let make = MAKE.load(SeqCst);
    if make == 0 {
        return new_v4();
    }
    // SAFETY: `set_make` stored a `Make`.
    let make = unsafe { mem::transmute::<usize, Make>(make) };
    make().expect("a UUID")
}

pub fn draw(count: usize) {
    (0..count).for_each(|_| record(|| [make()]));
}

pub fn draw_at_once<const N: usize>() {
    record(|| {
        let mut ids = [Uuid::nil(); N];
        fill_v4(&mut ids);
        ids
    });
}

pub fn draw_unbuffered() {
    record(|| [Generator::unbuffered().new_v4()]);
}

unsafe extern "C" {
    /// The fork that a signal handler may use (POSIX.1-2024; glibc 2.34).
    fn _Fork() -> libc::pid_t;
}

/// Copies the process, and returns whether this is the copy. Both return to the code that
/// the event interrupted.
pub fn fork() -> bool {
    let index = shared().processes.fetch_add(1, SeqCst);
    assert!(index < PROCESSES);
    let is_restarted = mine().restart.load(SeqCst).is_some();
    // SAFETY: a handler may call it, and the child does only what a handler may do.
    let pid = unsafe { _Fork() };
    assert!(pid >= 0);
    if pid == 0 {
        ME.store(index, SeqCst);
        if is_restarted {
            restart_order();
        }
    }
    pid == 0
}
