//! /dev/urandom by a tracked descriptor, for where getrandom(2) is refused.
//!
//! A descriptor is a number, and after a `close` elsewhere in the process the
//! number may be anything. So it is proven at each use:
//!
//! 1. statx(2) shows the device that was opened.
//! 2. The bytes come by pread(2), which the kernel refuses on sockets, pipes and
//!    terminals, and which moves no file's offset.
//! 3. statx(2) shows the device still; if not, the bytes are discarded.
//!
//! A number that is another's by now is forgotten. It is closed or replaced only
//! after a proof that this crate opened it. What remains is what another thread
//! puts at the number in the few instructions between 1 and 3: a regular file,
//! hence these bytes only ever key a DRBG, together with a hedge; and /dev/kmsg,
//! /proc/kmsg or a tun device, of which pread(2) consumes a record. And what it puts
//! there between a proof and close(2) or dup3(2), which take no condition.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use zeroize::Zeroize;

use super::EntropySource;
use crate::error::{Advice, Call, Cause, Error};
use crate::sys;

mod node;
mod record;

use node::{Opened, URANDOM, retried};
pub use record::TrackedDevice;
pub(super) use record::mark_again;
pub(crate) use record::tracked;
use record::{Purpose, Seen, Tracked};

/// The kernel's generator through /dev/urandom, by a descriptor that is proven
/// before and after each use.
///
/// One descriptor serves the whole process. It is at least 3, close-on-exec,
/// and opened at the first use, in a forked child too, where it takes the place
/// of the inherited one. It is never written to. Where another descriptor has
/// taken its number, that one is left alone and the device is opened again.
/// [`Status::device`](crate::Status::device) tells its number.
///
/// Use it through a [`Generator`](crate::Generator): raw bytes from a
/// descriptor are key material, not output.
///
/// # Errors
///
/// [`ErrorKind::Device`](crate::ErrorKind::Device): the path does not lead to
/// the character device 1:9, it cannot be opened, or another thread keeps
/// putting descriptors at its number. The text names the call that failed.
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
    fn fill(&self, dest: &mut [u8]) -> Result<(), Error> {
        read_all(dest, Purpose::Draw).map_err(|error| {
            error.advise(match prepared() {
                None => Advice::Prepare,
                Some(false) => Advice::PrepareFailed,
                Some(true) => Advice::Prepared,
            })
        })
    }
}

fn read_all(mut dest: &mut [u8], purpose: Purpose) -> Result<(), Error> {
    while !dest.is_empty() {
        let filled = read(dest, purpose)?;
        dest = &mut dest[filled..];
    }
    Ok(())
}

/// How often one read starts over because its number was taken. Only a thread
/// that hammers on the number gets that far.
const ATTEMPTS: u32 = 64;

/// A descriptor of the device for one read.
struct CheckedOut {
    opened: Opened,
    /// It is tracked, and stays open.
    kept: bool,
    /// The record that it was proven by.
    record: Option<Seen>,
}

/// What came of one read.
enum Read {
    /// So many bytes, by a descriptor that was the device before and after.
    Proven(usize),
    /// Another descriptor took the number.
    Another,
    /// The device, but opened by the program itself, and not for reading.
    Unreadable,
}

impl CheckedOut {
    const fn kept(opened: Opened, record: Option<Seen>) -> Self {
        Self {
            opened,
            kept: true,
            record,
        }
    }

