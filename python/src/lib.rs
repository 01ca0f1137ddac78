//! The native half of the Python package `fork-safe-uuid`.
//!
//! `lib/fork_safe_uuid/_native.pyi` has the types and the documentation that a
//! Python program sees.

#![deny(unsafe_code)]

mod error;
#[allow(unsafe_code)]
mod object;
mod status;

use std::hint::black_box;
use std::time::{Duration, Instant};

use fork_safe_uuid::Uuid;
use pyo3::exceptions::{PyMemoryError, PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::error::raise;
use crate::object::{Safe, make};

/// How many UUIDs are generated at once, and how many objects are made before the next check
/// for signals. These take 16 KiB on the stack, and some 0.2 ms.
const CHUNK: usize = 1024;

// The module works without the GIL: the crate has separate state for each thread, and only
// imports write the state of `object`.
#[pymodule(gil_used = false)]
mod _native {
    use super::*;

    #[pymodule_export]
    use crate::error::Error;
    #[pymodule_export]
    use crate::status::{Status, prepare, reseed, status};
    #[pymodule_export]
    use crate::{bulk, bulk_bytes, uuid1, uuid4, uuid4_bytes, uuid6, uuid7, uuid7_bytes};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        object::prepare(module.py())
    }
}

/// Returns a random UUID (version 4).
///
/// Raises Error if there is no entropy source.
#[pyfunction]
fn uuid4(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    match fork_safe_uuid::try_new_v4() {
        Ok(id) => make(py, id, Safe::Yes),
        Err(error) => Err(raise(py, error)),
    }
}

/// Returns a UUID of the current time in milliseconds (version 7).
///
/// The UUIDs of one thread increase. Raises Error if there is no entropy source or no
/// timestamp.
#[pyfunction]
fn uuid7(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    match fork_safe_uuid::try_now_v7() {
        Ok(id) => make(py, id, Safe::Yes),
        Err(error) => Err(raise(py, error)),
    }
}

/// Returns a UUID of the current time in 100 ns that sorts by time (version 6).
///
/// The node has 48 bits. Without it, a random one is used, which differs in each process.
/// With it, two processes may make the same UUID, and is_safe is SafeUUID.unsafe. Raises
/// Error if there is no entropy source or no timestamp.
#[pyfunction]
#[pyo3(signature = (node=None))]
fn uuid6<'py>(py: Python<'py>, node: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    of_node(py, node, fork_safe_uuid::try_now_v6)
}

/// Returns a UUID of the current time in 100 ns (version 1).
///
/// The node has 48 bits. Without it, a random one is used, which differs in each process.
/// With it, two processes may make the same UUID, and is_safe is SafeUUID.unsafe. Raises
/// Error if there is no entropy source or no timestamp.
#[pyfunction]
#[pyo3(signature = (node=None))]
fn uuid1<'py>(py: Python<'py>, node: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    of_node(py, node, fork_safe_uuid::try_now_v1)
}

/// Returns a UUID that `generate` makes with the given node or with a random one.
fn of_node<'py>(
    py: Python<'py>,
    node: Option<&Bound<'py, PyAny>>,
    generate: fn(&[u8; 6]) -> Result<Uuid, fork_safe_uuid::Error>,
) -> PyResult<Bound<'py, PyAny>> {
    let (id, safe) = match node {
        Some(node) => (generate(&node_of(node)?), Safe::No),
        None => (
            fork_safe_uuid::try_random_node().and_then(|node| generate(&node)),
            Safe::Yes,
        ),
    };
    match id {
        Ok(id) => make(py, id, safe),
        Err(error) => Err(raise(py, error)),
    }
}

/// Returns the six bytes of a node.
fn node_of(node: &Bound<'_, PyAny>) -> PyResult<[u8; 6]> {
    match node.extract::<u64>().map(u64::to_be_bytes) {
        Ok([0, 0, node @ ..]) => Ok(node),
        Err(error) if !error.is_instance_of::<PyOverflowError>(node.py()) => Err(error),
        _ => Err(PyValueError::new_err("node must be of 0 to 48 bits")),
    }
}

