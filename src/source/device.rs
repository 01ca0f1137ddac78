//! /dev/urandom by a tracked descriptor, for where getrandom(2) is refused.
//!
//! A descriptor is a number, and after a `close` elsewhere in the process the
//! number may be anything. So it is proven at each use:
//!
//! 1. fstat(2) shows the device that was opened.
//! 2. The bytes come by pread(2), which the kernel refuses on whatever has a
//!    stream to consume, and which moves no file's offset.
//! 3. fstat(2) shows the device still; if not, the bytes are discarded.
//!
//! A number that is no longer ours is forgotten, never closed. What remains is
//! a regular file that stands at the number for an instant between 1 and 3:
//! hence these bytes only ever key a DRBG, together with a hedge.

use core::ffi::{CStr, c_int};
use core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

use zeroize::Zeroize;

use super::EntropySource;
use crate::error::{Cause, Error, Failure};
use crate::sys::{self, Identity};
use crate::wipe::WipedCell;

/// The kernel's generator through /dev/urandom, by a descriptor that is proven
/// before and after each use.
///
/// One descriptor serves the whole process. It is at least 3, close-on-exec,
/// and opened at the first use, in a forked child too. It is never written to.
/// Where another descriptor has taken its number, that one is left alone and
/// the device is opened again.
///
/// Use it through a [`Generator`](crate::Generator): raw bytes from a
/// descriptor are key material, not output.
///
/// # Errors
///
/// [`ErrorKind::Device`](crate::ErrorKind::Device): the path does not lead to
/// the character device 1:9, it cannot be opened, or another thread keeps
/// putting descriptors at its number.
///
/// # References
///
/// [urandom(4)](https://man7.org/linux/man-pages/man4/urandom.4.html)
///
/// # Examples
///
/// ```
/// use fork_safe_uuid::{Generator, source::Device};
///
/// match Generator::with_source(Device).try_new_v4() {
///     Ok(id) => println!("{id}"),
///     Err(error) => eprintln!("{error}"), // no /dev/urandom here
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Device;

impl EntropySource for Device {
    fn fill(&self, mut dest: &mut [u8]) -> Result<(), Error> {
        while !dest.is_empty() {
            let filled = read(dest)?;
            dest = &mut dest[filled..];
        }
        Ok(())
    }
}

/// How often one read starts over because its number was taken. Only a thread
/// that hammers on the number gets that far.
const ATTEMPTS: u32 = 64;

/// At least this many bits say that the kernel's generator is initialised:
/// since Linux 5.18 it is exactly that, and before it was so from 128 on.
const INITIALISED_BITS: c_int = 256;

/// A device, by the name it is told to the user by.
struct Node {
    path: &'static CStr,
    name: &'static str,
    number: u64,
}

const URANDOM: Node = Node {
    path: c"/dev/urandom",
    name: "/dev/urandom",
    number: sys::URANDOM,
};

const RANDOM: Node = Node {
    path: c"/dev/random",
    name: "/dev/random",
    number: sys::RANDOM,
};

/// A descriptor and what it was when it was opened.
#[derive(Clone, Copy)]
struct Opened {
    fd: c_int,
    identity: Identity,
}

impl Opened {
    fn is_proven(self) -> bool {
        sys::identity_of(self.fd) == Ok(self.identity)
    }

    /// Closes the descriptor, unless the number is another's by now.
    fn close(self) {
        if self.is_proven() {
            sys::close(self.fd);
        }
    }
}

impl Node {
    fn failed(&self, cause: Cause) -> Error {
        Error::device(Failure {
            call: self.name,
            cause,
        })
    }

    fn os(&self, errno: i32) -> Error {
        self.failed(Cause::Os(errno))
    }

    /// Opens the device, or returns `None` where another thread took the
    /// number before it could be proven.
    ///
    /// The path is looked at first: opening something else could block, rewind
    /// a tape, or leave a descriptor that cannot be told from a stranger's.
    fn open(&self) -> Result<Option<Opened>, Error> {
        let identity = sys::identity_at(self.path).map_err(|errno| self.os(errno))?;
        if identity.rdev != Some(self.number) {
            return Err(self.failed(Cause::WrongDevice(self.name)));
        }
        let fd = loop {
            match sys::open(self.path) {
                Err(sys::EINTR) => {}
                result => break result.map_err(|errno| self.os(errno))?,
            }
        };
        let opened = Opened { fd, identity };
        Ok(opened.is_proven().then_some(opened))
    }
}

