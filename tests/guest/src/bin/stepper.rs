//! Injects an event at each instruction of a call.
//!
//! A fresh child sets the processor's trap flag and makes the call; the kernel
//! then signals it after each instruction, and at the chosen one the handler is
//! the event. Afterwards parent and child draw more than a whole pool, and all
//! values are compared.
//!
//! `stepper STRIDE [PATH]`: every STRIDE-th position of the long paths, or with 0 none
//! of them; the fast path is always complete. Prints a line for each path and
//! event, and fails where a value comes twice, is not random, or a process
//! hangs or crashes.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::collections::BTreeMap;
use std::process::exit;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use guest::trap;

use fork_safe_uuid::{Generator, Uuid, fill_v4, new_v4, reseed};

/// What is in the middle of being called.
struct Path {
    name: &'static str,
    /// Makes UUIDs until the call is at its interesting place.
    before: fn(&Log),
    /// Makes these many at once, or just one, or one unbuffered, or none while
    /// the thread ends.
    bulk: usize,
    long: bool,
}

/// How many UUIDs a pool holds.
const SLOTS: usize = 251;
const MOST: usize = SLOTS + 40;
const UNBUFFERED: usize = usize::MAX;
const END_OF_THREAD: usize = usize::MAX - 1;

const fn path(name: &'static str, before: fn(&Log), bulk: usize, long: bool) -> Path {
    Path {
        name,
        before,
        bulk,
        long,
    }
}

const PATHS: [Path; 10] = [
    path("fast", |log| log.draw(5), 0, false),
    path("last slot", |log| log.draw(SLOTS - 1), 0, false),
    path("refill", |log| log.draw(SLOTS), 0, true),
    path("first call", |_| {}, 0, true),
    path(
        "after reseed",
        |log| {
            log.draw(5);
            reseed();
        },
        0,
        true,
    ),
    path("bulk from slots", |log| log.draw(5), 7, true),
    path("bulk past slots", |log| log.draw(SLOTS - 10), MOST, true),
    path("unbuffered", |log| log.draw_unbuffered(), UNBUFFERED, true),
    path("first unbuffered", |_| {}, UNBUFFERED, true),
    path("end of a thread", |log| log.draw(5), END_OF_THREAD, true),
];

type Event = (&'static str, fn(&Log));

const EVENTS: [Event; 9] = [
    ("makes one", |log| log.draw(1)),
    ("makes two", |log| log.draw(2)),
    ("drains and refills", |log| log.draw(SLOTS + 3)),
    ("makes one unbuffered", |log| log.draw_unbuffered()),
    ("reseeds", |_| reseed()),
    ("forks", |log| _ = log.fork()),
    ("makes, forks, makes", |log| {
        log.draw(1);
        log.fork().draw(1);
    }),
    ("forks, drains in both", |log| log.fork().draw(SLOTS + 3)),
    ("forks, unbuffered in both", |log| {
        log.fork().draw_unbuffered()
    }),
];

/// Values of one process, in memory that all share.
#[repr(C)]
struct Values {
    len: AtomicUsize,
    /// Where the interrupted call's values begin.
    call: AtomicUsize,
    ids: [Uuid; 2000],
}

/// The two processes of one run; the index says who is asking.
struct Log {
    values: *mut [Values; 2],
    me: AtomicUsize,
}

static mut LOG: Option<Log> = None;
static STEP: AtomicUsize = AtomicUsize::new(0);
static TARGET: AtomicUsize = AtomicUsize::new(0);
static EVENT: AtomicUsize = AtomicUsize::new(0);

impl Log {
    fn mine(&self) -> *mut Values {
        // SAFETY: the index is 0 or 1.
        unsafe { (&raw mut (*self.values)[0]).add(self.me.load(SeqCst)) }
    }

    fn len(&self) -> &AtomicUsize {
        // SAFETY: shared memory that is never unmapped.
        unsafe { &(*self.mine()).len }
    }

    fn put(&self, id: Uuid) {
        // A handler that logs meanwhile takes the next place.
        let place = self.len().fetch_add(1, SeqCst);
        // SAFETY: a place of this process's own, given to nobody else.
        unsafe {
            (&raw mut (*self.mine()).ids)
                .cast::<Uuid>()
                .add(place)
                .write(id)
        };
    }

    fn draw(&self, count: usize) {
        (0..count).for_each(|_| self.put(new_v4()));
    }

    fn draw_unbuffered(&self) {
        self.put(Generator::unbuffered().new_v4());
    }

    /// Forks; the child returns into the interrupted call, too.
    fn fork(&self) -> &Self {
        // SAFETY: one thread; the handler interrupted no allocation.
        if unsafe { libc::fork() } == 0 {
            self.me.store(1, SeqCst);
        }
        self
    }
}

fn log() -> &'static Log {
    // SAFETY: set once, before any signal.
    unsafe { (*ptr::addr_of!(LOG)).as_ref().expect("set") }
}

