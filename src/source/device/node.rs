//! The devices by their paths, and a descriptor that was opened by one.

use core::ffi::{CStr, c_int};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::error::{Call, Cause, Error, Failure, Path};
use crate::sys::{self, Identity};

/// At least this many bits say that the kernel's generator is initialised:
/// since Linux 5.18 it is exactly that, and before it was so from 128 on.
const INITIALISED_BITS: c_int = 256;

/// A device, by the name it is told to the user by.
pub(super) struct Node {
    path: &'static CStr,
    name: Path,
    number: u64,
}

pub(super) const URANDOM: Node = Node {
    path: c"/dev/urandom",
    name: Path::Urandom,
    number: sys::URANDOM,
};

const RANDOM: Node = Node {
    path: c"/dev/random",
    name: Path::Random,
    number: sys::RANDOM,
};

impl Node {
    /// `call` on this device failed.
    pub(super) fn failed(&self, call: Call, cause: Cause) -> Error {
        Error::device(Failure {
            path: self.name,
            call,
            cause,
        })
    }

    fn os(&self, call: Call) -> impl FnOnce(i32) -> Error {
        move |errno| self.failed(call, Cause::Os(errno))
    }

    /// Opens the device, or returns `None` where another thread took the
    /// number before it could be proven.
    ///
    /// The path is looked at first: opening something else could block, rewind
    /// a tape, or leave a descriptor that cannot be told from a stranger's. A
    /// symbolic link is followed, for the device is proven on the descriptor.
    fn open(&self) -> Result<Option<Opened>, Error> {
        let at = |follow| sys::identity_at(self.path, follow).map_err(self.os(Call::Statx));
        let identity = at(true)?;
        if identity.rdev != Some(self.number) {
            let cause = match at(false)?.is_link {
                true => Cause::WrongLink,
                false => Cause::WrongDevice,
            };
            return Err(self.failed(Call::Statx, cause));
        }
        let fd = retried(|| sys::open(self.path)).map_err(self.os(Call::Openat))?;
        let opened = Opened { fd, identity };
        Ok(opened.prove_or_close()?.then_some(opened))
    }
}

/// Makes a call again after each signal.
pub(super) fn retried<T>(mut call: impl FnMut() -> Result<T, i32>) -> Result<T, i32> {
    loop {
        match call() {
            Err(sys::EINTR) => {}
            result => return result,
        }
    }
}

/// A descriptor and what it was when it was opened.
#[derive(Clone, Copy)]
pub(super) struct Opened {
    pub(super) fd: c_int,
    pub(super) identity: Identity,
}

impl Opened {
    /// Opens /dev/urandom for reading: at least 3, and initialised.
    pub(super) fn urandom() -> Result<Option<Self>, Error> {
        let Some(mut opened) = URANDOM.open()? else {
            return Ok(None);
        };
        // A program that closed its stdio may open its log there, or have a child
        // write to "standard error".
        if opened.fd < 3 {
            let moved = sys::move_above_stdio(opened.fd);
            opened.close();
            opened.fd = moved.map_err(URANDOM.os(Call::Fcntl))?;
            // What stood at the old number when it was duplicated?
            if !opened.prove_or_close()? {
                return Ok(None);
            }
        }
        let ready = wait_until_initialised(opened.fd);
        // Asked again: the wait may have been long, and an error may be another
        // descriptor's.
        if !opened.prove_or_close()? {
            return Ok(None);
        }
        if !matches!(ready, Ok(true)) {
            opened.close();
        }
        ready.map(|ready| ready.then_some(opened))
    }

    /// Whether the number is still the device's, by this program or by another
    /// open of the same.
    pub(super) fn is_proven(self) -> Result<bool, Error> {
        match sys::identity_of(self.fd) {
            Ok(found) => Ok(found == self.identity),
            Err(sys::EBADF) => Ok(false),
            Err(errno) => Err(URANDOM.failed(Call::StatxOfDescriptor, Cause::Os(errno))),
        }
    }

    /// The same, and closes the descriptor where that cannot be found out.
    fn prove_or_close(self) -> Result<bool, Error> {
        let is_proven = self.is_proven();
        if is_proven.is_err() {
            self.close();
        }
        is_proven
    }

    /// Whether the number is still the device's, and was opened by this crate.
    pub(super) fn is_own(self) -> bool {
        matches!(self.is_proven(), Ok(true)) && sys::is_marked(self.fd) == Ok(true)
    }

    /// Closes the descriptor, which this very call opened, unless the number is
    /// another's by now. Of the two proofs a sandbox may refuse one.
    pub(super) fn close(self) {
        match (self.is_proven(), sys::is_marked(self.fd)) {
            (Ok(true), Ok(true) | Err(_)) | (Err(_), Ok(true)) => sys::close(self.fd),
            _ => {}
        }
    }

    /// Puts this descriptor at the number of `other`, if that is still this
    /// crate's own, so that only one stays open. One step: where the process shares
    /// its table of descriptors with its parent (`CLONE_FILES`), the parent's number
    /// never leads nowhere.
    pub(super) fn take_place_of(&mut self, other: Self) {
        if !other.is_own() {
            return;
        }
        if sys::replace(other.fd, self.fd).is_ok() {
            self.close();
            self.fd = other.fd;
        } else if other.is_own() {
            // A sandbox that does not know dup3(2).
            sys::close(other.fd);
        }
    }
}

/// Returns when the kernel's generator is initialised, for /dev/urandom does
/// not wait for it; `false` where another thread took the number of
/// /dev/random.
fn wait_until_initialised(urandom: c_int) -> Result<bool, Error> {
    /// Never unset, as the generator stays initialised until the next boot.
    /// Relaxed: it guards nothing.
    static INITIALISED: AtomicBool = AtomicBool::new(false);

    // A sandbox may refuse the ioctl, and an emulator may not know it.
    let bits = sys::entropy_count(urandom).unwrap_or(0);
    if bits < INITIALISED_BITS && !INITIALISED.load(Relaxed) {
        let Some(random) = RANDOM.open()? else {
            return Ok(false);
        };
        let waited = retried(|| sys::wait_readable(random.fd));
        random.close();
        waited.map_err(RANDOM.os(Call::Ppoll))?;
    }
    INITIALISED.store(true, Relaxed);
    Ok(true)
}
