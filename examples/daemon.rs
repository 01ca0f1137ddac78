//! Shows what happened to Celery in 2014: a scheduler makes UUIDs and becomes a daemon, and
//! its workers hand out task ids. Seven generators do this in three worlds.
//!
//! ```text
//! cargo run --release --example daemon
//! ```
//!
//! Each daemon does what Celery's beat does:
//!
//! 1. It enters its world: plain, or a sandbox in which seccomp(2) answers getrandom(2) with EPERM
//!    or ENOSYS.
//! 2. It makes its first UUIDs.
//! 3. It detaches: it forks twice, calls setsid(2), and closes every descriptor.
//! 4. It opens the null device three times, a statsd client, an event pipe and a log, so that all
//!    low numbers are in use again. The client receives datagrams.
//! 5. Two of its threads make UUIDs while it forks workers, each of which hands out task ids.
//! 6. It counts the datagrams that are left.
//!
//! The daemon reports by a pipe that has a high number. The exit status is 1 if anything is
//! wrong in the rows of this crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use fork_safe_uuid::Uuid;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

const WORKERS: usize = 8;
/// A worker makes so many that the peers that reseed after 64 KiB do so.
const TASK_IDS: usize = 5000;
const FIRST_IDS: usize = 1000;
const DATAGRAMS: usize = 64;
/// A thread or worker that takes longer hangs. Its work takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(3);
/// The number of the pipe to the foreground. The daemon closes all numbers below.
const REPORT: RawFd = 200;

/// A datagram that arrives at the client's socket.
const DATAGRAM: &[u8; 64] = b"statsd.acknowledged:beat.tasks.sent:1|c|#host:celery,queue:mail\n";
/// The content of the event pipe.
const EVENT: &[u8] = b"event: schedule changed, wake up the beat; ";
/// The content of the log.
const LOG: &[u8] = b"[INFO/MainProcess] beat: Starting...\n";

struct Generator {
    name: &'static str,
    make: fn() -> Uuid,
}

/// Cargo unifies features, so that this build cannot have `uuid` both with and without
/// `fast-rng`. Version 4 of `uuid` is therefore what `uuid` 1.29 does: it calls
/// `getrandom::fill`, or `rand::random::<u128>` with `fast-rng`, and sets the bits of the
/// version. Version 7 is that of this build, with `fast-rng`.
const GENERATORS: [Generator; 7] = [
    Generator {
        name: "fork-safe-uuid v4",
        make: fork_safe_uuid::new_v4,
    },
    Generator {
        name: "uuid v4",
        make: || {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).expect("entropy");
            uuid::Builder::from_random_bytes(bytes).into_uuid()
        },
    },
    Generator {
        name: "uuid v4 + fast-rng",
        make: || uuid::Builder::from_random_bytes(rand::random::<u128>().to_ne_bytes()).into_uuid(),
    },
    Generator {
        name: "uuid7 v4",
        make: || Uuid::from_bytes(uuid7::uuid4().into()),
    },
    Generator {
        name: "fork-safe-uuid v7",
        make: fork_safe_uuid::now_v7,
    },
    Generator {
        name: "uuid v7 + fast-rng",
        make: Uuid::now_v7,
    },
    Generator {
        name: "uuid7 v7",
        make: || Uuid::from_bytes(uuid7::uuid7().into()),
    },
];

/// The worlds, and the error that getrandom(2) returns there.
const WORLDS: [(&str, Option<i32>); 3] = [
    ("plain", None),
    ("getrandom: EPERM", Some(libc::EPERM)),
    ("getrandom: ENOSYS", Some(libc::ENOSYS)),
];

/// What a daemon has reported.
#[derive(Default)]
struct Row {
    ids: Vec<Uuid>,
    datagrams_left: usize,
    hung: usize,
    ended: bool,
    died: String,
}

impl Row {
    fn duplicates(&self) -> usize {
        self.ids.len() - self.ids.iter().collect::<BTreeSet<_>>().len()
    }

    /// Returns how many UUIDs have five bytes of a datagram, an event or the log.
    fn foreign(&self) -> usize {
        let content = [&DATAGRAM.repeat(2), EVENT, LOG, EVENT].concat();
        let known: BTreeSet<_> = content.windows(5).collect();
        let shows = |id: &&Uuid| id.as_bytes().windows(5).any(|part| known.contains(part));
        self.ids.iter().filter(shows).count()
    }

    fn stolen(&self) -> usize {
        DATAGRAMS - self.datagrams_left
    }

    fn is_clean(&self) -> bool {
        self.ended
            && self.ids.len() >= FIRST_IDS + WORKERS * TASK_IDS
            && self.duplicates() + self.foreign() + self.stolen() + self.hung == 0
    }
}

