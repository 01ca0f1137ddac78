//! Copies and compares UUIDs, and reads their fields.

use core::ffi::{CStr, c_char, c_int};
use std::cmp::Ordering;
use std::ptr;

use fork_safe_uuid::Uuid;
use uuid::Variant;

/// The time from 1582-10-15, where versions 1 and 6 begin to count, to 1970, in units of
/// 100 ns (RFC 9562 section 5.1).
const GREGORIAN_TO_UNIX: i64 = 0x01B2_1DD2_1381_4000;

/// C's `struct timeval` with two fields of 64 bits, on every platform.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Timeval64 {
    seconds: i64,
    microseconds: i64,
}

/// Writes the Nil UUID.
///
/// # Safety
///
/// `out` is a `uuid_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_clear(out: *mut Uuid) {
    // SAFETY: the caller passes a `uuid_t`.
    unsafe { out.write(Uuid::nil()) }
}

/// Copies a UUID.
///
/// # Safety
///
/// Both are a `uuid_t`; they may overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_copy(to: *mut Uuid, from: *const Uuid) {
    // SAFETY: the caller passes two `uuid_t`.
    unsafe { ptr::copy(from, to, 1) }
}

/// Compares two UUIDs byte by byte, and returns -1, 0 or 1 if `left` is less than, equal to
/// or greater than `right`.
///
/// # Safety
///
/// Both are a `uuid_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_compare(left: *const Uuid, right: *const Uuid) -> c_int {
    // SAFETY: the caller passes two `uuid_t`.
    match unsafe { (*left).cmp(&*right) } {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }
}

/// Returns 1 for the Nil UUID, otherwise 0.
///
/// # Safety
///
/// `id` is a `uuid_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_is_null(id: *const Uuid) -> c_int {
    // SAFETY: the caller passes a `uuid_t`.
    c_int::from(unsafe { (*id).is_nil() })
}

/// Returns the version, 0 to 15.
///
/// # Safety
///
/// `id` is a `uuid_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_type(id: *const Uuid) -> c_int {
    // SAFETY: the caller passes a `uuid_t`.
    unsafe { (*id).get_version_num() as c_int }
}

/// Returns the variant, one of `UUID_VARIANT_*`.
///
/// # Safety
///
/// `id` is a `uuid_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_variant(id: *const Uuid) -> c_int {
    // SAFETY: the caller passes a `uuid_t`.
    match unsafe { (*id).get_variant() } {
        Variant::NCS => 0,
        Variant::RFC4122 => 1,
        Variant::Microsoft => 2,
        _ => 3,
    }
}

/// Returns the time of a UUID of version 1, 6 or 7 in seconds since 1970, rounded down, or -1
/// for other versions. Writes it to `time` with the microseconds, which are never negative.
///
/// If `time_t` has 32 bits, a time that does not fit is -1, too.
///
/// # Safety
///
/// `id` is a `uuid_t`; `time` is null or has room for a `struct timeval`.
#[cfg(not(all(target_env = "musl", target_pointer_width = "32")))]
#[unsafe(no_mangle)]
#[allow(clippy::useless_conversion)] // On most platforms `time_t` is `i64`.
pub unsafe extern "C" fn uuid_time(id: *const Uuid, time: *mut libc::timeval) -> libc::time_t {
    // SAFETY: the caller passes a `uuid_t`.
    let found = time_of(unsafe { &*id });
    let (tv_sec, tv_usec) = match found.seconds.try_into() {
        Ok(seconds) => (seconds, found.microseconds as libc::suseconds_t),
        Err(_) => (-1, -1),
    };
    if !time.is_null() {
        // SAFETY: `time` has room for it.
        unsafe { time.write(libc::timeval { tv_sec, tv_usec }) }
    }
    tv_sec
}

/// Does the same as [`uuid_time64`]: musl's `time_t` has 64 bits on each platform, but that of
/// the `libc` crate has 32 here.
///
/// # Safety
///
/// `id` is a `uuid_t`; `time` is null or has room for a `struct timeval`.
#[cfg(all(target_env = "musl", target_pointer_width = "32"))]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_time(id: *const Uuid, time: *mut Timeval64) -> i64 {
    // SAFETY: the same contract.
    unsafe { uuid_time64(id, time) }
}

/// Does what `uuid_time` does, with 64 bits on every platform.
///
/// # Safety
///
/// `id` is a `uuid_t`; `time` is null or has room for such a structure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_time64(id: *const Uuid, time: *mut Timeval64) -> i64 {
    // SAFETY: the caller passes a `uuid_t`.
    let found = time_of(unsafe { &*id });
    if !time.is_null() {
        // SAFETY: `time` has room for it.
        unsafe { time.write(found) }
    }
    found.seconds
}

/// Returns the time of a UUID, or -1 for both fields if it has none.
fn time_of(id: &Uuid) -> Timeval64 {
    let (low, middle, high, _) = id.as_fields();
    let [low, middle, high] = [low.into(), middle.into(), (high & 0xFFF).into()].map(|n: i64| n);
    // How many units are a second, and their count since 1970.
    let (unit, count) = match id.get_version_num() {
        1 => (
            10_000_000,
            (high << 48 | middle << 32 | low) - GREGORIAN_TO_UNIX,
        ),
        6 => (
            10_000_000,
            (low << 28 | middle << 12 | high) - GREGORIAN_TO_UNIX,
        ),
        7 => (1000, low << 16 | middle),
        _ => {
            return Timeval64 {
                seconds: -1,
                microseconds: -1,
            };
        }
    };
    Timeval64 {
        seconds: count.div_euclid(unit),
        microseconds: count.rem_euclid(unit) * 1_000_000 / unit,
    }
}

/// Returns the namespace named "dns", "url", "oid", "x500" or "x.500", or null for any other
/// name.
///
/// # Safety
///
/// `name` is a string or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_get_template(name: *const c_char) -> *const Uuid {
    if name.is_null() {
        return ptr::null();
    }
    // SAFETY: `name` is a string.
    match unsafe { CStr::from_ptr(name) }.to_bytes() {
        b"dns" => &Uuid::NAMESPACE_DNS,
        b"url" => &Uuid::NAMESPACE_URL,
        b"oid" => &Uuid::NAMESPACE_OID,
        b"x500" | b"x.500" => &Uuid::NAMESPACE_X500,
        _ => ptr::null(),
    }
}
