//! Makes UUIDs in a machine or a process that is saved once and restored twice. It prints a
//! row for each UUID, such as `kind="new_v4" id=...`, so that `tests/vm/table` can compare
//! what the two make.
//!
//! - `cloned machine [reseed]` prints `ready=true` and stops the machine. A script saves it
//!   and restores it.
//! - `cloned process DIRECTORY [reseed]` makes a file `ready` in the directory, waits for a
//!   file `go`, and prints to the file `out.0`, or to `out.1` if there is an `out.0`.
//!
//! With `reseed`, it calls `reseed()` when it is restored.
#![cfg(target_os = "linux")]

use std::error::Error;
use std::fmt::{Debug, Display};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::exit;
use std::ptr;
use std::sync::{Arc, Barrier, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fork_safe_uuid::{Generator, Uuid};
use support::memory::mappings;

type Make = Box<dyn FnMut() -> Uuid>;

type Kind = (&'static str, fn() -> Make);

const KINDS: [Kind; 8] = [
    ("new_v4", || Box::new(fork_safe_uuid::new_v4)),
    ("Generator", || {
        let generator = Generator::new();
        Box::new(move || generator.new_v4())
    }),
    ("unbuffered", || {
        let generator = Generator::unbuffered();
        Box::new(move || generator.new_v4())
    }),
    ("now_v7", || Box::new(fork_safe_uuid::now_v7)),
    ("now_v6", || {
        Box::new(|| fork_safe_uuid::now_v6(&fork_safe_uuid::random_node()))
    }),
    ("now_v1", || {
        Box::new(|| fork_safe_uuid::now_v1(&[3, 1, 4, 1, 5, 9]))
    }),
    ("getrandom(2)", || {
        Box::new(|| {
            let mut bytes = [0; 16];
            // SAFETY: the kernel writes at most that many bytes there.
            let got = unsafe { libc::syscall(libc::SYS_getrandom, bytes.as_mut_ptr(), 16, 0) };
            assert_eq!(got, 16);
            Uuid::from_bytes(bytes)
        })
    }),
    // `uuid` draws from this generator if its feature `fast-rng` is on.
    ("fast-rng", || {
        Box::new(|| Uuid::from_u128(rand::random::<u128>()))
    }),
];

/// How many UUIDs of each kind are made after the restore: more than a pool keeps ready.
const EACH: usize = 500;
/// How many are made before, so that there are pools, keys and states.
const BEFORE: usize = 3;
/// How many UUIDs the call of `fill_v4` makes that is running when the machine stops.
const BULK: usize = 1 << 19;
/// How many of them are printed: more than the 4096 of a seed.
const BULK_SHOWN: usize = 6000;

/// Returns the half of an unbuffered UUID to which no hardware number is added. It consists
/// of the kernel's random numbers.
fn upper_half(id: Uuid) -> u64 {
    (id.as_u128() >> 64) as u64
}

/// Prints a row that says one thing of the scene.
fn print_fact(output: &mut impl Write, key: &str, value: impl Debug) -> io::Result<()> {
    writeln!(output, "{}", guest::row(&[(key, &value)]))
}

/// Prints the row of a UUID.
fn print_id(output: &mut impl Write, kind: &str, id: impl Display) -> io::Result<()> {
    writeln!(
        output,
        "{}",
        guest::row(&[("kind", &kind), ("id", &format_args!("{id}"))])
    )
}

/// The threads that make UUIDs, one for each kind.
struct Makers {
    start: Arc<Barrier>,
    threads: Vec<(&'static str, JoinHandle<Vec<Uuid>>)>,
}

impl Makers {
    /// Starts the threads, and returns when each has made its first UUIDs.
    fn new() -> Self {
        let ready = Arc::new(Barrier::new(KINDS.len() + 1));
        let start = Arc::new(Barrier::new(KINDS.len() + 1));
        let threads = KINDS.map(|(name, make)| {
            let (ready, start) = (ready.clone(), start.clone());
            let thread = thread::spawn(move || {
                let mut make = make();
                (0..BEFORE).for_each(|_| _ = make());
                ready.wait();
                start.wait();
                (0..EACH).map(|_| make()).collect()
            });
            (name, thread)
        });
        ready.wait();
        let threads = threads.into();
        Self { start, threads }
    }

    fn finish(self, output: &mut impl Write) -> io::Result<()> {
        self.start.wait();
        for (name, thread) in self.threads {
            for id in thread.join().expect("a thread") {
                print_id(output, name, id.simple())?;
                if name == "unbuffered" {
                    print_id(
                        output,
                        "upper-half",
                        format_args!("{:016x}", upper_half(id)),
                    )?;
                }
            }
        }
        Ok(())
    }
}

/// Makes the calling thread run before all other threads of its processor, or ends that.
fn outrank(others: bool) {
    let (policy, priority) = if others {
        (libc::SCHED_FIFO, 1)
    } else {
        (libc::SCHED_OTHER, 0)
    };
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the pointer leads to the parameters.
    let set = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    assert_eq!(set, 0, "sched_setscheduler(2) needs a privilege");
}

/// Returns how many UUIDs of the array at `address` another thread has written.
fn written(address: usize) -> io::Result<usize> {
    let mut bytes = vec![0; 16 * BULK];
    File::open("/proc/self/mem")?.read_exact_at(&mut bytes, address as u64)?;
    Ok(bytes
        .as_chunks::<16>()
        .0
        .partition_point(|id| *id != [0; 16]))
}

fn uptime() -> Result<f64, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/uptime")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

/// Makes qemu stop the machine, by its device for guests that panic (pvpanic-pci). Returns
/// when the machine runs again.
fn stop_machine() -> Result<(), Box<dyn Error>> {
    let device = fs::read_dir("/sys/bus/pci/devices")?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            let read = |name| fs::read_to_string(path.join(name)).unwrap_or_default();
            (read("vendor").trim(), read("device").trim()) == ("0x1b36", "0x0011")
        })
        .ok_or("no pvpanic-pci")?;
    fs::write(device.join("enable"), "1")?;
    let registers = File::options()
        .read(true)
        .write(true)
        .open(device.join("resource0"))?;
    let (rights, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: the mapping is new. It has the device's only register, in which 1 means that
    // the guest has panicked.
    unsafe {
        let at = libc::mmap(ptr::null_mut(), 1, rights, kind, registers.as_raw_fd(), 0);
        assert_ne!(at, libc::MAP_FAILED);
        at.cast::<u8>().write_volatile(1);
    }
    Ok(())
}

/// Makes UUIDs in a machine that has one processor.
///
/// The main thread and the makers outrank all other threads. So the bulk call makes no UUID
/// between the count of those that it has written and the stop of the machine. And the
/// kernel does not renew the key of its generator while the makers run, which would hide
/// that UUIDs are repeated.
fn machine(reseed: bool) -> Result<(), Box<dyn Error>> {
    // In the first two minutes the kernel renews that key more often than once a minute.
    while uptime()? < 150.0 {
        thread::sleep(Duration::from_secs(1));
    }
    outrank(true);
    let makers = Makers::new();
    let (sender, address) = mpsc::channel();
    let bulk = thread::spawn(move || {
        outrank(false);
        let mut ids = vec![Uuid::nil(); BULK];
        sender.send(ids.as_ptr().addr()).expect("a receiver");
        fork_safe_uuid::fill_v4(&mut ids);
        ids
    });
    let address = address.recv()?;
    thread::sleep(Duration::from_millis(20));
    print_fact(&mut io::stdout(), "ready", true)?;
    // SAFETY: the call only waits until the console has sent the row. A stopped machine
    // sends nothing.
    unsafe { libc::tcdrain(1) };
    let written = written(address)?;
    stop_machine()?;

    // Meanwhile the device tells the kernel that the machine was cloned.
    thread::sleep(Duration::from_millis(20));
    if reseed {
        fork_safe_uuid::reseed();
    }
    let mut output = io::stdout().lock();
    let has_numbers = fork_safe_uuid::status().hardware_random();
    print_fact(&mut output, "hardware", has_numbers)?;
    makers.finish(&mut output)?;
    let bulk = bulk.join().expect("a thread");
    for id in &bulk[written..written + BULK_SHOWN] {
        print_id(&mut output, "bulk", id.simple())?;
    }
    Ok(())
}

/// Returns how many bytes of memory have the mark in smaps.
fn marked(mark: &str) -> usize {
    let marked = mappings(|flags| flags.contains(&mark));
    marked.iter().map(ExactSizeIterator::len).sum()
}

/// Returns how many of their next [`EACH`] UUIDs this process and a forked child share. It
/// compares the [`upper_half`] of each.
fn shared_with_child(make: impl Fn() -> Uuid) -> io::Result<usize> {
    _ = make();
    let (mut output, mut input) = io::pipe()?;
    // SAFETY: the other threads have ended.
    if unsafe { libc::fork() } == 0 {
        for _ in 0..EACH {
            input.write_all(&upper_half(make()).to_ne_bytes())?;
        }
        exit(0);
    }
    drop(input);
    let own: Vec<_> = (0..EACH)
        .map(|_| upper_half(make()).to_ne_bytes())
        .collect();
    let mut bytes = vec![];
    output.read_to_end(&mut bytes)?;
    let others = bytes.as_chunks::<8>().0;
    assert_eq!(others.len(), EACH);
    Ok(others.iter().filter(|half| own.contains(half)).count())
}

fn process(directory: &Path, reseed: bool) -> Result<(), Box<dyn Error>> {
    /// The kernel zeroes memory with the first mark in a forked child. It may drop memory
    /// with the second, which the states of the vDSO have.
    const MARKS: [(&str, &str); 2] = [("wiped", "wf"), ("droppable", "dp")];
    let makers = Makers::new();
    let before = MARKS.map(|(_, mark)| marked(mark));
    File::create(directory.join("ready"))?;
    while !directory.join("go").exists() {
        thread::sleep(Duration::from_millis(10));
    }
    if reseed {
        fork_safe_uuid::reseed();
    }
    let mut output = File::create_new(directory.join("out.0"))
        .or_else(|_| File::create_new(directory.join("out.1")))?;
    for ((name, mark), before) in MARKS.into_iter().zip(before) {
        print_fact(&mut output, name, marked(mark) >= before)?;
    }
    makers.finish(&mut output)?;
    let pooled = shared_with_child(fork_safe_uuid::new_v4)?;
    let unbuffered = Generator::unbuffered();
    let unbuffered = shared_with_child(|| unbuffered.new_v4())?;
    print_fact(&mut output, "child", pooled)?;
    print_fact(&mut output, "unbuffered_child", unbuffered)?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["machine"] => machine(false),
        ["machine", "reseed"] => machine(true),
        ["process", directory] => process(Path::new(directory), false),
        ["process", directory, "reseed"] => process(Path::new(directory), true),
        _ => Err("machine or process?".into()),
    }
}