fn main() -> ExitCode {
    let start = Instant::now();
    let statsd = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let address = statsd.local_addr().expect("bound");
    thread::spawn(move || acknowledge(&statsd));

    // The daemons run at the same time, each with its own pipe.
    let mut cells = Vec::new();
    for (world, errno) in WORLDS {
        for generator in &GENERATORS {
            let output = launch(generator, errno, address);
            let row = thread::spawn(|| collect(output));
            cells.push((world, generator.name, row));
        }
    }
    println!(
        "{:<18} {:<18} {:>7} {:>11} {:>8} {:>16} {:>5}",
        "world", "generator", "UUIDs", "duplicates", "foreign", "datagrams stolen", "hung"
    );
    let mut clean = true;
    for (world, name, row) in cells {
        let row = row.join().expect("no panic");
        println!(
            "{world:<18} {name:<18} {:>7} {:>11} {:>8} {:>16} {:>5} {}",
            row.ids.len(),
            row.duplicates(),
            row.foreign(),
            row.stolen(),
            row.hung,
            if row.ended { "" } else { row.died.trim() }
        );
        clean &= !name.starts_with("fork-safe-uuid") || row.is_clean();
    }
    println!(
        "\nThe UUIDs are those of the scheduler, its two threads and {WORKERS} workers, and the\n\
         duplicates are counted across all of them. A foreign UUID has bytes of a datagram, an\n\
         event or the log. A thread or worker that takes more than {PATIENCE:?} has hung.\n\
         This took {:.1} s.",
        start.elapsed().as_secs_f64()
    );
    if clean {
        ExitCode::SUCCESS
    } else {
        println!("a row of fork-safe-uuid is not clean");
        ExitCode::FAILURE
    }
}

/// Runs the statsd server, which answers each metric of a datagram with a datagram.
fn acknowledge(statsd: &UdpSocket) {
    let mut metrics = [0; 2048];
    while let Ok((length, client)) = statsd.recv_from(&mut metrics) {
        for _ in metrics[..length].split_inclusive(|&byte| byte == b'\n') {
            // The daemon may have ended.
            let _ = statsd.send_to(DATAGRAM, client);
        }
    }
}

/// Starts a daemon and returns the pipe that it reports to.
fn launch(generator: &Generator, errno: Option<i32>, statsd: SocketAddr) -> File {
    let mut ends = [0; 2];
    // SAFETY: the pointer leads to two ints.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) });
    // SAFETY: both were made above, and nothing else owns them.
    let (output, input) = unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) };
    if fork() == 0 {
        // SAFETY: `input` is not used after this, and nothing else owns the new number.
        let input = unsafe {
            check(libc::dup2(input.as_raw_fd(), REPORT));
            check(libc::close_range(3, REPORT as u32 - 1, 0));
            check(libc::close_range(REPORT as u32 + 1, u32::MAX, 0));
            File::from_raw_fd(REPORT)
        };
        scheduler(generator.make, errno, statsd, Report(input));
    }
    output
}

/// Runs a daemon from its start to its end.
fn scheduler(make: fn() -> Uuid, errno: Option<i32>, statsd: SocketAddr, report: Report) -> ! {
    let panics = report.clone();
    std::panic::set_hook(Box::new(move |info| panics.died(&info.to_string())));
    if let Some(errno) = errno {
        refuse_getrandom(errno);
    }
    report.ids((0..FIRST_IDS).map(|_| make()));

    detach();

    let null = [(); 3].map(|()| File::open("/dev/null").expect("the null device"));
    let client = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    client.connect(statsd).expect("loopback");
    let (_events, mut waker) = io::pipe().expect("a pipe");
    let mut log = tempfile::tempfile().expect("a log");
    waker.write_all(EVENT).expect("the event pipe");
    log.write_all(LOG).expect("the log");
    assert!(null.iter().all(|null| null.as_raw_fd() < 3) && log.as_raw_fd() < 10);
    client.set_read_timeout(Some(PATIENCE)).expect("a socket");
    client
        .send(&b"beat.tasks.sent:1|c\n".repeat(DATAGRAMS))
        .expect("statsd");
    // The first datagram has arrived and is left there. The others arrive in the meantime.
    client.peek(&mut [0]).expect("a datagram");
    thread::sleep(Duration::from_millis(20));

    let hung = work(make, &report);

    // Even on a busy machine a datagram arrives earlier than that.
    client
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("a socket");
    let left = (0..DATAGRAMS)
        .take_while(|_| client.recv(&mut [0; 128]).is_ok())
        .count();
    report.end(left, hung);
    end();
}

