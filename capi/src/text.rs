//! Parses and writes UUIDs as text of 36 characters.

use core::ffi::{c_char, c_int};
use std::ptr;

use fork_safe_uuid::Uuid;
use uuid::fmt::Hyphenated;

/// Parses a string of exactly 36 characters, and returns 0. If it is no UUID, returns -1 and
/// does not write to `out`.
///
/// # Safety
///
/// `text` is a string; no more than 37 bytes of it are read. `out` is a
/// `uuid_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_parse(text: *const c_char, out: *mut Uuid) -> c_int {
    // SAFETY: the call stops at the zero byte, or after one byte more than a UUID has.
    let length = unsafe { libc::strnlen(text, Hyphenated::LENGTH + 1) };
    // SAFETY: as many bytes can be read as were counted.
    unsafe { parse(text, length, out) }
}

/// Parses the 36 characters from `start` to before `end`, and returns 0. If they are no UUID,
/// returns -1 and does not write to `out`.
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
    // SAFETY: the same contract. If `end` is before `start`, the length is too large.
    unsafe { parse(start, end.addr().wrapping_sub(start.addr()), out) }
}

/// The places of the hyphens.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// The places of the first digit of each byte.
const BYTES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// Parses a text of `length` bytes.
///
/// # Safety
///
/// If `length` is 36, 36 bytes can be read at `text`; `out` is a `uuid_t`.
unsafe fn parse(text: *const c_char, length: usize, out: *mut Uuid) -> c_int {
    if length != Hyphenated::LENGTH {
        return -1;
    }
    // SAFETY: `text` has that many bytes.
    let text: &[u8; Hyphenated::LENGTH] = unsafe { &*text.cast() };
    let is_hyphen = |at: &usize| text[*at] == b'-';
    let is_byte = |at: &usize| text[*at..*at + 2].iter().all(u8::is_ascii_hexdigit);
    if !(HYPHENS.iter().all(is_hyphen) && BYTES.iter().all(is_byte)) {
        return -1;
    }
    let out: *mut u8 = out.cast();
    for (number, at) in BYTES.into_iter().enumerate() {
        let byte = digit(text[at]) << 4 | digit(text[at + 1]);
        // It is written in place, as a UUID that the `uuid` crate returned by value would
        // stay on the stack.
        // SAFETY: the caller passes a `uuid_t`.
        unsafe { out.add(number).write(byte) };
    }
    0
}

/// Returns the value of a hexadecimal digit.
fn digit(byte: u8) -> u8 {
    // Letters have bit 6, and their low four bits are 1 to 6.
    (byte & 0xF) + 9 * (byte >> 6)
}

/// Writes the UUID as text in lower case, with a final zero byte.
///
/// # Safety
///
/// `id` is a `uuid_t`, and `out` has room for 37 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_unparse(id: *const Uuid, out: *mut c_char) {
    // SAFETY: the same contract.
    unsafe { uuid_unparse_lower(id, out) }
}

/// Writes the UUID as text in lower case, with a final zero byte.
///
/// # Safety
///
/// `id` is a `uuid_t`, and `out` has room for 37 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_unparse_lower(id: *const Uuid, out: *mut c_char) {
    let mut text = [0; Hyphenated::LENGTH + 1];
    // SAFETY: the caller passes a `uuid_t`.
    unsafe { *id }.hyphenated().encode_lower(&mut text);
    // SAFETY: the caller's buffer has room for the text, and does not overlap this array.
    unsafe { ptr::copy_nonoverlapping(text.as_ptr(), out.cast(), text.len()) }
}

/// Writes the UUID as text in upper case, with a final zero byte.
///
/// # Safety
///
/// `id` is a `uuid_t`, and `out` has room for 37 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_unparse_upper(id: *const Uuid, out: *mut c_char) {
    let mut text = [0; Hyphenated::LENGTH + 1];
    // SAFETY: the caller passes a `uuid_t`.
    unsafe { *id }.hyphenated().encode_upper(&mut text);
    // SAFETY: the caller's buffer has room for the text, and does not overlap this array.
    unsafe { ptr::copy_nonoverlapping(text.as_ptr(), out.cast(), text.len()) }
}
