//! The error of all functions: there is no entropy, or no timestamp.

use core::error::Error as StdError;
use std::io;

use crate::sys;

mod text;

/// The error of every `try_*` function: there is no entropy, or no timestamp for a
/// time-based UUID.
///
/// The text names each call that failed, and what can be done about it. The next call tries
/// everything again.
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
    /// getrandom(2) is refused (ENOSYS, EPERM), and /dev/urandom cannot be read.
    NoSource,
    /// The system's generator failed with another error than a refusal.
    Kernel,
    /// /dev/urandom cannot be read, and it was the only source; or
    /// [`prepare`](crate::prepare) could not open it.
    Device,
    /// A source that the program provides failed ([`Error::custom`]).
    Custom,
    /// The wall clock cannot be read, or shows a time for which the version has no
    /// timestamp.
    Clock,
}

enum Repr {
    Kernel(Failure),
    Device(Failure, Advice),
    NoSource {
        kernel: Failure,
        device: Failure,
        advice: Advice,
    },
    Custom(Box<dyn StdError + Send + Sync>),
    Clock(Failure),
}

/// What can be done about the device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advice {
    /// `prepare` has not been called in this process.
    Prepare,
    /// `prepare` was called, and failed.
    PrepareFailed,
    /// `prepare` opened a descriptor, which is gone.
    Prepared,
    /// `prepare` itself returns the error, while getrandom(2) answers.
    Preparing,
}

/// One call that failed. It is small, because a result is copied after the pool has read `alive`
/// for the last time, and a handler may fork during the copy.
#[derive(Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) path: Path,
    pub(crate) call: Call,
    pub(crate) cause: Cause,
}

const _: () = assert!(size_of::<Error>() <= 80);

/// The path that a call was made on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    None,
    Urandom,
    Random,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Getrandom,
    Statx,
    StatxOfDescriptor,
    Openat,
    Fcntl,
    Ppoll,
    Pread,
    ClockGettime,
    /// No call failed, but the clock shows a time without a timestamp.
    WallClock,
}

#[derive(Clone, Copy)]
pub(crate) enum Cause {
    /// The call's errno.
    Os(i32),
    /// The path does not lead to the character device with its name.
    WrongDevice,
    /// The path is a symbolic link that does not lead to this device.
    WrongLink,
    /// A read returned no byte.
    NoByte,
    /// The call returned a greater length than it was asked to fill.
    TooMany,
    /// The descriptor could not be kept for later.
    NotKept,
    /// At each of this many attempts, another file had taken the number.
    Replaced(u32),
    /// The clock shows a time before this day.
    Before(&'static str),
    /// The clock shows a time after this day, or did so before.
    After(&'static str),
}

impl Cause {
    fn raw_os_error(self) -> Option<i32> {
        match self {
            // A backend of `sys` that has no errno returns 0 or a number below it.
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
        Self(Repr::Device(failure, Advice::Prepare))
    }

    /// Returns an error for a source that the program provides
    /// ([`EntropySource`](crate::source::EntropySource)), made from an [`io::Error`], another
    /// error, or a text.
    ///
    /// # Examples
    ///
    /// ```
    /// use fork_safe_uuid::{Error, ErrorKind};
    ///
    /// let error = Error::custom("the dice are lost");
    /// assert_eq!(error.kind(), ErrorKind::Custom);
    /// assert_eq!(error.to_string(), "no entropy source: the dice are lost");
    /// ```
    #[must_use]
    pub fn custom(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(Repr::Custom(error.into()))
    }

    pub(crate) const fn clock(failure: Failure) -> Self {
        Self(Repr::Clock(failure))
    }

    /// Returns whether an old kernel or a sandbox refuses getrandom(2).
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(
            self.0,
            Repr::Kernel(Failure {
                cause: Cause::Os(sys::ENOSYS | sys::EPERM),
                ..
            })
        )
    }

    /// Returns whether there was no room for another descriptor.
    pub(crate) fn is_out_of_descriptors(&self) -> bool {
        let Repr::Device(failure, _) = self.0 else {
            return false;
        };
        failure.is_out_of_descriptors()
    }

    /// Returns the error of this refusal and of the device, which was tried after it.
    pub(crate) fn then(self, device: Error) -> Self {
        match (self.0, device.0) {
            (Repr::Kernel(kernel), Repr::Device(device, advice)) => Self(Repr::NoSource {
                kernel,
                device,
                advice,
            }),
            (_, device) => Self(device),
        }
    }

    /// Returns this failure of the device with other advice.
    pub(crate) fn advise(self, advice: Advice) -> Self {
        match self.0 {
            Repr::Device(device, _) => Self(Repr::Device(device, advice)),
            other => Self(other),
        }
    }

    /// Returns what failed.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self.0 {
            Repr::Kernel(_) => ErrorKind::Kernel,
            Repr::Device(..) => ErrorKind::Device,
            Repr::NoSource { .. } => ErrorKind::NoSource,
            Repr::Custom(_) => ErrorKind::Custom,
            Repr::Clock(_) => ErrorKind::Clock,
        }
    }

    /// Returns the errno of the last call that failed, if it had one. If the kind is
    /// [`ErrorKind::NoSource`], that call was on the device.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        match &self.0 {
            Repr::Kernel(failure)
            | Repr::Device(failure, _)
            | Repr::Clock(failure)
            | Repr::NoSource {
                device: failure, ..
            } => failure.cause.raw_os_error(),
            Repr::Custom(error) => error.downcast_ref::<io::Error>()?.raw_os_error(),
        }
    }
}

impl StdError for Error {
    /// Returns the cause of a custom error. The custom error's text is in this error's text.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            Repr::Custom(error) => error.source(),
            _ => None,
        }
    }
}

/// Returns the value, or panics with the error's text.
#[inline]
#[track_caller]
pub(crate) fn or_panic<T>(result: Result<T, Error>) -> T {
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn failed(error: &Error) -> ! {
        panic!("{error}")
    }
    match result {
        Ok(value) => value,
        Err(error) => failed(&error),
    }
}
