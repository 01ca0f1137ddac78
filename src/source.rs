//! Where entropy comes from: [`Kernel`], then [`Device`], or a source that the program
//! provides.
//!
//! | getrandom(2) answers | source |
//! | --- | --- |
//! | bytes | [`Kernel`] |
//! | ENOSYS: the kernel is older than 3.17, or a sandbox says so | [`Device`] |
//! | EPERM: a sandbox forbids it | [`Device`] |
//! | another errno | none: an error that names it |
//!
//! If the vDSO has getrandom (Linux 6.11), unbuffered UUIDs are drawn from it: the same
//! generator without the system call.
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
pub(crate) use vdso::prepare as prepare_vdso;

/// A source of unpredictable bytes.
///
/// A [`Generator`](crate::Generator) uses the bytes as the key of a DRBG, and never outputs
/// them.
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
    /// Returns an error, such as [`Error::custom`], if the source cannot fill all of `dest`.
    fn fill(&self, dest: &mut [u8]) -> Result<(), Error>;
}

/// The source that a generator draws from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// [`Kernel`], then [`Device`].
    System,
    Custom(&'a dyn EntropySource),
}

/// The source that filled a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Answered {
    Kernel = 1,
    Device,
    Custom,
}

/// The source that answered [`Source::System`] last, for `status()`. Relaxed: it guards
/// nothing.
static LAST: AtomicU8 = AtomicU8::new(0);

/// Sets [`LAST`], but writes only a change, because the kernel would copy the memory for a
/// forked child.
fn remember(served: Answered) {
    if LAST.load(Relaxed) != served as u8 {
        LAST.store(served as u8, Relaxed);
    }
}

impl Source<'_> {
    /// Fills `dest` with getrandom(2), or returns `false`. It leaves errno as it is.
    pub(crate) fn draw_by_call(self, dest: &mut [u8]) -> bool {
        let is_filled = matches!(self, Source::System) && Kernel.fill(dest).is_ok();
        if is_filled {
            remember(Answered::Kernel);
        }
        is_filled
    }

    /// Fills `seed`, and returns which source did.
    pub(crate) fn draw(self, seed: &mut [u8; 16]) -> Result<Answered, Error> {
        let mut from_kernel = [0; 16];
        let served = self.draw_by(&mut from_kernel, seed)?;
        if served == Answered::Kernel {
            *seed = from_kernel;
        }
        from_kernel.zeroize();
        Ok(served)
    }

    /// Fills `dest` if the kernel answers, or else `seed` from another source. The result says
    /// which.
    fn draw_by(self, dest: &mut [u8], seed: &mut [u8; 16]) -> Result<Answered, Error> {
        let served = match self {
            Source::Custom(source) => return source.fill(seed).map(|()| Answered::Custom),
            // [P1 kernel-first] The kernel is asked at each draw: while it answers, no descriptor
            // is used, and the process may enter a sandbox that refuses it at any time.
            Source::System => match Kernel.fill(dest) {
                Ok(()) => Answered::Kernel,
                Err(refusal) if refusal.is_refusal() => match Device.fill(seed) {
                    Ok(()) => Answered::Device,
                    Err(error) => return Err(refusal.then(error)),
                },
                Err(error) => return Err(error),
            },
        };
        remember(served);
        Ok(served)
    }

    /// Fills `dest` from the vDSO or from the kernel, or else `seed` from another source. The
    /// result says which.
    pub(crate) fn draw_output(
        self,
        dest: &mut [u8],
        seed: &mut [u8; 16],
    ) -> Result<Answered, Error> {
        if matches!(self, Source::System) && vdso::fill(dest) {
            remember(Answered::Kernel);
            return Ok(Answered::Kernel);
        }
        self.draw_by(dest, seed)
    }
}

/// Discards the keys that the vDSO keeps.
pub(crate) fn reseed() {
    vdso::reseed();
}

/// Marks all wiped memory of the sources again.
pub(crate) fn mark_again() {
    vdso::mark_again();
    device::mark_again();
}

pub(crate) fn last_answered() -> Option<Answered> {
    match LAST.load(Relaxed) {
        1 => Some(Answered::Kernel),
        2 => Some(Answered::Device),
        _ => None,
    }
}
