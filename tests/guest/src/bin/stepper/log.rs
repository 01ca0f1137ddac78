//! What the processes of one run tell, in memory that all of them share.

use std::mem;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};

use fork_safe_uuid::{Error, Generator, Uuid, fill_v4, new_v4};
use support::memory::map_shared;

/// A child of the interrupted call, and a child of that child's, and one more.
pub const PROCESSES: usize = 4;

/// Instructions of the longest path.
const TRACE: usize = 1 << 17;

/// Values of one process.
#[repr(C)]
pub struct Values {
    pub len: AtomicUsize,
    /// Where the interrupted call's values begin, and how many they are.
    pub call: AtomicUsize,
    pub made: AtomicUsize,
    /// How many values there were when the last pool was drawn.
    pub finishing: AtomicUsize,
    pub ended: AtomicUsize,
    pub ids: [Uuid; 2000],
}

#[repr(C)]
pub struct Log {
    /// How many processes there are.
    pub processes: AtomicUsize,
    /// Whether the event came.
    pub came: AtomicUsize,
    pub values: [Values; PROCESSES],
    /// The instructions of the undisturbed call.
    pub steps: AtomicUsize,
    pub trace: [u64; TRACE],
}

static LOG: AtomicUsize = AtomicUsize::new(0);

/// Which process of the run this one is.
static ME: AtomicUsize = AtomicUsize::new(0);

/// Maps the log.
pub fn map() {
    LOG.store(map_shared(size_of::<Log>()).addr(), SeqCst);
}

/// Maps numbers that workers share.
pub fn map_numbers<const N: usize>() -> &'static [AtomicUsize; N] {
    // SAFETY: zeros are valid numbers, and the memory is never unmapped.
    unsafe { &*map_shared(size_of::<[AtomicUsize; N]>()).cast() }
}

/// What the runs of a row made in the call and the event, each from a fresh
/// seed, and at which step.
///
/// Shared, so that no fork of the many has to copy what is known by then.
pub struct Made {
    room: *mut (Uuid, usize),
    len: usize,
}

impl Made {
    /// All that the longest path and the busiest event make.
    const CAPACITY: usize = 1 << 26;

    pub fn new() -> Self {
        Self {
            room: map_shared(Self::CAPACITY * size_of::<(Uuid, usize)>()).cast(),
            len: 0,
        }
    }

    pub fn add(&mut self, id: Uuid, step: usize) {
        assert!(self.len < Self::CAPACITY);
        // SAFETY: inside the mapping.
        unsafe { self.room.add(self.len).write((id, step)) };
        self.len += 1;
    }

    /// Forgets all, and returns the later step of each two that made the same.
    pub fn take_repeated(&mut self) -> Vec<usize> {
        // SAFETY: written by `add`, and borrowed for this call.
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

/// The log; the places of `ids` and `trace` that a process was given are
/// written through pointers, and read when all have ended.
pub fn shared() -> &'static Log {
    // SAFETY: mapped, zeroed, which is a valid log, and never unmapped.
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
            &values.call,
            &values.made,
            &values.finishing,
            &values.ended,
        ] {
            word.store(0, SeqCst);
        }
    }
}

pub fn put(id: Uuid) {
    // A handler that logs meanwhile takes the next place.
    let place = mine().len.fetch_add(1, SeqCst);
    assert!(place < mine().ids.len());
    // SAFETY: a place of this process's own, given to nobody else.
    unsafe { (&raw mut (*log()).values[me()].ids[place]).write(id) };
}

/// The values of the call that was interrupted.
pub fn put_call(ids: &[Uuid]) {
    mine().call.store(mine().len.load(SeqCst), SeqCst);
    mine().made.store(ids.len(), SeqCst);
    ids.iter().copied().for_each(put);
}

pub fn put_step(address: u64) {
    let step = shared().steps.fetch_add(1, SeqCst);
    assert!(step < TRACE);
    // SAFETY: one process, and one thread of it, is traced.
    unsafe { (&raw mut (*log()).trace[step]).write(address) };
}

/// What is made, of which version.
pub type Make = fn() -> Result<Uuid, Error>;

static MAKE: AtomicUsize = AtomicUsize::new(0);

/// From here on, other UUIDs than version 4 are made.
pub fn set_make(make: Make) {
    MAKE.store(make as *const () as usize, SeqCst);
}

fn make() -> Uuid {
    let make = MAKE.load(SeqCst);
    if make == 0 {
        return new_v4();
    }
    // SAFETY: stored as a `Make` by `set_make`.
    let make = unsafe { mem::transmute::<usize, Make>(make) };
    make().expect("a UUID")
}

pub fn draw(count: usize) {
    (0..count).for_each(|_| put(make()));
}

pub fn draw_at_once<const N: usize>() {
    let mut ids = [Uuid::nil(); N];
    fill_v4(&mut ids);
    ids.into_iter().for_each(put);
}

pub fn draw_unbuffered() {
    put(Generator::unbuffered().new_v4());
}

unsafe extern "C" {
    /// The fork that a signal handler may use (POSIX.1-2024; glibc 2.34).
    fn _Fork() -> libc::pid_t;
}

/// Copies the process; both return into whatever was interrupted. Returns
/// whether this is the copy.
pub fn fork() -> bool {
    let index = shared().processes.fetch_add(1, SeqCst);
    assert!(index < PROCESSES);
    // SAFETY: allowed in a handler, and the child does what a handler may.
    let pid = unsafe { _Fork() };
    assert!(pid >= 0);
    if pid == 0 {
        ME.store(index, SeqCst);
        set_alarm();
    }
    pid == 0
}

/// After so many seconds a process hangs.
static PATIENCE: AtomicU32 = AtomicU32::new(10);

pub fn multiply_patience(factor: u32) {
    PATIENCE.store(factor * PATIENCE.load(SeqCst), SeqCst);
}

/// Has the kernel end whoever hangs; a forked child has no alarm.
pub fn set_alarm() {
    // SAFETY: touches no memory.
    unsafe { libc::alarm(PATIENCE.load(SeqCst)) };
}
