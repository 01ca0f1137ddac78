//! UUIDs as text: 36 characters, and a zero byte where libuuid writes.

use core::ffi::{c_char, c_int};
use std::ptr;

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

/// Where the hyphens stand.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// Where the two digits of each byte begin.
const BYTES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// # Safety
///
/// `length` bytes can be read at `text` if they are 36; `out` is a `uuid_t`.
unsafe fn parse(text: *const c_char, length: usize, out: *mut Uuid) -> c_int {
    if length != Hyphenated::LENGTH {
        return -1;
    }
    // SAFETY: that long.
    let text: &[u8; Hyphenated::LENGTH] = unsafe { &*text.cast() };
    let is_hyphen = |at: &usize| text[*at] == b'-';
    let is_byte = |at: &usize| text[*at..*at + 2].iter().all(u8::is_ascii_hexdigit);
    if !(HYPHENS.iter().all(is_hyphen) && BYTES.iter().all(is_byte)) {
        return -1;
    }
    let out: *mut u8 = out.cast();
    for (number, at) in BYTES.into_iter().enumerate() {
        let byte = digit(text[at]) << 4 | digit(text[at + 1]);
        // SAFETY: the caller's `uuid_t`. Written in place: a UUID that the `uuid`
        // crate returned by value would stay on the stack.
        unsafe { out.add(number).write(byte) };
    }
    0
}

/// The value of a hexadecimal digit.
fn digit(byte: u8) -> u8 {
    // Letters have bit 6, and end in 1 to 6.
    (byte & 0xF) + 9 * (byte >> 6)
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
