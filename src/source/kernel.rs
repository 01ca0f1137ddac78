//! The system's own generator: getrandom(2) on Linux and Android.

use super::EntropySource;
use crate::error::{Call, Cause, Error, Failure, Path};
use crate::sys;

/// The kernel's generator, getrandom(2), which needs no descriptor.
///
/// The call is made by number, so it is the same in a dynamic, a static and a
/// musl build. After boot, it waits once until the kernel's pool is initialised.
/// On systems other than Linux and Android, the `getrandom` crate is called.
///
/// # Errors
///
/// Returns an error of kind [`ErrorKind::Kernel`](crate::ErrorKind::Kernel) with the errno, even
/// for ENOSYS and EPERM: this source does not turn to the device.
///
/// # References
///
/// [getrandom(2)](https://man7.org/linux/man-pages/man2/getrandom.2.html),
/// since Linux 3.17.
///
/// # Examples
///
/// ```
/// use fork_safe_uuid::source::{EntropySource, Kernel};
///
/// let mut seed = [0; 32];
/// Kernel.fill(&mut seed)?;
/// # Ok::<(), fork_safe_uuid::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Kernel;

impl EntropySource for Kernel {
    fn fill(&self, dest: &mut [u8]) -> Result<(), Error> {
        fill_with(sys::getrandom, dest)
    }
}

fn fill_with(
    mut getrandom: impl FnMut(&mut [u8]) -> Result<usize, i32>,
    mut dest: &mut [u8],
) -> Result<(), Error> {
    while !dest.is_empty() {
        match getrandom(dest) {
            Ok(0) => return Err(failed(Cause::NoByte)),
            // [P4 rest-of-answer] A signal can cut a request of more than 256 bytes short, and a
            // tracer or an emulator can return any number.
            Ok(filled) => {
                let rest = dest.get_mut(filled..);
                dest = rest.ok_or_else(|| failed(Cause::TooMany))?;
            }
            // [P4 after-signal] An interrupted call does not mean that there is no entropy.
            Err(sys::EINTR) => {}
            Err(errno) => return Err(failed(Cause::Os(errno))),
        }
    }
    Ok(())
}

fn failed(cause: Cause) -> Error {
    Error::kernel(Failure {
        path: Path::None,
        call: Call::Getrandom,
        cause,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn more_bytes_than_were_asked_for_are_an_error() {
        let mut dest = [0; 16];
        let mut results = [10, 7].into_iter();
        let error = fill_with(|_| Ok(results.next().expect("two calls")), &mut dest)
            .expect_err("17 of 16 bytes");
        assert_eq!(error.kind(), ErrorKind::Kernel);
        assert_eq!(error.raw_os_error(), None);
        assert_eq!(
            error.to_string(),
            "no entropy source: getrandom(2): returned more bytes than were asked for"
        );
    }

    #[test]
    fn a_short_answer_or_a_signal_does_not_end_the_request() {
        let mut dest = [0; 16];
        let mut results = [Ok(1), Err(sys::EINTR), Ok(14), Ok(1)].into_iter();
        let mut asked = Vec::new();
        let filled = fill_with(
            |rest| {
                asked.push(rest.len());
                results.next().expect("four calls")
            },
            &mut dest,
        );
        assert!(filled.is_ok());
        assert_eq!(asked, [16, 15, 15, 1]);
    }
}
