//! The system's own generator: getrandom(2) on Linux and Android.

use super::EntropySource;
use crate::error::{Cause, Error, Failure};
use crate::sys;

/// The kernel's generator, getrandom(2), without any descriptor.
///
/// The call is made by number, so it is the same in a dynamic, a static and a
/// musl build. It waits until the kernel's pool is initialised, once after
/// boot. On systems other than Linux and Android, the `getrandom` crate.
///
/// # Errors
///
/// [`ErrorKind::Kernel`](crate::ErrorKind::Kernel) with the errno, ENOSYS and
/// EPERM included: this source alone does not turn to the device.
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
    fn fill(&self, mut dest: &mut [u8]) -> Result<(), Error> {
        while !dest.is_empty() {
            match sys::getrandom(dest) {
                Ok(0) => return Err(failed(Cause::NoByte)),
                // A signal cuts a request over 256 bytes short.
                Ok(filled) => dest = &mut dest[filled..],
                Err(sys::EINTR) => {}
                Err(errno) => return Err(failed(Cause::Os(errno))),
            }
        }
        Ok(())
    }
}

fn failed(cause: Cause) -> Error {
    Error::kernel(Failure {
        path: None,
        call: "getrandom(2)",
        cause,
    })
}
