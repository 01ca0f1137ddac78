//! The descriptors of the fuzzed program, the decoys among them, and its sandboxes.

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use arbitrary::Arbitrary;
use seccompiler::{BpfProgram, SeccompAction, apply_filter};
use support::ok;
use support::seccomp::filter;

/// What is at a descriptor's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    dev: u64,
    ino: u64,
    rdev: u64,
    descriptor_flags: i32,
    status_flags: i32,
}

impl Seen {
    /// Returns whether it is /dev/urandom and can be read, whichever code opened it.
    pub fn is_device(self) -> bool {
        self.rdev == libc::makedev(1, 9)
            && self.status_flags & libc::O_ACCMODE != libc::O_WRONLY
            && self.status_flags & libc::O_PATH == 0
    }

    /// Returns whether the crate opened it, or whether it is a duplicate of such a descriptor.
    pub fn is_marked(self) -> bool {
        let mark = libc::O_DSYNC | libc::O_NONBLOCK;
        self.is_device() && self.status_flags & (libc::O_SYNC | libc::O_NONBLOCK) == mark
    }

    /// Returns whether it is /dev/urandom with the flags with which the crate opens it.
    pub fn is_as_opened(self) -> bool {
        self.is_device()
            && self.descriptor_flags == libc::FD_CLOEXEC
            && self.status_flags & libc::O_ACCMODE == libc::O_RDONLY
    }
}

/// Returns what is at `number`, or `None` if it is closed.
pub fn seen(number: usize) -> Option<Seen> {
    // SAFETY: zeros are a valid `stat`, which the kernel overwrites. The other calls return flags.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        (libc::fstat(number as i32, &raw mut stat) == 0).then(|| Seen {
            dev: stat.st_dev,
            ino: stat.st_ino,
            rdev: stat.st_rdev,
            descriptor_flags: libc::fcntl(number as i32, libc::F_GETFD),
            status_flags: libc::fcntl(number as i32, libc::F_GETFL),
        })
    }
}

pub fn close(number: usize) {
    // SAFETY: a number of the fuzzed program, which no Rust object owns.
    unsafe { libc::close(number as i32) };
}

/// Calls dup2(2), and returns whether it succeeded: the limit may forbid it.
pub fn copy(from: usize, to: usize) -> bool {
    // SAFETY: numbers of the fuzzed program, which no Rust object owns.
    unsafe { libc::dup2(from as i32, to as i32) >= 0 }
}

/// Lowers or raises the number of descriptors that may be open.
pub fn limit(limit: u64) {
    let mut now = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointers lead to a limit.
    unsafe {
        ok(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut now));
        now.rlim_cur = limit;
        ok(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const now));
    }
}

/// A file that the program may open.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Thing {
    Urandom,
    UrandomToWrite,
    UrandomAsPath,
    Random,
    Zero,
    Null,
}

impl Thing {
    /// Opens the file at the lowest free number, and returns the number if it is below `end`.
    pub fn open(self, end: usize) -> Option<usize> {
        let (path, flags): (&CStr, _) = match self {
            Thing::Urandom => (c"/dev/urandom", libc::O_RDONLY),
            Thing::UrandomToWrite => (c"/dev/urandom", libc::O_WRONLY),
            Thing::UrandomAsPath => (c"/dev/urandom", libc::O_PATH),
            Thing::Random => (c"/dev/random", libc::O_RDONLY),
            Thing::Zero => (c"/dev/zero", libc::O_RDWR),
            Thing::Null => (c"/dev/null", libc::O_RDWR),
        };
        // SAFETY: the path ends in a zero byte.
        let number = usize::try_from(unsafe { libc::open(path.as_ptr(), flags) }).ok()?;
        if number >= end {
            close(number);
            return None;
        }
        Some(number)
    }
}

/// How getrandom(2) fails once it is refused.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Refusal {
    Forbidden,
    Missing,
    /// It fails with an errno that is no refusal.
    Broken,
}

impl Refusal {
    /// Makes getrandom(2) fail from now on.
    pub fn begin(self) {
        static PROGRAMS: OnceLock<[BpfProgram; 3]> = OnceLock::new();
        let programs = PROGRAMS.get_or_init(|| {
            [libc::EPERM, libc::ENOSYS, libc::EIO].map(|errno| {
                let action = SeccompAction::Errno(errno as u32);
                let filter = filter(&[libc::SYS_getrandom], action, SeccompAction::Allow);
                filter.expect("a known architecture")
            })
        });
        apply_filter(&programs[self as usize]).expect("seccomp");
    }
}

