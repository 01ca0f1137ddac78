//! The one error: no entropy, or no timestamp, and which call said so.

use core::fmt;
use std::io;

use crate::sys;

/// The error of every `try_*` function: there is no entropy, or for the
/// versions that time orders no timestamp, so there is no UUID.
///
/// The text names each call that failed, and what to do where something can be
/// done. Nothing is remembered: the next call tries everything again.
///
/// # Examples
///
/// ```
/// match fork_safe_uuid::try_new_v4() {
///     Ok(id) => println!("{id}"),
///     Err(error) => eprintln!("{error} (errno {:?})", error.raw_os_error()),
/// }
/// ```
pub struct Error(Repr);

/// What failed; see [`Error::kind`].
///
/// # Examples
///
/// ```
/// use fork_safe_uuid::ErrorKind;
///
/// match fork_safe_uuid::try_new_v4() {
///     Err(error) if error.kind() == ErrorKind::NoSource => eprintln!("no prepare()? {error}"),
///     other => println!("{:?}", other?),
/// }
/// # Ok::<(), fork_safe_uuid::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// getrandom(2) is refused (ENOSYS, EPERM) and the device cannot serve.
    NoSource,
    /// The system's generator failed with another error than a refusal.
    Kernel,
    /// The device cannot serve, where it was the only source asked for.
    Device,
    /// A source of the program's own failed ([`Error::from`] an [`io::Error`]).
    Custom,
    /// The wall clock cannot be read, or shows a time that the version has no
    /// timestamp for.
    Clock,
}

enum Repr {
    Kernel(Failure),
    Device(Failure),
    NoSource { kernel: Failure, device: Failure },
    Custom(io::Error),
    Clock(Failure),
}

/// One call that failed.
#[derive(Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) call: &'static str,
    pub(crate) cause: Cause,
}

#[derive(Clone, Copy)]
pub(crate) enum Cause {
    /// The call's errno.
    Os(i32),
    /// The path does not lead to the character device with this name.
    WrongDevice(&'static str),
    /// A read returned no byte.
    NoByte,
    /// The call returned a greater length than it was asked to fill.
    TooMany,
    /// At each of this many attempts another descriptor stood at the number.
    Replaced(u32),
    /// The clock shows a time before this day.
    Before(&'static str),
    /// The clock shows a time after this day, or did.
    After(&'static str),
}

impl Cause {
    fn raw_os_error(self) -> Option<i32> {
        match self {
            // Without an errno, a backend says 0 or a number below it.
            Cause::Os(errno) => Some(errno).filter(|&errno| errno > 0),
            _ => None,
        }
    }
}

impl Error {
    pub(crate) const fn kernel(failure: Failure) -> Self {
        Self(Repr::Kernel(failure))
    }

    pub(crate) const fn device(failure: Failure) -> Self {
        Self(Repr::Device(failure))
    }

    pub(crate) const fn clock(failure: Failure) -> Self {
        Self(Repr::Clock(failure))
    }

    /// Whether getrandom(2) is not to be had: an old kernel or a sandbox.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(
            self.0,
            Repr::Kernel(Failure {
                cause: Cause::Os(sys::ENOSYS | sys::EPERM),
                ..
            })
        )
    }

    /// This refusal, and what the device said after it.
    pub(crate) fn then(self, device: Error) -> Self {
        match (self.0, device.0) {
            (Repr::Kernel(kernel), Repr::Device(device)) => Self(Repr::NoSource { kernel, device }),
            (_, device) => Self(device),
        }
    }

    /// Returns what failed.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self.0 {
            Repr::Kernel(_) => ErrorKind::Kernel,
            Repr::Device(_) => ErrorKind::Device,
            Repr::NoSource { .. } => ErrorKind::NoSource,
            Repr::Custom(_) => ErrorKind::Custom,
            Repr::Clock(_) => ErrorKind::Clock,
        }
    }

    /// Returns the errno of the last call that failed, where it had one: of
    /// the device's with [`ErrorKind::NoSource`].
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        match &self.0 {
            Repr::Kernel(failure)
            | Repr::Device(failure)
            | Repr::Clock(failure)
            | Repr::NoSource {
                device: failure, ..
            } => failure.cause.raw_os_error(),
            Repr::Custom(error) => error.raw_os_error(),
        }
    }
}

impl From<io::Error> for Error {
    /// Makes the error of a source of the program's own
    /// ([`EntropySource`](crate::source::EntropySource)).
    fn from(error: io::Error) -> Self {
        Self(Repr::Custom(error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.call)?;
        match self.cause {
            Cause::Os(errno) if errno > 0 => write!(f, "{}", io::Error::from_raw_os_error(errno)),
            Cause::Os(_) => f.write_str("not available on this system"),
            Cause::WrongDevice(name) => write!(f, "is not the kernel's {name}"),
            Cause::NoByte => f.write_str("a read returned no byte"),
            Cause::TooMany => f.write_str("returned more bytes than were asked for"),
            Cause::Replaced(times) => write!(
                f,
                "another descriptor was put at its number {times} times in a row"
            ),
            Cause::Before(day) => write!(f, "it is before {day}"),
            Cause::After(day) => write!(f, "it is, or was, after {day}"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Repr::Clock(clock) = &self.0 {
            return match clock.cause {
                Cause::Os(_) => write!(f, "no timestamp: {clock}; have the sandbox allow it"),
                _ => write!(f, "no timestamp: {clock}; set the clock"),
            };
        }
        f.write_str("no entropy source: ")?;
        let device = match &self.0 {
            Repr::Kernel(kernel) => return kernel.fmt(f),
            Repr::Custom(error) => return error.fmt(f),
            Repr::Device(device) | Repr::Clock(device) => device,
            Repr::NoSource { kernel, device } => {
                write!(f, "{kernel}; ")?;
                device
            }
        };
        device.fmt(f)?;
        f.write_str(match device.cause {
            Cause::Os(sys::EMFILE | sys::ENFILE) => {
                "; free a descriptor, raise the limit, or call prepare() before it is reached"
            }
            Cause::Replaced(_) => "; let no other thread reuse descriptor numbers it did not open",
            _ => "; call prepare() in this process before it enters a chroot or sandbox",
        })
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.kind())
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.0 {
            Repr::Custom(error) => error.get_ref().map(|inner| inner as _),
            _ => None,
        }
    }
}