/// Opens /dev/urandom for keeping: at least 3, and initialised.
fn open() -> Result<Option<Opened>, Error> {
    let Some(mut opened) = URANDOM.open()? else {
        return Ok(None);
    };
    // A program that closed its stdio may open its log there, or have a child
    // write to "standard error".
    if opened.fd < 3 {
        let moved = sys::move_above_stdio(opened.fd);
        opened.close();
        opened.fd = moved.map_err(|errno| URANDOM.os(errno))?;
        // What stood at the old number when it was duplicated?
        if !opened.is_proven() {
            return Ok(None);
        }
    }
    let ready = wait_until_initialised(opened.fd);
    // Asked again: the wait may have been long, and an error may be another
    // descriptor's.
    if !opened.is_proven() {
        return Ok(None);
    }
    if !matches!(ready, Ok(true)) {
        opened.close();
    }
    ready.map(|ready| ready.then_some(opened))
}

/// Returns when the kernel's generator is initialised, for /dev/urandom does
/// not wait for it; `false` where another thread took the number of
/// /dev/random.
///
/// The ioctl is one more proof: null, zero and full, which are of the same
/// major number, do not have it.
fn wait_until_initialised(urandom: c_int) -> Result<bool, Error> {
    /// Never unset, as the generator stays initialised until the next boot.
    /// Relaxed: it guards nothing.
    static INITIALISED: AtomicBool = AtomicBool::new(false);

    let bits = sys::entropy_count(urandom).map_err(|errno| URANDOM.os(errno))?;
    if bits < INITIALISED_BITS && !INITIALISED.load(Relaxed) {
        let Some(random) = RANDOM.open()? else {
            return Ok(false);
        };
        let waited = loop {
            match sys::wait_readable(random.fd) {
                Err(sys::EINTR) => {}
                result => break result,
            }
        };
        random.close();
        waited.map_err(|errno| RANDOM.os(errno))?;
    }
    INITIALISED.store(true, Relaxed);
    Ok(true)
}

/// The tracked descriptor, in wiped memory: a forked child has none.
///
/// A child that shares its parent's memory (vfork) has the record and a copy of
/// the descriptor, which serves it as well: were it to track one of its own, the
/// parent would lose the number of the one that it has open. Of a process id the
/// record therefore knows nothing.
///
/// `FD` holds the descriptor, 0 for none, which is never one of ours. It is
/// published last and asked first, with release and acquire, so that the device
/// and inode belong to it. Two threads that open at once may mix theirs;
/// the check of each use then finds the descriptor unproven, at the worst.
static RECORD: WipedCell<[AtomicU64; 3]> = WipedCell::new();
const FD: usize = 0;
const DEV: usize = 1;
const INO: usize = 2;

/// The tracked descriptor, not yet proven.
fn tracked() -> Option<Opened> {
    let record = RECORD.get()?;
    let fd = record[FD].load(Acquire) as c_int;
    (fd != 0).then(|| Opened {
        fd,
        identity: Identity {
            dev: record[DEV].load(Relaxed),
            ino: record[INO].load(Relaxed),
            rdev: Some(sys::URANDOM),
        },
    })
}

/// Tracks `opened`, or returns `false` where another thread was first or there
/// is no wiped memory to keep it in.
fn track(opened: Opened, previous: u64) -> bool {
    let Some(record) = RECORD.get_or_map() else {
        return false;
    };
    record[DEV].store(opened.identity.dev, Relaxed);
    record[INO].store(opened.identity.ino, Relaxed);
    record[FD]
        .compare_exchange(previous, opened.fd as u64, AcqRel, Relaxed)
        .is_ok()
}

/// Reads a prefix of `dest`, which is not empty, and returns its length.
fn read(dest: &mut [u8]) -> Result<usize, Error> {
    let mut readable = true;
    for _ in 0..ATTEMPTS {
        // Asked before the device is opened: a record that another thread
        // makes meanwhile is not overwritten.
        let previous = RECORD.get().map_or(0, |record| record[FD].load(Relaxed));
        let (device, kept) = match tracked() {
            Some(device) if readable && device.is_proven() => (device, true),
            _ => match open()? {
                Some(device) => (device, track(device, previous)),
                None => continue,
            },
        };
        let result = loop {
            match sys::pread(device.fd, dest) {
                Err(sys::EINTR) => {}
                result => break result,
            }
        };
        if device.is_proven() {
            if !kept {
                device.close();
            }
            return match result {
                // The program's own descriptor of the same device, but not
                // one to read.
                Err(sys::EBADF) if kept => {
                    readable = false;
                    continue;
                }
                Ok(0) => Err(URANDOM.failed(Cause::NoByte)),
                Ok(length) => Ok(length),
                Err(errno) => Err(URANDOM.os(errno)),
            };
        }
        // Whatever came may be another descriptor's.
        dest.zeroize();
    }
    Err(URANDOM.failed(Cause::Replaced(ATTEMPTS)))
}

/// Opens and tracks the device now and reads from it once.
pub(crate) fn prepare() -> Result<(), Error> {
    let mut byte = [0];
    Device.fill(&mut byte)
}

/// Whether this process tracks a descriptor that is still the device.
pub(crate) fn is_open() -> bool {
    sys::keeping_errno(|| tracked().is_some_and(Opened::is_proven))
}
