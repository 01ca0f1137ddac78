//! The exception `Error`.

use fork_safe_uuid::ErrorKind;
use pyo3::create_exception;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

create_exception!(
    fork_safe_uuid,
    Error,
    PyOSError,
    "No entropy, or no timestamp, so there is no UUID.\n\n\
     The text names each system call that failed, and says what to do. `errno` is that of\n\
     the last call, `strerror` is the text without the number, and `kind` is 'no source',\n\
     'kernel', 'device' or 'clock'. The next call tries everything again."
);

/// Returns `error` as a Python exception.
#[cold]
pub(crate) fn raise(py: Python<'_>, error: fork_safe_uuid::Error) -> PyErr {
    let text = error.to_string();
    let raised = match error.raw_os_error() {
        Some(errno) => Error::new_err((errno, text)),
        None => Error::new_err(text),
    };
    let kind = match error.kind() {
        ErrorKind::NoSource => "no source",
        ErrorKind::Kernel => "kernel",
        ErrorKind::Device => "device",
        ErrorKind::Clock => "clock",
        _ => "other",
    };
    match raised.value(py).setattr("kind", kind) {
        Ok(()) => raised,
        Err(other) => other,
    }
}
