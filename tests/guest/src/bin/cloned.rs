//! Makes UUIDs in a machine, or in a process, that is saved once and restored
//! twice. It prints a line for each UUID, with its kind and its value, so that a
//! script can compare what the two make.
//!
//! - `cloned machine [reseed]` prints `READY`, and then stops the machine, which is
//!   to be saved and restored.
//! - `cloned process DIRECTORY [reseed]` makes a file `ready` in the directory,
//!   waits for a file `go`, and prints to `out.0`, or to `out.1` if there is an
//!   `out.0`.
//!
//! With `reseed`, it calls `reseed()` when it goes on.
#![cfg(target_os = "linux")]

use std::error::Error;
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
    // What `uuid` draws from with this feature.
    ("fast-rng", || {
        Box::new(|| Uuid::from_u128(rand::random::<u128>()))
    }),
];

/// UUIDs of each kind when it goes on: more than a pool keeps ready.
const EACH: usize = 500;
/// UUIDs before that, so that there are pools, keys and states.
const BEFORE: usize = 3;
/// UUIDs of one call of `fill_v4`, which is running when the machine stops.
const BULK: usize = 1 << 19;
/// UUIDs of that call that are printed: more than the 4096 of a seed.
const BULK_SHOWN: usize = 6000;

/// The half to which no hardware number is added: of an unbuffered UUID, what the
/// kernel drew.
fn upper_half(id: Uuid) -> u64 {
    (id.as_u128() >> 64) as u64
}

/// A thread for each kind.
struct Makers {
    start: Arc<Barrier>,
    threads: Vec<(&'static str, JoinHandle<Vec<Uuid>>)>,
}

impl Makers {
    /// Returns when each thread has made its first UUIDs and waits.
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
                writeln!(output, "{name} {}", id.simple())?;
                if name == "unbuffered" {
                    writeln!(output, "upper-half {:016x}", upper_half(id))?;
                }
            }
        }
        Ok(())
    }
}

/// Makes the calling thread run before all others of its processor, or one among
/// them again.
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

/// Makes qemu stop the machine, by its device for guests that panic (pvpanic-pci).
/// Returns when the machine goes on.
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
    // SAFETY: a new mapping of the device's only register, in which 1 is a panic.
    unsafe {
        let at = libc::mmap(ptr::null_mut(), 1, rights, kind, registers.as_raw_fd(), 0);
        assert_ne!(at, libc::MAP_FAILED);
        at.cast::<u8>().write_volatile(1);
    }
    Ok(())
}

/// In a machine with one processor.
///
/// The main thread and the makers outrank all others. So no UUID is made between the
/// count of what the bulk call has written and the stop of the machine. And the
/// kernel's generator does not renew its key while the makers run, which would hide
/// what is repeated.
fn machine(reseed: bool) -> Result<(), Box<dyn Error>> {
    // In the first two minutes the kernel renews that key more often than each minute.
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
    println!("READY");
    // SAFETY: waits until the console has sent it, which a stopped machine does not.
    unsafe { libc::tcdrain(1) };
    let written = written(address)?;
    stop_machine()?;

    // The kernel hears from its device that the machine was cloned.
    thread::sleep(Duration::from_millis(20));
    if reseed {
        fork_safe_uuid::reseed();
    }
    let mut output = io::stdout().lock();
    let has_numbers = fork_safe_uuid::status().hardware_random();
    writeln!(
        output,
        "hardware: {}",
        if has_numbers { "yes" } else { "no" }
    )?;
    makers.finish(&mut output)?;
    let bulk = bulk.join().expect("a thread");
    for id in &bulk[written..written + BULK_SHOWN] {
        writeln!(output, "bulk {}", id.simple())?;
    }
    Ok(())
}

/// Returns how many bytes of memory have a mark of those that smaps lists.
fn marked(mark: &str) -> usize {
    let marked = mappings(|flags| flags.contains(&mark));
    marked.iter().map(ExactSizeIterator::len).sum()
}

/// Returns how many of their next UUIDs this process and a forked child share, by
/// the [`upper_half`].
fn shared_with_child(make: impl Fn() -> Uuid) -> io::Result<String> {
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
    let shared = others.iter().filter(|half| own.contains(half)).count();
    Ok(match shared {
        EACH => "all".to_owned(),
        _ => shared.to_string(),
    })
}

fn process(directory: &Path, reseed: bool) -> Result<(), Box<dyn Error>> {
    /// That the kernel zeroes the memory in a forked child; that it may drop it,
    /// which is for the states of the vDSO.
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
        let is_kept = marked(mark) >= before;
        writeln!(output, "{name}: {}", if is_kept { "kept" } else { "lost" })?;
    }
    makers.finish(&mut output)?;
    let pooled = shared_with_child(fork_safe_uuid::new_v4)?;
    let unbuffered = Generator::unbuffered();
    let unbuffered = shared_with_child(|| unbuffered.new_v4())?;
    writeln!(output, "child: {pooled}\nunbuffered-child: {unbuffered}")?;
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
