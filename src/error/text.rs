//! The text of an error: the call that failed, and what can be done about it.

use core::fmt;

use super::{Advice, Call, Cause, Error, Failure, Path, Repr};
use crate::sys;

impl Path {
    fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Urandom => "/dev/urandom",
            Self::Random => "/dev/random",
        }
    }
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

impl Failure {
    pub(super) fn is_out_of_descriptors(self) -> bool {
        matches!(self.cause, Cause::Os(sys::EMFILE | sys::ENFILE))
    }

    /// Returns whether a call on a descriptor failed.
    fn is_of_descriptor(self) -> bool {
        [Call::Pread, Call::StatxOfDescriptor].contains(&self.call)
    }

    fn advice(self, advice: Advice) -> &'static str {
        match (self.cause, advice) {
            (Cause::Replaced(_), _) => {
                "; let no other thread close descriptors that it did not open"
            }
            _ if self.is_out_of_descriptors() => match advice {
                Advice::Prepare => {
                    "; free a descriptor, raise the limit, or call prepare() before it is reached"
                }
                _ => "; free a descriptor or raise the limit",
            },
            (Cause::Os(_), Advice::Prepared | Advice::PrepareFailed) if self.is_of_descriptor() => {
                "; allow this call in the sandbox"
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
                return write!(
                    f,
                    "is a symbolic link that does not lead to the kernel's {path}"
                );
            }
            _ => write!(f, "{}: ", self.call.name())?,
        }
        match self.cause {
            Cause::Os(errno) if errno > 0 => sys::write_os_error(f, errno),
            Cause::Os(_) => f.write_str("not available on this system"),
            Cause::WrongDevice | Cause::WrongLink => Ok(()),
            Cause::NotKept => f.write_str(
                "its descriptor cannot be kept, because this process shares its memory with \
                 another one, or other threads close the descriptor",
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
                Cause::Os(_) => write!(f, "no timestamp: {clock}; allow this call in the sandbox"),
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
