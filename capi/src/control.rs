//! The functions of `<uuid/fork_safe_uuid.h>`, which libuuid does not have.

use core::ffi::{c_char, c_int};
use core::fmt::{self, Write};

use fork_safe_uuid::ErrorKind;

use crate::errno;
use crate::line::Line;

/// Acquires everything that a sandbox might refuse later, as
/// [`prepare`](fork_safe_uuid::prepare) does.
///
/// Returns 0; 1 if getrandom(2) is the only source, so that a sandbox must allow it; or -1 if
/// there is no entropy. Writes the status or the reason to `text`, as far as it has room.
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

/// Discards the pools of all threads in this process, its node and its clock sequence, as
/// [`reseed`](fork_safe_uuid::reseed) does.
#[unsafe(no_mangle)]
pub extern "C" fn fork_safe_uuid_reseed() {
    fork_safe_uuid::reseed();
}

/// Writes a line to `text`, as far as it has room, that says which entropy source is in use.
/// Returns the length of the whole line.
///
/// # Safety
///
/// `size` bytes can be written at `text`, which may be null if there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fork_safe_uuid_status(text: *mut c_char, size: usize) -> usize {
    // SAFETY: the same contract.
    errno::keep(|| unsafe { print(&fork_safe_uuid::status(), text, size) })
}

/// Writes `value` to `text` as far as it has room, and returns the length of the whole value.
///
/// # Safety
///
/// `size` bytes can be written at `text`, which may be null if there are none.
unsafe fn print(value: &dyn fmt::Display, text: *mut c_char, size: usize) -> usize {
    // SAFETY: the same contract.
    let mut line = unsafe { Line::at(text, size) };
    // Writing to a `Line` never fails.
    let _ = write!(line, "{value}");
    line.length()
}
