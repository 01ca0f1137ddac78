//! /dev/urandom by a tracked descriptor, for sandboxes that refuse getrandom(2).
//!
//! A descriptor is a number, and after a `close` elsewhere in the process, another file may
//! have the number. So the crate proves the descriptor at each use:
//!
//! 1. statx(2) shows the device that was opened.
//! 2. pread(2) returns the bytes.
//! 3. statx(2) still shows the device.
//!
//! If another file has taken the number, the crate opens the device again, and neither
//! reads nor closes the other file. `docs/promises.md` states the limits under P1.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;

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
/// The whole process uses one descriptor. It is at least 3 and close-on-exec, and it is
/// opened at the first use. A forked child opens its own, which takes the place of the
/// inherited one. The crate never writes to it. If another file has taken the
/// descriptor's number, the crate neither reads nor closes that file, and opens the device
/// again. [`Status::device`](crate::Status::device) returns the number.
///
/// Use it through a [`Generator`](crate::Generator): raw bytes from a
/// descriptor are key material, not output.
///
/// # Errors
///
/// Returns [`ErrorKind::Device`](crate::ErrorKind::Device) if the path does not lead to
/// the character device 1:9, if it cannot be opened, or if another thread keeps
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
/// match Generator::new().with_source(Device).try_new_v4() {
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
        // [P4 rest-of-read] A read may be short, and the rest would be zeros.
        dest = &mut dest[filled..];
    }
    Ok(())
}

/// How often a read starts over because another file has taken the descriptor's number, and how
/// often `prepare` tries to track one. Only a thread that closes and opens descriptors without a
/// pause can take a number as often.
const ATTEMPTS: u32 = 64;

/// Reads a prefix of `dest`, which is not empty, and returns its length.
fn read(dest: &mut [u8], purpose: Purpose) -> Result<usize, Error> {
    let mut passed_over = None;
    for _ in 0..ATTEMPTS {
        let Some(device) = CheckedOut::check_out(passed_over, purpose)? else {
            continue;
        };
        match device.read_proven(dest)? {
            Read::Proven(length) => return Ok(length),
            Read::Another => {}
            // The next attempt opens the device, unless another thread has tracked a readable
            // descriptor meanwhile, which must not be replaced while it is open.
            Read::Unreadable => passed_over = device.record,
        }
    }
    Err(URANDOM.failed(Call::Pread, Cause::Replaced(ATTEMPTS)))
}

/// A descriptor of the device for one read.
struct CheckedOut {
    opened: Opened,
    /// Whether it is tracked, and stays open.
    kept: bool,
    /// The record that it was proven with.
    record: Option<Seen>,
}

/// The result of one read.
enum Read {
    /// This number of bytes. The descriptor was the device before and after the read.
    Proven(usize),
    /// Another descriptor took the number.
    Another,
    /// The descriptor is the device, but the program opened it, and not for reading.
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

    /// Proves the tracked descriptor, unless it is to be passed over, or opens one. Returns
    /// `None` if another thread took its number meanwhile.
    fn check_out(passed_over: Option<Seen>, purpose: Purpose) -> Result<Option<Self>, Error> {
        let tracked = record::look();
        // [P1 prove-before-read] Another file may have taken the number since the last
        // use.
        if let Tracked::Own(opened, seen) = tracked {
            if passed_over != Some(seen) && opened.is_proven()? {
                return Ok(Some(Self::kept(opened, Some(seen))));
            }
        }
        Self::open(tracked, purpose)
    }