/// Returns a random UUID (version 4) as 16 bytes.
///
/// Raises Error if there is no entropy source.
#[pyfunction]
fn uuid4_bytes(py: Python<'_>) -> PyResult<Bound<'_, PyBytes>> {
    match fork_safe_uuid::try_new_v4() {
        Ok(id) => Ok(PyBytes::new(py, id.as_bytes())),
        Err(error) => Err(raise(py, error)),
    }
}

/// Returns a UUID of the current time in milliseconds (version 7) as 16 bytes.
///
/// Raises Error if there is no entropy source or no timestamp.
#[pyfunction]
fn uuid7_bytes(py: Python<'_>) -> PyResult<Bound<'_, PyBytes>> {
    match fork_safe_uuid::try_now_v7() {
        Ok(id) => Ok(PyBytes::new(py, id.as_bytes())),
        Err(error) => Err(raise(py, error)),
    }
}

/// Returns a list of n UUIDs of version 4 or 7.
///
/// A signal such as Ctrl-C ends the call. Raises Error as uuid4 and uuid7 do.
#[pyfunction]
#[pyo3(signature = (n, version=4))]
fn bulk(py: Python<'_>, n: isize, version: i64) -> PyResult<Bound<'_, PyList>> {
    // The size of an entry of the list: its pointer, the object with the header of the garbage
    // collector, and its int, according to sys.getsizeof on 64-bit Python 3.11.
    const SIZE: usize = 8 + 48 + 16 + 44;
    list(py, n, version, SIZE, |id| make(py, id, Safe::Yes))
}

/// Returns a list of n UUIDs of version 4 or 7, each as 16 bytes.
///
/// A signal such as Ctrl-C ends the call. Raises Error as uuid4 and uuid7 do.
#[pyfunction]
#[pyo3(signature = (n, version=4))]
fn bulk_bytes(py: Python<'_>, n: isize, version: i64) -> PyResult<Bound<'_, PyList>> {
    // A pointer, and an object of 16 bytes.
    const SIZE: usize = 8 + 49;
    list(py, n, version, SIZE, |id| {
        Ok(PyBytes::new(py, id.as_bytes()).into_any())
    })
}

/// Returns a list of `n` objects that `object` makes. `size` is the memory for each of them.
fn list<'py>(
    py: Python<'py>,
    n: isize,
    version: i64,
    size: usize,
    object: impl Fn(Uuid) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    let fill = match version {
        4 => fork_safe_uuid::try_fill_v4,
        7 => fork_safe_uuid::try_fill_v7,
        _ => return Err(PyValueError::new_err("version must be 4 or 7")),
    };
    let Ok(n) = usize::try_from(n) else {
        return Err(PyValueError::new_err("n must not be negative"));
    };
    ask_for_memory(n, size)?;
    // A thread that waits for the GIL requests it when it was not released for this time. Only
    // after that does releasing the GIL give that thread its turn.
    let pause = match n {
        0..=CHUNK => Duration::MAX,
        _ => switch_interval(py)?.saturating_mul(2),
    };
    let mut since = Instant::now();
    let list = PyList::empty(py);
    let mut ids = [Uuid::nil(); CHUNK];
    let mut left = n;
    loop {
        let ids = &mut ids[..left.min(CHUNK)];
        fill(ids).map_err(|error| raise(py, error))?;
        for &id in &*ids {
            list.append(object(id)?)?;
        }
        left -= ids.len();
        if left == 0 {
            return Ok(list);
        }
        py.check_signals()?;
        if since.elapsed() > pause {
            py.detach(|| ());
            since = Instant::now();
        }
    }
}

/// Returns how long Python lets a thread run while others wait for the GIL.
fn switch_interval(py: Python<'_>) -> PyResult<Duration> {
    let seconds = py.import("sys")?.call_method0("getswitchinterval")?;
    Ok(Duration::try_from_secs_f64(seconds.extract()?).unwrap_or(Duration::MAX))
}

/// Raises MemoryError at once if the system cannot provide that much memory, and not only
/// when the machine has run out of it.
fn ask_for_memory(n: usize, size: usize) -> PyResult<()> {
    let mut probe = Vec::<u8>::new();
    match n
        .checked_mul(size)
        .map(|size| probe.try_reserve_exact(size))
    {
        Some(Ok(())) => {
            // Otherwise the compiler removes the allocation.
            black_box(&probe);
            Ok(())
        }
        _ => Err(PyMemoryError::new_err(format!("{n} UUIDs"))),
    }
}
