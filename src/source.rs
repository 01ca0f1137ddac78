//! Where entropy comes from: [`Kernel`], then [`Device`], or a source of the
//! program's own.
//!
//! | getrandom(2) answers | source |
//! | --- | --- |
//! | bytes | [`Kernel`] |
//! | ENOSYS: the kernel is older than 3.17, or a sandbox says so | [`Device`] |
//! | EPERM: a sandbox forbids it | [`Device`] |
//! | another errno | nothing: an error that names it |
//!
//! Where the vDSO has getrandom (Linux 6.11), unbuffered UUIDs come from there,
//! the same bytes without the system call.
//!
//! On other systems than Linux and Android, [`Kernel`] calls the `getrandom` crate, and
//! [`Device`] is always an error.

use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use zeroize::Zeroize;

use crate::error::Error;

mod device;
mod kernel;
mod vdso;

pub use device::{Device, TrackedDevice};
pub(crate) use device::{prepare as prepare_device, tracked};
pub use kernel::Kernel;

/// A source of unpredictable bytes.
///
/// The bytes are the key of a DRBG and are never output, in a
/// [`Generator`](crate::Generator) too.
///
/// # Examples
///
/// ```
/// use fork_safe_uuid::source::{EntropySource, Kernel};
/// use fork_safe_uuid::{Error, Generator};
///
/// /// Prints a line for each draw.
/// struct Audited;
///
/// impl EntropySource for Audited {
///     fn fill(&self, dest: &mut [u8]) -> Result<(), Error> {
///         eprintln!("{} bytes of entropy drawn", dest.len());
///         Kernel.fill(dest)
///     }
/// }
///
/// let id = Generator::new().with_source(Audited).new_v4();
/// assert_eq!(id.get_version_num(), 4);
/// ```
pub trait EntropySource {
    /// Fills `dest` with bytes that nobody else knows and that no other call
    /// in any process returns.
    ///
    /// # Errors
    ///
    /// [`Error::custom`], if it cannot fill all of `dest`.
    fn fill(&self, dest: &mut [u8]) -> Result<(), Error>;
}

/// What a generator draws from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// [`Kernel`], then [`Device`].
    System,
    Custom(&'a dyn EntropySource),
}

/// Which source filled a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Served {
    Kernel = 1,
    Device,
    Custom,
}

/// Which source last answered [`Source::System`], for `status()`. Relaxed: it guards
/// nothing.
static LAST: AtomicU8 = AtomicU8::new(0);

/// Writes only a change: the kernel would copy the memory for a forked child.
fn remember(served: Served) {
    if LAST.load(Relaxed) != served as u8 {
        LAST.store(served as u8, Relaxed);
    }
}

impl Source<'_> {
    /// Fills `dest` by the kernel's system call, or returns `false`. Leaves errno as it
    /// is.
    pub(crate) fn draw_by_call(self, dest: &mut [u8]) -> bool {
        let is_filled = matches!(self, Source::System) && Kernel.fill(dest).is_ok();
        if is_filled {
            remember(Served::Kernel);
        }
        is_filled
    }

    /// Fills `seed`.
    pub(crate) fn draw(self, seed: &mut [u8; 16]) -> Result<Served, Error> {
        let mut from_kernel = [0; 16];
        let served = self.draw_by(&mut from_kernel, seed)?;
        if served == Served::Kernel {
            *seed = from_kernel;
        }
        from_kernel.zeroize();
        Ok(served)
    }

    /// Fills `dest` from the kernel, or `seed` from another source.
    fn draw_by(self, dest: &mut [u8], seed: &mut [u8; 16]) -> Result<Served, Error> {
        let served = match self {
            Source::Custom(source) => return source.fill(seed).map(|()| Served::Custom),
            // [P1 kernel-first] The answer is not remembered: while getrandom(2) answers, no
            // descriptor is used, and a sandbox that is entered later is met at this draw.
            Source::System => match Kernel.fill(dest) {
                Ok(()) => Served::Kernel,
                Err(refusal) if refusal.is_refusal() => match Device.fill(seed) {
                    Ok(()) => Served::Device,
                    Err(error) => return Err(refusal.then(error)),
                },
                Err(error) => return Err(error),
            },
        };
        remember(served);
        Ok(served)
    }

    /// Fills all of `dest` from the kernel, without the system call if the vDSO serves; or
    /// `seed` from another source.
    pub(crate) fn draw_output(self, dest: &mut [u8], seed: &mut [u8; 16]) -> Result<Served, Error> {
        if matches!(self, Source::System) && vdso::fill(dest) {
            remember(Served::Kernel);
            return Ok(Served::Kernel);
        }
        self.draw_by(dest, seed)
    }
}

/// Gives up the keys that the vDSO keeps.
pub(crate) fn reseed() {
    vdso::reseed();
}

/// Marks all memory of the sources again that is wiped at fork.
pub(crate) fn mark_again() {
    vdso::mark_again();
    device::mark_again();
}

pub(crate) fn last_served() -> Option<Served> {
    match LAST.load(Relaxed) {
        1 => Some(Served::Kernel),
        2 => Some(Served::Device),
        _ => None,
    }
}
