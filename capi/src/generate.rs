//! Generates UUIDs: random ones, those of a time, and those of a name.

use core::ffi::{c_char, c_int};
use std::slice;

use fork_safe_uuid::{
    Error, Uuid, try_fill_v4, try_fill_v7, try_now_v1, try_now_v6, try_random_node,
};

use crate::abort::abort;

/// Returns the value, or ends the process: libuuid's functions cannot report an error, and
/// their callers would use whatever their memory contained.
pub(crate) fn or_abort<T>(outcome: Result<T, Error>) -> T {
    outcome.unwrap_or_else(|error| abort(&error))
}

/// Writes a random UUID (version 4).
///
/// # Safety
///
/// `out` is a `uuid_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_generate_random(out: *mut Uuid) {
    // SAFETY: the caller passes a `uuid_t`, of which any bytes are a `Uuid`.
    let id = unsafe { &mut *out };
    // It is written in place, as a UUID that is returned by value would stay on the stack.
    or_abort(try_fill_v4(slice::from_mut(id)));
}

/// Writes a random UUID (version 4).
///
/// # Safety
///
/// `out` is a `uuid_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_generate(out: *mut Uuid) {
    // SAFETY: the same contract.
    unsafe { uuid_generate_random(out) }
}

/// Writes a UUID of the current time and this process's random node (version 1).
///
/// # Safety
///
/// `out` is a `uuid_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_generate_time(out: *mut Uuid) {
    let id = or_abort(try_random_node().and_then(|node| try_now_v1(&node)));
    // SAFETY: the caller passes a `uuid_t`.
    unsafe { out.write(id) }
}

/// Does the same, and returns 0, which in libuuid means "made in a safe manner": another
/// process has another node.
///
/// # Safety
///
/// `out` is a `uuid_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_generate_time_safe(out: *mut Uuid) -> c_int {
    // SAFETY: the same contract.
    unsafe { uuid_generate_time(out) };
    0
}

/// Writes a sortable UUID of the current time and this process's random node (version 6).
///
/// # Safety
///
/// `out` is a `uuid_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_generate_time_v6(out: *mut Uuid) {
    let id = or_abort(try_random_node().and_then(|node| try_now_v6(&node)));
    // SAFETY: the caller passes a `uuid_t`.
    unsafe { out.write(id) }
}

/// Writes a sortable UUID of the current time and random bits (version 7).
///
/// # Safety
///
/// `out` is a `uuid_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_generate_time_v7(out: *mut Uuid) {
    // SAFETY: the caller passes a `uuid_t`, of which any bytes are a `Uuid`.
    let id = unsafe { &mut *out };
    // It is written in place, as in `uuid_generate_random`.
    or_abort(try_fill_v7(slice::from_mut(id)));
}

/// Writes the UUID of a name in a namespace by MD5 (version 3).
///
/// # Safety
///
/// `out` and `namespace` are a `uuid_t`, and `length` bytes can be read at
/// `name`, which may be null if there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_generate_md5(
    out: *mut Uuid,
    namespace: *const Uuid,
    name: *const c_char,
    length: usize,
) {
    // SAFETY: the same contract; the borrows end before `out` is written.
    unsafe { out.write(Uuid::new_v3(&*namespace, bytes(name, length))) }
}

/// Writes the UUID of a name in a namespace by SHA-1 (version 5).
///
/// # Safety
///
/// `out` and `namespace` are a `uuid_t`, and `length` bytes can be read at
/// `name`, which may be null if there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_generate_sha1(
    out: *mut Uuid,
    namespace: *const Uuid,
    name: *const c_char,
    length: usize,
) {
    // SAFETY: the same contract; the borrows end before `out` is written.
    unsafe { out.write(Uuid::new_v5(&*namespace, bytes(name, length))) }
}

/// Returns the bytes of a name.
///
/// # Safety
///
/// `length` bytes can be read at `name`, which may be null if there are none.
unsafe fn bytes<'a>(name: *const c_char, length: usize) -> &'a [u8] {
    if length == 0 {
        return &[];
    }
    // SAFETY: `name` is not null, and that many bytes can be read.
    unsafe { slice::from_raw_parts(name.cast(), length) }
}