    /// Proves the tracked descriptor, unless it is to be passed over, or opens one;
    /// `None` where another thread took its number meanwhile.
    fn new(passed_over: Option<Seen>, purpose: Purpose) -> Result<Option<Self>, Error> {
        let tracked = record::look();
        if let Tracked::Own(opened, seen) = tracked
            && passed_over != Some(seen)
            && opened.is_proven()?
        {
            return Ok(Some(Self::kept(opened, Some(seen))));
        }
        let (seen, inherited) = match tracked {
            Tracked::Own(_, seen) => (Some(seen), None),
            // A child of vfork(2) would leave its parent a record that is not the
            // parent's. It is told by its thread; and so is, for nothing, the child
            // of a raw clone(2), which must ask for a descriptor that is kept.
            Tracked::None(inherited, seen) if purpose == Purpose::Prepare || is_at_home() => {
                // Proven before the claim, which tells other threads its number.
                (Some(seen), inherited.filter(|inherited| inherited.is_own()))
            }
            Tracked::Foreign(seen) if purpose == Purpose::Prepare && is_at_home() => {
                (Some(seen), None)
            }
            _ => (None, None),
        };
        let track = |opened: &mut Opened, inherited| {
            seen.is_some_and(|seen| record::track(opened, seen, inherited))
        };
        let mut opened = match Opened::urandom() {
            Ok(Some(opened)) => opened,
            Ok(None) => return Ok(None),
            // Without room for another descriptor the inherited one has to do.
            Err(error) => match tracked {
                Tracked::None(Some(mut own), _)
                    if error.is_out_of_descriptors() && own.is_own() =>
                {
                    track(&mut own, None);
                    return Ok(Some(Self::kept(own, None)));
                }
                _ => return Err(error),
            },
        };
        let kept = track(&mut opened, inherited);
        // It may have another number now.
        let is_proven = inherited.is_none() || opened.is_proven()?;
        Ok(is_proven.then_some(Self {
            opened,
            kept,
            record: None,
        }))
    }

    fn read(&self, dest: &mut [u8]) -> Result<Read, Error> {
        let result = retried(|| sys::pread(self.opened.fd, dest));
        let is_proven = self.opened.is_proven();
        if is_proven.is_err() && !self.kept {
            self.opened.close();
        }
        if !matches!(is_proven, Ok(true)) {
            // Whatever came may be another descriptor's.
            dest.zeroize();
            return is_proven.map(|_| Read::Another);
        }
        if !self.kept {
            self.opened.close();
        }
        match result {
            // Closed for the read, and opened again by another thread of this crate.
            Err(sys::EBADF) if self.record.is_some() && self.opened.is_own() => Ok(Read::Another),
            Err(sys::EBADF) if self.record.is_some() => Ok(Read::Unreadable),
            Ok(0) => Err(URANDOM.failed(Call::Pread, Cause::NoByte)),
            Ok(length) if length > dest.len() => Err(URANDOM.failed(Call::Pread, Cause::TooMany)),
            Ok(length) => Ok(Read::Proven(length)),
            Err(errno) => Err(URANDOM.failed(Call::Pread, Cause::Os(errno))),
        }
    }
}

/// Reads a prefix of `dest`, which is not empty, and returns its length.
fn read(dest: &mut [u8], purpose: Purpose) -> Result<usize, Error> {
    let mut passed_over = None;
    for _ in 0..ATTEMPTS {
        let Some(device) = CheckedOut::new(passed_over, purpose)? else {
            continue;
        };
        match device.read(dest)? {
            Read::Proven(length) => return Ok(length),
            Read::Another => {}
            // Only this one: another thread may have replaced it since, by one that
            // can be read, and must not be replaced while it is open.
            Read::Unreadable => passed_over = device.record,
        }
    }
    Err(URANDOM.failed(Call::Pread, Cause::Replaced(ATTEMPTS)))
}

/// The process that called `prepare` last, and in the lowest bit whether that
/// opened the device. Relaxed: only an error's text depends on it.
static PREPARED: AtomicU64 = AtomicU64::new(0);

fn is_at_home() -> bool {
    sys::thread_at_home().is_some()
}

/// Opens and tracks the device now and reads from it once; nothing where there
/// is none.
pub(crate) fn prepare() -> Result<(), Error> {
    if !sys::HAS_DEVICE {
        return Ok(());
    }
    let read = open_and_track();
    let process = u64::from(sys::pid()) << 1;
    PREPARED.store(process | u64::from(read.is_ok()), Relaxed);
    read.map_err(|error| error.advise(Advice::Preparing))
}

/// Whether `prepare` opened the device, where it was called in this process.
fn prepared() -> Option<bool> {
    let prepared = PREPARED.load(Relaxed);
    (prepared >> 1 == u64::from(sys::pid())).then_some(prepared & 1 == 1)
}

/// Reads until the descriptor that was read from is tracked: another thread that
/// draws at the same time may be the one that is about to track its own.
fn open_and_track() -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        read_all(&mut [0], Purpose::Prepare)?;
        if matches!(tracked(), TrackedDevice::Open { .. }) {
            return Ok(());
        }
        std::thread::yield_now();
    }
    Err(URANDOM.failed(Call::Openat, Cause::NotKept))
}