    /// Opens the device, and tracks the descriptor if the record allows it.
    fn open(tracked: Tracked, purpose: Purpose) -> Result<Option<Self>, Error> {
        let (seen, inherited) = match tracked {
            Tracked::Own(_, seen) => (Some(seen), None),
            // A child of vfork(2), whose thread the libc does not know, would leave a record in
            // its parent's memory that is not the parent's. The thread of a raw clone(2)'s
            // child looks the same, so that such a child must call `prepare` to track a
            // descriptor.
            Tracked::None(inherited, seen) if purpose == Purpose::Prepare || is_thread_known() => {
                // Proven before the claim, because the claim tells other threads its number.
                (Some(seen), inherited.filter(|inherited| inherited.is_own()))
            }
            Tracked::Foreign(seen) if purpose == Purpose::Prepare && is_thread_known() => {
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
            // [P4 keep-inherited] If there is no room for another descriptor, the inherited one
            // is used, because otherwise there would be no source at all.
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
        // [P1 prove-in-its-place] The descriptor may now have the inherited number, which
        // another file may have taken.
        let is_proven = inherited.is_none() || opened.is_proven()?;
        Ok(is_proven.then_some(Self {
            opened,
            kept,
            record: None,
        }))
    }

    /// Reads a prefix of `dest`, and clears it unless the descriptor is still the device.
    fn read_proven(&self, dest: &mut [u8]) -> Result<Read, Error> {
        // pread(2) is used, because the kernel refuses it on sockets, pipes and terminals, and
        // because it moves no file's offset.
        let result = retried(|| sys::pread(self.opened.fd, dest));
        let is_proven = self.opened.is_proven();
        if !self.kept && !matches!(is_proven, Ok(false)) {
            self.opened.close();
        }
        // [P1 prove-after-read] The bytes may be those of another file.
        if !matches!(is_proven, Ok(true)) {
            dest.zeroize();
            return is_proven.map(|_| Read::Another);
        }
        match result {
            // It was closed before the read, and another thread opened the device again through
            // this crate.
            Err(sys::EBADF) if self.record.is_some() && self.opened.is_own() => Ok(Read::Another),
            Err(sys::EBADF) if self.record.is_some() => Ok(Read::Unreadable),
            Ok(0) => Err(URANDOM.failed(Call::Pread, Cause::NoByte)),
            Ok(length) if length > dest.len() => Err(URANDOM.failed(Call::Pread, Cause::TooMany)),
            Ok(length) => Ok(Read::Proven(length)),
            Err(errno) => Err(URANDOM.failed(Call::Pread, Cause::Os(errno))),
        }
    }
}

/// The process that called `prepare` last, above a bit that says whether `prepare` opened the
/// device. Relaxed: only an error's text depends on it.
static PREPARED: AtomicU64 = AtomicU64::new(0);

fn is_thread_known() -> bool {
    sys::known_thread().is_some()
}

/// Opens and tracks the device, and reads from it once, if the system has one.
pub(crate) fn prepare() -> Result<(), Error> {
    if !sys::HAS_DEVICE {
        return Ok(());
    }
    let read = open_and_track();
    let process = u64::from(sys::pid()) << 1;
    PREPARED.store(process | u64::from(read.is_ok()), Relaxed);
    read.map_err(|error| error.advise(Advice::Preparing))
}

/// Returns whether `prepare` opened the device, or `None` if it was not called in this
/// process.
fn prepared() -> Option<bool> {
    let prepared = PREPARED.load(Relaxed);
    (prepared >> 1 == u64::from(sys::pid())).then_some(prepared & 1 == 1)
}

/// Reads until a descriptor is tracked.
fn open_and_track() -> Result<(), Error> {
    for attempt in 0..ATTEMPTS {
        read_all(&mut [0], Purpose::Prepare)?;
        // [P4 look-at-prepared] If another thread draws at the same time, it may be about to
        // track its own descriptor, and this call's was closed.
        if matches!(tracked(), TrackedDevice::Open { .. }) {
            return Ok(());
        }
        // 0.2 s in all, because that thread may have to wait for a processor.
        if record::is_claimed() {
            std::thread::sleep(Duration::from_micros(100) * attempt);
        }
    }
    Err(URANDOM.failed(Call::Openat, Cause::NotKept))
}
