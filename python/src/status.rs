//! `status()`, `prepare()` and `reseed()`, and the class `Status`.

use fork_safe_uuid::SystemSource;
use fork_safe_uuid::source::TrackedDevice;
use pyo3::prelude::*;

use crate::error::raise;

/// Which entropy source is in use, and how.
///
/// `str()` returns a line for a log.
#[pyclass(frozen, eq, module = "fork_safe_uuid")]
#[derive(PartialEq, Eq)]
pub(crate) struct Status(pub(crate) fork_safe_uuid::Status);

#[pymethods]
impl Status {
    /// The source that answered last: 'kernel' or 'device', or None before the first draw.
    #[getter]
    fn source(&self) -> Option<&'static str> {
        match self.0.source() {
            Some(SystemSource::Kernel) => Some("kernel"),
            Some(SystemSource::Device) => Some("device"),
            _ => None,
        }
    }

    /// Whether the calling thread keeps UUIDs ready. It does so from its first UUID on.
    #[getter]
    fn pooled(&self) -> bool {
        self.0.pooled()
    }

    /// The descriptor of /dev/urandom that this process has open, or None.
    #[getter]
    fn device(&self) -> Option<i32> {
        match self.0.device() {
            TrackedDevice::Open { number, .. } => Some(number),
            _ => None,
        }
    }

    /// Whether the processor's random numbers are mixed in.
    #[getter]
    fn hardware_random(&self) -> bool {
        self.0.hardware_random()
    }

    /// How often a seed could not be renewed, so that the old keys stayed in use.
    #[getter]
    fn missed_reseeds(&self) -> u64 {
        self.0.missed_reseeds()
    }

    /// How often the clock was set back by more than 10 s, so that UUIDs followed it.
    #[getter]
    fn clock_steps(&self) -> u64 {
        self.0.clock_steps()
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<fork_safe_uuid.Status {}>", self.0)
    }
}

/// Acquires everything that a sandbox might refuse later, and returns the status.
///
/// Call it in each process that enters a chroot or a seccomp filter, after its last
/// fork. Raises Error if no source answers, or if /dev/urandom cannot be opened (kind
/// 'device'). A sandbox that allows getrandom(2) needs no device.
#[pyfunction]
pub(crate) fn prepare(py: Python<'_>) -> PyResult<Status> {
    match fork_safe_uuid::prepare() {
        Ok(status) => Ok(Status(status)),
        Err(error) => Err(raise(py, error)),
    }
}

/// Discards the UUIDs that this process has ready, in all threads.
///
/// Call it in a virtual machine or a process that was restored from a snapshot. It is not
/// needed after a fork.
#[pyfunction]
pub(crate) fn reseed() {
    fork_safe_uuid::reseed();
}

/// Returns which entropy source is in use.
#[pyfunction]
pub(crate) fn status() -> Status {
    Status(fork_safe_uuid::status())
}
