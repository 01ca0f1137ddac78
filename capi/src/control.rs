//! The functions of `<uuid/fork_safe_uuid.h>`, which libuuid does not have.

use core::ffi::{c_char, c_int};
use core::fmt::{self, Write};

use fork_safe_uuid::ErrorKind;

use crate::errno;
use crate::line::Line;

/// Acquires everything that a sandbox might refuse later, as
/// [`prepare`](fork_safe_uuid::prepare) does.
///
/// Returns 0; 1 if only getrandom(2) serves, so that a sandbox must not refuse it;
/// or -1 if there is no entropy at all. Writes the status or the reason to `text`,
/// as far as it has room.
///
/// # Safety
///
/// `size` bytes can be written at `text`, which may be null if there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fork_safe_uuid_prepare(text: *mut c_char, size: usize) -> c_int {
    errno::keep(|| {
        let prepared = fork_safe_uuid::prepare();
        let (result, line): (_, &dyn fmt::Display) = match &prepared {
            Ok(status) => (0, status),
            Err(error) if error.kind() == ErrorKind::Device => (1, error),
            Err(error) => (-1, error),
        };
        // SAFETY: the same contract.
        unsafe { print(line, text, size) };
        result
    })
}

/// Discards everything that this process has ready, in all threads, as
/// [`reseed`](fork_safe_uuid::reseed) does.
#[unsafe(no_mangle)]
pub extern "C" fn fork_safe_uuid_reseed() {
    fork_safe_uuid::reseed();
}

/// Writes one line about what serves the calling thread's UUIDs to `text`, as far
/// as it has room, and returns the length of the whole line.
///
/// # Safety
///
/// `size` bytes can be written at `text`, which may be null if there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fork_safe_uuid_status(text: *mut c_char, size: usize) -> usize {
    // SAFETY: the same contract.
    errno::keep(|| unsafe { print(&fork_safe_uuid::status(), text, size) })
}

/// # Safety
///
/// `size` bytes can be written at `text`, which may be null if there are none.
unsafe fn print(value: &dyn fmt::Display, text: *mut c_char, size: usize) -> usize {
    // SAFETY: the same contract.
    let mut line = unsafe { Line::at(text, size) };
    // A line is never an error.
    let _ = write!(line, "{value}");
    line.length()
}
