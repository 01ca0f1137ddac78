//! The functions that the daemon uuidd calls, of the symbol version `UUIDD_PRIVATE`.

use core::ffi::c_int;
use std::slice;

use fork_safe_uuid::{Uuid, try_fill_v4, try_new_v4, try_now_v1};

use crate::generate::or_abort;

/// Writes the first of `*count` UUIDs of version 1, and returns 0. The daemon makes the others
/// by incrementing the time.
///
/// The daemon gives such ranges to several processes. Each range gets a new node and a new
/// clock sequence, which are 61 random bits, so that no two ranges overlap.
///
/// # Safety
///
/// `out` is a `uuid_t`; `count` is not looked at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __uuid_generate_time(out: *mut Uuid, _count: *mut c_int) -> c_int {
    let mut id = or_abort(try_new_v4()).into_bytes();
    // The multicast bit says that the node is no MAC address.
    id[10] |= 1;
    let time = or_abort(try_now_v1(&[0; 6])).into_bytes();
    id[..8].copy_from_slice(&time[..8]);
    // SAFETY: the caller passes a `uuid_t`.
    unsafe { out.write(Uuid::from_bytes(id)) };
    0
}

/// Does the same. In libuuid it continues the clock state, of which there is none here.
///
/// # Safety
///
/// `out` is a `uuid_t`; `count` is not looked at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __uuid_generate_time_cont(
    out: *mut Uuid,
    count: *mut c_int,
    _offset: u32,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { __uuid_generate_time(out, count) }
}

/// Writes `*count` random UUIDs, or one if `count` is null or `*count` is 0. Returns 0, which
/// in libuuid means that none of them is weak.
///
/// # Safety
///
/// `out` has room for that many `uuid_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __uuid_generate_random(out: *mut Uuid, count: *const c_int) -> c_int {
    // SAFETY: the caller passes null or an int.
    let count = match unsafe { count.as_ref() } {
        None | Some(0) => 1,
        // A negative count makes no UUID, as in libuuid.
        Some(&count) => usize::try_from(count).unwrap_or(0),
    };
    // SAFETY: `out` has room for them, and any bytes of a `uuid_t` are a `Uuid`.
    let ids = unsafe { slice::from_raw_parts_mut(out, count) };
    or_abort(try_fill_v4(ids));
    0
}
