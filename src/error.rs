//! The one error: no entropy, or no timestamp, and which call said so.

use core::error::Error as StdError;
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
    /// The device cannot serve, where it was the only source asked for, or where
    /// [`prepare`](crate::prepare) was to open it.
    Device,
    /// A source of the program's own failed ([`Error::custom`]).
    Custom,
    /// The wall clock cannot be read, or shows a time that the version has no
    /// timestamp for.
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
    /// This is what `prepare` returns, while the kernel serves.
    Preparing,
}

/// One call that failed. Small: results are moved after the last look at whether
/// the process was forked.
#[derive(Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) path: Path,
    pub(crate) call: Call,
    pub(crate) cause: Cause,
}

const _: () = assert!(size_of::<Error>() <= 80);

/// What a call was made on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    None,
    Urandom,
    Random,
}

impl Path {
    fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Urandom => "/dev/urandom",
            Self::Random => "/dev/random",
        }
    }
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
    /// No call: what the clock shows.
    WallClock,
}

impl Call {
    fn name(self) -> &'static str {
        match self {
            Self::Getrandom => "getrandom(2)",
            Self::Statx => "statx(2)",
            Self::StatxOfDescriptor => "statx(2) of its descriptor",
            Self::Openat => "openat(2)",
            Self::Fcntl => "fcntl(2)",
            Self::Ppoll => "ppoll(2)",
            Self::Pread => "pread(2)",
            Self::ClockGettime => "clock_gettime(2)",
            Self::WallClock => "wall clock",
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Cause {
    /// The call's errno.
    Os(i32),
    /// The path does not lead to the character device with its name.
    WrongDevice,
    /// The path leads through a symbolic link, and not to this device.
    WrongLink,
    /// A read returned no byte.
    NoByte,
    /// The call returned a greater length than it was asked to fill.
    TooMany,
    /// The descriptor could not be kept for later.
    NotKept,
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
        Self(Repr::Device(failure, Advice::Prepare))
    }

    /// Returns the error of a source of the program's own
    /// ([`EntropySource`](crate::source::EntropySource)): an [`io::Error`], another
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

    /// Whether there was no room for another descriptor.
    pub(crate) fn is_out_of_descriptors(&self) -> bool {
        let Repr::Device(failure, _) = self.0 else {
            return false;
        };
        failure.is_out_of_descriptors()
    }

    /// This refusal, and what the device said after it.
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

    /// This failure of the device, with other advice.
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

    /// Returns the errno of the last call that failed, where it had one: of
    /// the device's with [`ErrorKind::NoSource`].
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

impl Failure {
    fn is_out_of_descriptors(self) -> bool {
        matches!(self.cause, Cause::Os(sys::EMFILE | sys::ENFILE))
    }

    /// Whether a descriptor was there, and a call on it failed.
    fn is_of_descriptor(self) -> bool {
        [Call::Pread, Call::StatxOfDescriptor].contains(&self.call)
    }

    fn advice(self, advice: Advice) -> &'static str {
        match (self.cause, advice) {
            (Cause::Replaced(_), _) => {
                "; let no other thread reuse descriptor numbers it did not open"
            }
            _ if self.is_out_of_descriptors() => match advice {
                Advice::Prepare => {
                    "; free a descriptor, raise the limit, or call prepare() before it is reached"
                }
                _ => "; free a descriptor or raise the limit",
            },
            (Cause::Os(_), Advice::Prepared | Advice::PrepareFailed) if self.is_of_descriptor() => {
                "; have the sandbox allow this call"
            }
            (_, Advice::Prepare) => {
                "; call prepare() in this process before it enters a chroot or sandbox"
            }
            (_, Advice::PrepareFailed) => {
                "; prepare() failed in this process: look at the error that it returned"
            }
            (_, Advice::Prepared) => {
                "; the descriptor that prepare() opened is gone: \
                 close no descriptors that you did not open"
            }
            (_, Advice::Preparing) => "; a sandbox that refuses getrandom(2) would leave no source",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.name();
        if self.path != Path::None {
            write!(f, "{path}: ")?;
        }
        match self.cause {
            Cause::WrongDevice => return write!(f, "is not the kernel's {path}"),
            Cause::WrongLink => {
                return write!(f, "is a symbolic link, and not to the kernel's {path}");
            }
            _ => write!(f, "{}: ", self.call.name())?,
        }
        match self.cause {
            Cause::Os(errno) if errno > 0 => sys::write_os_error(f, errno),
            Cause::Os(_) => f.write_str("not available on this system"),
            Cause::WrongDevice | Cause::WrongLink => Ok(()),
            Cause::NotKept => f.write_str(
                "its descriptor cannot be kept, for this process shares its memory with another, \
                 or other threads close it",
            ),
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
        match &self.0 {
            Repr::Kernel(kernel) => write!(f, "no entropy source: {kernel}"),
            Repr::Custom(error) => write!(f, "no entropy source: {error}"),
            Repr::Device(device, advice @ Advice::Preparing) => {
                write!(
                    f,
                    "no device in reserve: {device}{}",
                    device.advice(*advice)
                )
            }
            Repr::Device(device, advice) => {
                write!(f, "no entropy source: {device}{}", device.advice(*advice))
            }
            Repr::NoSource {
                kernel,
                device,
                advice,
            } => {
                let advice = device.advice(*advice);
                write!(f, "no entropy source: {kernel}; {device}{advice}")
            }
            Repr::Clock(clock) => match clock.cause {
                Cause::Os(_) => write!(f, "no timestamp: {clock}; have the sandbox allow it"),
                _ => write!(f, "no timestamp: {clock}; set the clock"),
            },
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.kind())
    }
}

impl StdError for Error {
    /// What a source's own error came from. That error's text is in this one's.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            Repr::Custom(error) => error.source(),
            _ => None,
        }
    }
}