/// Makes UUIDs in two threads and in forked workers, and returns how many of them hung.
fn work(make: fn() -> Uuid, report: &Report) -> usize {
    let stop: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    let running: &'static AtomicUsize = Box::leak(Box::new(AtomicUsize::new(2)));
    for _ in 0..2 {
        let report = report.clone();
        thread::spawn(move || {
            // The first ones are reported one by one, so that those before a hang are counted.
            (0..100).for_each(|_| report.ids(std::iter::once(make())));
            while !stop.load(Relaxed) {
                report.ids((0..1000).map(|_| make()));
            }
            running.fetch_sub(1, Relaxed);
        });
    }
    let workers = [(); WORKERS].map(|()| {
        // Each fork comes while the threads make a UUID.
        thread::sleep(Duration::from_millis(1));
        let pid = fork();
        if pid == 0 {
            // SAFETY: the call uses no memory. The kernel ends a worker that hangs.
            unsafe { libc::alarm(PATIENCE.as_secs() as u32) };
            (0..TASK_IDS).for_each(|_| report.ids(std::iter::once(make())));
            end();
        }
        pid
    });
    stop.store(true, Relaxed);
    let hung = workers
        .into_iter()
        .filter(|&pid| ended_by_alarm(pid))
        .count();
    let end_of_patience = Instant::now() + PATIENCE;
    while running.load(Relaxed) > 0 && Instant::now() < end_of_patience && hung == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    hung + running.load(Relaxed)
}

/// Becomes a daemon as daemon(7) recommends, except that the pipe stays open.
fn detach() {
    for step in 0..2 {
        if fork() != 0 {
            end();
        }
        if step == 0 {
            // SAFETY: the call uses no memory.
            check(unsafe { libc::setsid() });
        }
    }
    // SAFETY: this closes descriptors that other code still uses, as daemons do. The example
    // shows what follows.
    check(unsafe { libc::close_range(0, REPORT as u32 - 1, 0) });
}

/// Waits for a worker, and returns whether it hung.
fn ended_by_alarm(pid: i32) -> bool {
    let mut status = 0;
    // SAFETY: the pointer leads to an int.
    check(unsafe { libc::waitpid(pid, &raw mut status, 0) });
    libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGALRM
}

fn refuse_getrandom(errno: i32) {
    let filter: BpfProgram = SeccompFilter::new(
        BTreeMap::from([(libc::SYS_getrandom, vec![])]),
        SeccompAction::Allow,
        SeccompAction::Errno(errno as u32),
        std::env::consts::ARCH
            .try_into()
            .expect("a known architecture"),
    )
    .and_then(TryInto::try_into)
    .expect("a filter");
    apply_filter(&filter).expect("seccomp");
}

fn fork() -> i32 {
    // SAFETY: the process may have threads. The child makes UUIDs, writes to a pipe and ends.
    // Whether a generator can do this is what the example measures.
    check(unsafe { libc::fork() })
}

/// Ends this process as a forked child should: without flushing its parent's buffers and
/// without running its parent's destructors.
fn end() -> ! {
    // SAFETY: the call does not return.
    unsafe { libc::_exit(0) }
}

#[track_caller]
fn check(result: i32) -> i32 {
    assert!(result >= 0, "{}", io::Error::last_os_error());
    result
}

/// The pipe to the foreground. Many processes write records to it at the same time. The kernel
/// does not split writes of up to PIPE_BUF bytes (pipe(7)).
struct Report(File);

const RECORD: usize = 17;

impl Report {
    /// Duplicates the descriptor, also to a high number.
    fn clone(&self) -> Self {
        let fd = self.0.as_raw_fd();
        // SAFETY: nothing else owns the new descriptor.
        Self(unsafe { File::from_raw_fd(check(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, REPORT))) })
    }

    fn ids(&self, ids: impl Iterator<Item = Uuid>) {
        let records = ids.flat_map(|id| std::iter::once(0).chain(id.into_bytes()));
        let records: Vec<_> = records.collect();
        for records in records.chunks(libc::PIPE_BUF / RECORD * RECORD) {
            (&self.0).write_all(records).expect("the foreground");
        }
    }

    /// Reports the text of a panic, because standard error is closed.
    fn died(&self, why: &str) {
        for part in why.as_bytes().chunks(RECORD - 1) {
            let mut record = [b' '; RECORD];
            record[0] = 2;
            record[1..=part.len()].copy_from_slice(part);
            (&self.0).write_all(&record).expect("the foreground");
        }
    }

    fn end(&self, left: usize, hung: usize) {
        let mut record = [1; RECORD];
        record[1] = left as u8;
        record[2] = hung as u8;
        (&self.0).write_all(&record).expect("the foreground");
    }
}

/// Reads until the daemon and all its workers have ended.
fn collect(mut output: File) -> Row {
    let mut bytes = Vec::new();
    output.read_to_end(&mut bytes).expect("the daemon's pipe");
    let mut row = Row::default();
    for record in bytes.as_chunks::<RECORD>().0 {
        match record {
            [0, id @ ..] => row.ids.push(Uuid::from_bytes(*id)),
            [2, text @ ..] => row.died.push_str(&String::from_utf8_lossy(text)),
            [_, left, hung, ..] => {
                row.ended = true;
                row.datagrams_left = usize::from(*left);
                row.hung = usize::from(*hung);
            }
        }
    }
    row
}
