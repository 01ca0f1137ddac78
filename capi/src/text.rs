//! UUIDs as text: 36 characters, and a zero byte where libuuid writes.

use core::ffi::{c_char, c_int};
use std::ptr;
use std::slice;

use fork_safe_uuid::Uuid;
use uuid::fmt::Hyphenated;

/// Reads a UUID from a string of exactly 36 characters; returns 0, or -1 and
/// leaves `out` alone.
///
/// # Safety
///
/// `text` is a string; no more than 37 bytes of it are read. `out` is a
/// `uuid_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_parse(text: *const c_char, out: *mut Uuid) -> c_int {
    // SAFETY: stops at the zero byte, or behind the longest string that counts.
    let length = unsafe { libc::strnlen(text, Hyphenated::LENGTH + 1) };
    // SAFETY: that many bytes were read.
    unsafe { parse(text, length, out) }
}

/// Reads a UUID from the 36 characters from `start` to before `end`; returns 0,
/// or -1 and leaves `out` alone.
///
/// # Safety
///
/// The bytes from `start` to before `end` can be read; `out` is a `uuid_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_parse_range(
    start: *const c_char,
    end: *const c_char,
    out: *mut Uuid,
) -> c_int {
    // SAFETY: the same contract; a range that ends before it starts is too long.
    unsafe { parse(start, end.addr().wrapping_sub(start.addr()), out) }
}

/// # Safety
///
/// `length` bytes can be read at `text` if they are 36; `out` is a `uuid_t`.
unsafe fn parse(text: *const c_char, length: usize, out: *mut Uuid) -> c_int {
    // The other notations that `Uuid` reads have other lengths.
    if length != Hyphenated::LENGTH {
        return -1;
    }
    // SAFETY: that long.
    let text = unsafe { slice::from_raw_parts(text.cast(), length) };
    let Ok(id) = Uuid::try_parse_ascii(text) else {
        return -1;
    };
    // SAFETY: the caller's `uuid_t`.
    unsafe { out.write(id) };
    0
}

/// Writes the UUID as text in lower case, with a zero byte.
///
/// # Safety
///
/// `id` is a `uuid_t`, and `out` has room for 37 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_unparse(id: *const Uuid, out: *mut c_char) {
    // SAFETY: the same contract.
    unsafe { uuid_unparse_lower(id, out) }
}

/// Writes the UUID as text in lower case, with a zero byte.
///
/// # Safety
///
/// `id` is a `uuid_t`, and `out` has room for 37 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_unparse_lower(id: *const Uuid, out: *mut c_char) {
    let mut text = [0; Hyphenated::LENGTH + 1];
    // SAFETY: the caller's `uuid_t`.
    unsafe { *id }.hyphenated().encode_lower(&mut text);
    // SAFETY: room for it, which is not the array of this frame.
    unsafe { ptr::copy_nonoverlapping(text.as_ptr(), out.cast(), text.len()) }
}

/// Writes the UUID as text in upper case, with a zero byte.
///
/// # Safety
///
/// `id` is a `uuid_t`, and `out` has room for 37 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_unparse_upper(id: *const Uuid, out: *mut c_char) {
    let mut text = [0; Hyphenated::LENGTH + 1];
    // SAFETY: the caller's `uuid_t`.
    unsafe { *id }.hyphenated().encode_upper(&mut text);
    // SAFETY: room for it, which is not the array of this frame.
    unsafe { ptr::copy_nonoverlapping(text.as_ptr(), out.cast(), text.len()) }
}
