//! The devices /dev/urandom and /dev/random, and a descriptor of one.

use core::ffi::{CStr, c_int};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::error::{Call, Cause, Error, Failure, Path};
use crate::sys::{self, Identity};

/// The entropy count of a kernel whose generator is initialised: exactly this since Linux
/// 5.18, and at least half of it before.
const INITIALISED_BITS: c_int = 256;

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

    /// Opens the device, or returns `None` if another thread took the number before it
    /// could be proven.
    fn open(&self) -> Result<Option<Opened>, Error> {
        let at = |follow| sys::identity_at(self.path, follow).map_err(self.os(Call::Statx));
        // A symbolic link is followed, because the descriptor is proven afterwards.
        let identity = at(true)?;
        // [P1 look-first] Before the path is opened, because to open something else could block,
        // rewind a tape, or leave a descriptor that cannot be told from the program's.
        if identity.rdev != Some(self.number) {
            let cause = match at(false)?.is_link {
                true => Cause::WrongLink,
                false => Cause::WrongDevice,
            };
            return Err(self.failed(Call::Statx, cause));
        }
        // [P4 open-again] Tried at each draw, because a failure may not last.
        let fd = retried(|| sys::open(self.path)).map_err(self.os(Call::Openat))?;
        let opened = Opened { fd, identity };
        // [P1 prove-opened] Another thread may have closed the number and taken it.
        Ok(opened.prove_or_close()?.then_some(opened))
    }
}

/// Makes a call again after each signal.
pub(super) fn retried<T>(mut call: impl FnMut() -> Result<T, i32>) -> Result<T, i32> {
    loop {
        match call() {
            // [P4 after-signal-too] An interrupted call is no failure, as in `Kernel`.
            Err(sys::EINTR) => {}
            result => return result,
        }
    }
}

/// A descriptor, and the identity of its file when it was opened.
#[derive(Clone, Copy)]
pub(super) struct Opened {
    pub(super) fd: c_int,
    pub(super) identity: Identity,
}

impl Opened {
    /// Opens /dev/urandom at a number of at least 3, and waits until the kernel's generator is
    /// initialised. Returns `None` if another thread took a number meanwhile.
    pub(super) fn urandom() -> Result<Option<Self>, Error> {
        let Some(mut opened) = URANDOM.open()? else {
            return Ok(None);
        };
        // [P1 above-stdio] A program that closed its stdio may open its log there, or start
        // a child that writes to "standard error".
        if opened.fd < 3 {
            let moved = sys::move_above_stdio(opened.fd);
            opened.close();
            opened.fd = moved.map_err(URANDOM.os(Call::Fcntl))?;
            // [P1 prove-moved] Another file may have taken the old number before the move.
            if !opened.prove_or_close()? {
                return Ok(None);
            }
        }
        let ready = wait_until_initialised(opened.fd);
        // The wait may have been long, and its error may come from another file.
        if !opened.prove_or_close()? {
            return Ok(None);
        }
        if !matches!(ready, Ok(true)) {
            opened.close();
        }
        ready.map(|ready| ready.then_some(opened))
    }

    /// Returns whether the number still leads to the device, opened by this crate or by
    /// the program.
    pub(super) fn is_proven(self) -> Result<bool, Error> {
        match sys::identity_of(self.fd) {
            // [P1 inode] Another node, such as a container's, may have the same device number.
            Ok(found) => Ok(found == self.identity),
            Err(sys::EBADF) => Ok(false),
            Err(errno) => Err(URANDOM.failed(Call::StatxOfDescriptor, Cause::Os(errno))),
        }
    }

    /// Does the same as [`is_proven`](Self::is_proven), and closes the descriptor on an error.
    fn prove_or_close(self) -> Result<bool, Error> {
        let is_proven = self.is_proven();
        if is_proven.is_err() {
            self.close();
        }
        is_proven
    }

    /// Returns whether the number still leads to the device, and was opened by this crate.
    pub(super) fn is_own(self) -> bool {
        matches!(self.is_proven(), Ok(true)) && sys::is_marked(self.fd) == Ok(true)
    }

    /// Closes a descriptor that this call opened, unless another file has taken the number.
    pub(super) fn close(self) {
        // [P1 prove-before-close] Another file may have taken the number. The mark tells this
        // crate's descriptor from the program's own of the same device. A sandbox may refuse
        // one of the two proofs.
        match (self.is_proven(), sys::is_marked(self.fd)) {
            (Ok(true), Ok(true) | Err(_)) | (Err(_), Ok(true)) => sys::close(self.fd),
            _ => {}
        }
    }

    /// Puts this descriptor at the number of `other`, if that is still this crate's own. This
    /// is one step, so that in a process which shares its table of descriptors with its parent
    /// (`CLONE_FILES`), the parent's number always leads to the device.
    pub(super) fn take_place_of(&mut self, other: Self) {
        // [P1 prove-before-replace] Another file may have taken the number.
        if !other.is_own() {
            return;
        }
        if sys::replace(other.fd, self.fd).is_ok() {
            self.close();
            self.fd = other.fd;
        } else if other.is_own() {
            // A sandbox may refuse dup3(2).
            sys::close(other.fd);
        }
    }
}

/// Waits until the kernel's generator is initialised, or returns `false` if another
/// thread took the number of /dev/random.
fn wait_until_initialised(urandom: c_int) -> Result<bool, Error> {
    /// Whether it was seen initialised, which lasts until the next boot. Relaxed: it guards
    /// nothing.
    static INITIALISED: AtomicBool = AtomicBool::new(false);

    // [P4 wait-initialised] A read of /dev/urandom does not wait. If a sandbox refuses the
    // ioctl, or an emulator does not know it, /dev/random tells.
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