extern "C" fn on_trap(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    if STEP.fetch_add(1, SeqCst) == TARGET.load(SeqCst) {
        EVENTS[EVENT.load(SeqCst)].1(log());
        // SAFETY: what the kernel gave this handler.
        unsafe { guest::trap_no_more(context) };
    }
}

fn made(bulk: usize) -> usize {
    match bulk {
        END_OF_THREAD => 0,
        UNBUFFERED => 1,
        _ => bulk.max(1),
    }
}

/// Sets the trap flag for the rest of the thread, up to the destructor of a key
/// that is younger than the library's.
#[inline(never)]
fn trap_until_the_last_destructor() {
    extern "C" fn last(_: *mut libc::c_void) {
        trap(false);
    }
    let mut key = 0;
    // SAFETY: the pointer leads to a key; the destructor takes any value.
    unsafe {
        assert_eq!(libc::pthread_key_create(&raw mut key, Some(last)), 0);
        assert_eq!(
            libc::pthread_setspecific(key, ptr::dangling::<u8>().cast()),
            0
        );
    }
    trap(true);
}

/// Makes the call, and nothing else, with the trap flag set.
fn step(bulk: usize) -> Vec<Uuid> {
    let mut ids = vec![Uuid::nil(); made(bulk)];
    if bulk == UNBUFFERED {
        let generator = Generator::unbuffered();
        trap(true);
        let id = generator.new_v4();
        trap(false);
        ids[0] = id;
    } else if bulk == END_OF_THREAD {
        std::thread::spawn(|| {
            log().draw(5);
            log().draw_unbuffered();
            trap_until_the_last_destructor();
        })
        .join()
        .expect("no panic");
    } else if bulk == 0 {
        trap(true);
        let id = new_v4();
        trap(false);
        ids[0] = id;
    } else {
        trap(true);
        fill_v4(&mut ids);
        trap(false);
    }
    ids
}

/// One run in a fresh child: returns the number of steps, or what went wrong.
fn run(path: &Path, event: usize, target: usize) -> Result<(usize, bool), String> {
    // SAFETY: the log's memory is for the two processes of this run, which both
    // have ended when it is read.
    let values = unsafe { &mut *log().values };
    for values in &mut *values {
        values.len.store(0, SeqCst);
    }
    EVENT.store(event, SeqCst);
    TARGET.store(target, SeqCst);
    STEP.store(0, SeqCst);
    let mut ends = [0; 2];
    // SAFETY: the pointer leads to two ints.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    // SAFETY: one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: has the kernel end whoever hangs; a forked child has no alarm.
        unsafe { libc::alarm(20) };
        (path.before)(log());
        let ids = step(path.bulk);
        // SAFETY: as above, for the child.
        unsafe { libc::alarm(20) };
        // SAFETY: shared memory that is never unmapped.
        unsafe { (*log().mine()).call.store(log().len().load(SeqCst), SeqCst) };
        ids.into_iter().for_each(|id| log().put(id));
        log().draw(SLOTS + 10);
        let steps = STEP.load(SeqCst);
        // SAFETY: writes eight bytes, and ends without the parent's destructors.
        unsafe {
            libc::write(ends[1], (&raw const steps).cast(), 8);
            libc::_exit(0);
        }
    }
    // SAFETY: ours, and read to the end, which comes when both have ended.
    let records: Vec<usize> = unsafe {
        libc::close(ends[1]);
        let mut records = vec![];
        let mut record = 0_usize;
        while libc::read(ends[0], (&raw mut record).cast(), 8) == 8 {
            records.push(record);
        }
        libc::close(ends[0]);
        let mut status = 0;
        libc::waitpid(pid, &raw mut status, 0);
        if status != 0 {
            return Err(format!("ended with status {status:#x}"));
        }
        records
    };
    let forks = usize::from(EVENTS[event].0.contains("forks") && target < records[0]);
    if records.len() != 1 + forks {
        return Err(format!(
            "{} of {} processes ended well",
            records.len(),
            1 + forks
        ));
    }
    check(values, forks == 1, made(path.bulk)).map(|equal| (records[0], equal))
}

