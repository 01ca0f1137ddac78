//! Files, sockets and other objects that take the number of another descriptor, and notice
//! if they are read, written or closed.

use std::fs::File;
use std::io::{Error, Seek, Write};
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::ok;
use crate::process::pipe;

/// What a decoy is. A scenario asserts that its content is neither consumed nor in a UUID, and
/// that it is not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A UDP socket that has received datagrams.
    Udp,
    /// The end of a pipe from which its content can be read.
    Pipe,
    /// An eventfd(2) with a count.
    Event,
    /// A terminal with a line of input.
    Tty,
    /// A regular file.
    File,
}

/// All kinds.
pub const KINDS: [Kind; 5] = [Kind::Udp, Kind::Pipe, Kind::Event, Kind::Tty, Kind::File];

/// What the content of a decoy repeats. Its first bytes are the count of an eventfd.
pub const PATTERN: &[u8; 8] = b"DECOYDEC";
const COPIES: usize = 32;

/// A descriptor with content that can be checked.
pub struct Decoy {
    kind: Kind,
    fd: OwnedFd,
    /// The descriptors that must stay open, such as the other end of a pipe.
    _others: Vec<OwnedFd>,
}

impl Decoy {
    /// Makes a decoy that nobody has touched.
    pub fn new(kind: Kind) -> Self {
        let content = PATTERN.repeat(COPIES);
        let (fd, others): (OwnedFd, Vec<OwnedFd>) = match kind {
            Kind::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
                socket.set_nonblocking(true).expect("a socket");
                let address = socket.local_addr().expect("bound");
                for _ in 0..COPIES {
                    socket
                        .send_to(&PATTERN.repeat(4), address)
                        .expect("loopback");
                }
                (socket.into(), vec![])
            }
            Kind::Pipe => {
                let (output, mut input) = pipe();
                input.write_all(&content).expect("a pipe");
                (output.into(), vec![input.into()])
            }
            Kind::Event => {
                let count = u32::from_ne_bytes(*PATTERN.first_chunk().expect("8 bytes"));
                // SAFETY: the call uses no memory.
                let fd = unsafe { libc::eventfd(count, libc::EFD_NONBLOCK) };
                (owned(fd), vec![])
            }
            Kind::Tty => terminal(&content),
            Kind::File => {
                let mut file = tempfile::tempfile().expect("a file");
                file.write_all(&content).expect("a file");
                file.rewind().expect("a file");
                (file.into(), vec![])
            }
        };
        Self {
            kind,
            fd,
            _others: others,
        }
    }

    /// Returns the number that the decoy got when it was made.
    pub fn number(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Takes `number` as well, and closes the file that has it.
    #[track_caller]
    pub fn take(&self, number: RawFd) {
        // SAFETY: a scenario expects the file at this number to be closed.
        while unsafe { libc::dup2(self.number(), number) } < 0 {
            // Another thread is opening a file at this number.
            assert_eq!(Error::last_os_error().raw_os_error(), Some(libc::EBUSY));
        }
    }

    /// Returns whether `number` leads to this decoy.
    pub fn stands_at(&self, number: RawFd) -> bool {
        let identity = |fd| {
            // SAFETY: zeros are a valid `stat`, and the pointer leads to it.
            unsafe {
                let mut stat: libc::stat = std::mem::zeroed();
                (libc::fstat(fd, &raw mut stat) == 0).then_some((stat.st_dev, stat.st_ino))
            }
        };
        identity(number).is_some() && identity(number) == identity(self.number())
    }

    /// Reads the content to its end, and returns whether all of it was there.
    pub fn is_untouched(&self) -> bool {
        let mut buffer = vec![0; 4096];
        let fd = self.number();
        let mut read = |expected: &[u8]| {
            // SAFETY: the kernel writes at most the buffer's length to it.
            let length = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
            usize::try_from(length).is_ok_and(|length| buffer[..length] == *expected)
        };
        match self.kind {
            Kind::Udp => (0..COPIES).all(|_| read(&PATTERN.repeat(4))),
            Kind::Event => {
                let count = u32::from_ne_bytes(*PATTERN.first_chunk().expect("8 bytes"));
                read(&u64::from(count).to_ne_bytes())
            }
            Kind::Tty => read(&[PATTERN.repeat(COPIES), b"\n".to_vec()].concat()),
            Kind::Pipe => read(&PATTERN.repeat(COPIES)),
            // SAFETY: the call uses no memory.
            Kind::File => unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) == 0 },
        }
    }
}

/// Owns the new descriptor that a call returned.
fn owned(fd: i32) -> OwnedFd {
    // SAFETY: nothing else owns the descriptor.
    unsafe { OwnedFd::from_raw_fd(ok(fd)) }
}

/// Makes a terminal with a line of input, and returns both of its ends.
fn terminal(line: &[u8]) -> (OwnedFd, Vec<OwnedFd>) {
    // SAFETY: the call uses no memory.
    let master = owned(unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY) });
    let mut name = [0 as libc::c_char; 64];
    // SAFETY: `name` has this length, and the other calls use no memory.
    let slave = unsafe {
        ok(libc::grantpt(master.as_raw_fd()));
        ok(libc::unlockpt(master.as_raw_fd()));
        ok(libc::ptsname_r(
            master.as_raw_fd(),
            name.as_mut_ptr(),
            name.len(),
        ));
        owned(libc::open(name.as_ptr(), libc::O_RDWR | libc::O_NOCTTY))
    };
    let mut master = File::from(master);
    master.write_all(line).expect("a terminal");
    master.write_all(b"\n").expect("a terminal");
    (slave, vec![master.into()])
}

/// Returns whether `bytes` contains five bytes of a decoy's content.
pub fn shows_decoy(bytes: &[u8]) -> bool {
    PATTERN
        .repeat(2)
        .windows(5)
        .any(|part| bytes.windows(5).any(|window| window == part))
}