const PATTERN: &[u8; 8] = b"DECOYDEC";
/// The length of a decoy's content.
const LENGTH: usize = 256;
/// The count of the eventfd.
const COUNT: u64 = u32::from_ne_bytes(*b"DECO") as u64;

/// Returns whether a UUID contains six successive bytes of a decoy. Version and variant leave no
/// more in a row unchanged.
pub fn shows_decoy(bytes: &[u8]) -> bool {
    PATTERN
        .repeat(2)
        .windows(6)
        .any(|part| bytes.windows(6).any(|window| window == part))
}

/// A decoy of each kind. They are made once, at numbers that the program does not use, and only
/// [`Decoys::assert_untouched`] reads them.
pub struct Decoys {
    socket: File,
    pipe: File,
    terminal: File,
    event: File,
    file: File,
    others: [File; 3],
}

impl Decoys {
    pub const FIRST: i32 = 900;
    pub const END: u64 = 1000;

    pub fn new() -> Self {
        limit(Self::END);
        // Moves a new descriptor to a number that the program does not use.
        let away = |fd| {
            // SAFETY: a new descriptor that nothing else owns.
            unsafe {
                let made = OwnedFd::from_raw_fd(ok(fd));
                let moved = libc::fcntl(made.as_raw_fd(), libc::F_DUPFD_CLOEXEC, Self::FIRST);
                File::from_raw_fd(ok(moved))
            }
        };
        let (mut sockets, mut pipes, mut terminals) = ([0; 2], [0; 2], [0; 2]);
        // SAFETY: the pointers lead to the ints that the calls write, or are null.
        unsafe {
            ok(libc::socketpair(
                libc::AF_UNIX,
                libc::SOCK_STREAM,
                0,
                sockets.as_mut_ptr(),
            ));
            ok(libc::pipe(pipes.as_mut_ptr()));
            let [slave, master] = &mut terminals;
            let (name, modes, size) = (ptr::null_mut(), ptr::null(), ptr::null());
            ok(libc::openpty(master, slave, name, modes, size));
        }
        // SAFETY: the calls make descriptors.
        let (event, file) = unsafe {
            (
                libc::eventfd(0, libc::EFD_NONBLOCK),
                libc::memfd_create(c"decoy".as_ptr(), 0),
            )
        };
        let [socket, peer] = sockets.map(away);
        let [pipe, input] = pipes.map(away);
        let [terminal, master] = terminals.map(away);
        let decoys = Self {
            socket,
            pipe,
            terminal,
            event: away(event),
            file: away(file),
            others: [peer, input, master],
        };
        let mut content = PATTERN.repeat(LENGTH / PATTERN.len());
        *content.last_mut().expect("not empty") = b'\n';
        decoys.file.write_all_at(&content, 0).expect("a file");
        for mut other in &decoys.others {
            other.write_all(&content).expect("a stream");
        }
        (&decoys.event)
            .write_all(&COUNT.to_ne_bytes())
            .expect("an eventfd");
        // A thread of the kernel passes on what is written to the other end of the terminal.
        while unread(&decoys.terminal) < LENGTH {
            thread::sleep(Duration::from_millis(1));
        }
        decoys.assert_untouched();
        decoys
    }

    /// Returns the number of a decoy.
    pub fn number(&self, kind: u8) -> usize {
        let all = [
            &self.socket,
            &self.pipe,
            &self.terminal,
            &self.event,
            &self.file,
        ];
        all[usize::from(kind) % all.len()].as_raw_fd() as usize
    }

    /// Asserts that nothing was read from the decoys or written to them, and that no offset moved.
    pub fn assert_untouched(&self) {
        for stream in [&self.socket, &self.pipe, &self.terminal] {
            assert_eq!(unread(stream), LENGTH, "{stream:?}");
        }
        assert_eq!(unread(&self.others[0]), 0, "the socket's other end");
        let mut count = [0; 8];
        (&self.event).read_exact(&mut count).expect("an eventfd");
        assert_eq!(u64::from_ne_bytes(count), COUNT);
        (&self.event).write_all(&count).expect("an eventfd");
        // SAFETY: asks for the offset.
        let offset = unsafe { libc::lseek(self.file.as_raw_fd(), 0, libc::SEEK_CUR) };
        let mut content = [0; LENGTH + 1];
        let length = self.file.read_at(&mut content, 0).expect("a file");
        assert_eq!((offset, length), (0, LENGTH));
        assert!(content.starts_with(PATTERN));
    }
}

/// Returns how many bytes can be read from a stream.
fn unread(stream: &File) -> usize {
    let mut count = 0;
    // SAFETY: FIONREAD writes one int, to which the pointer leads.
    ok(unsafe { libc::ioctl(stream.as_raw_fd(), libc::FIONREAD, &raw mut count) });
    count as usize
}