/// All values are random and distinct; only the interrupted call's `made` ones
/// may be in both processes, and then all of them. Returns whether they are.
fn check(values: &[Values; 2], forked: bool, made: usize) -> Result<bool, String> {
    let mut seen = BTreeMap::new();
    let mut equal = 0;
    for (who, values) in values.iter().enumerate().take(1 + usize::from(forked)) {
        for (place, id) in values.ids[..values.len.load(SeqCst)].iter().enumerate() {
            if id.get_version_num() != 4 || id.as_u128().count_ones() < 20 {
                return Err(format!("{id} is not random"));
            }
            let call = place.wrapping_sub(values.call.load(SeqCst));
            match seen.insert(id, (who, call)) {
                None => {}
                Some((other, same)) if other != who && same == call && call < made => equal += 1,
                Some(_) => return Err(format!("{id} twice")),
            }
        }
    }
    if equal != 0 && equal != made {
        return Err(format!("{equal} values in both"));
    }
    Ok(equal != 0)
}

/// A fork between the check of `alive` and the end of the call leaves the value
/// in both processes. So many instructions there are at the most: of the fast
/// path the compare, the branch, the store of the state, and what the compiler
/// puts behind it.
const COMMITTED: usize = 12;

/// The same where the way back is longer.
const COMMITTED_LONG: usize = 150;

fn main() {
    let stride: usize = std::env::args()
        .nth(1)
        .map_or(1, |text| text.parse().expect("a number"));
    // SAFETY: anonymous memory that the runs share; a zeroed log is valid.
    unsafe {
        let memory = libc::mmap(
            ptr::null_mut(),
            size_of::<[Values; 2]>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(memory, libc::MAP_FAILED);
        LOG = Some(Log {
            values: memory.cast(),
            me: AtomicUsize::new(0),
        });
    }
    guest::on_trap(on_trap);
    let mut failed = false;
    let mut injected = 0;
    let only = std::env::args().nth(2);
    let chosen = PATHS.iter().filter(|path| {
        (stride > 0 || !path.long) && only.as_ref().is_none_or(|only| path.name == only)
    });
    for path in chosen {
        // A child that is forked by an ending thread has no other to report.
        let forks = |name: &str| path.bulk == END_OF_THREAD && name.contains("forks");
        let stride = if path.long { stride } else { 1 };
        for (event, (name, _)) in EVENTS
            .iter()
            .enumerate()
            .filter(|(_, (name, _))| !forks(name))
        {
            let (steps, _) = run(path, event, usize::MAX).expect("an undisturbed call");
            let mut equal = 0;
            let mut errors = BTreeMap::<String, Vec<usize>>::new();
            // Beginning anywhere, so that runs differ.
            let first = std::process::id() as usize % stride;
            for target in (first..steps).step_by(stride) {
                injected += 1;
                match run(path, event, target) {
                    Ok((_, both)) => equal += usize::from(both),
                    Err(error) => {
                        let error = error
                            .split_once(' ')
                            .map_or("", |(_, rest)| rest)
                            .to_owned();
                        errors.entry(error).or_default().push(target);
                    }
                }
            }
            println!(
                "{:<16} {:<26} {steps:>6} instructions, both have the value at {equal}{}",
                path.name,
                name,
                if errors.is_empty() {
                    String::new()
                } else {
                    format!(": {errors:?}")
                }
            );
            let committed = if path.long {
                COMMITTED_LONG / stride + 1
            } else {
                COMMITTED
            };
            failed |= !errors.is_empty() || equal > committed;
        }
    }
    println!("{injected} events injected");
    exit(i32::from(failed));
}
