//! All systems but Linux and Android, with the `getrandom` crate, which keeps no descriptor
//! there.
//!
//! The functions for the tracked descriptor and for the vDSO return an error or `None`, and the
//! files above do without them.
#![allow(unsafe_code)]

use core::ffi::{CStr, c_int};
use core::fmt;
use core::ptr::NonNull;
use std::io;
use std::time::SystemTime;

/// `getrandom` below returns none of these numbers, because there is no second source to turn
/// to.
pub(crate) const EINTR: i32 = -1;
pub(crate) const EMFILE: i32 = -2;
pub(crate) const ENFILE: i32 = -3;
pub(crate) const ENOSYS: i32 = -4;
pub(crate) const EPERM: i32 = -5;
pub(crate) const EBADF: i32 = -6;

pub(crate) const RANDOM: u64 = 0;
pub(crate) const URANDOM: u64 = 0;

pub(crate) const HAS_DEVICE: bool = false;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) rdev: Option<u64>,
    pub(crate) is_link: bool,
}

// The code has another type on UEFI.
#[allow(clippy::unnecessary_cast)]
pub(crate) fn getrandom(dest: &mut [u8]) -> Result<usize, i32> {
    match getrandom::fill(dest) {
        Ok(()) => Ok(dest.len()),
        // 0 stands for a failure without an errno.
        Err(error) => Err(error.raw_os_error().map_or(0, |code| code as i32)),
    }
}

pub(crate) fn identity_of(_: c_int) -> Result<Identity, i32> {
    Err(ENOSYS)
}

pub(crate) fn identity_at(_: &CStr, _: bool) -> Result<Identity, i32> {
    Err(ENOSYS)
}

pub(crate) fn open(_: &CStr) -> Result<c_int, i32> {
    Err(ENOSYS)
}

pub(crate) fn move_above_stdio(_: c_int) -> Result<c_int, i32> {
    Err(ENOSYS)
}

pub(crate) fn is_marked(_: c_int) -> Result<bool, i32> {
    Err(ENOSYS)
}

pub(crate) fn replace(_: c_int, _: c_int) -> Result<(), i32> {
    Err(ENOSYS)
}

pub(crate) fn close(_: c_int) {}

pub(crate) fn pread(_: c_int, _: &mut [u8]) -> Result<usize, i32> {
    Err(ENOSYS)
}

pub(crate) fn entropy_count(_: c_int) -> Result<c_int, i32> {
    Err(ENOSYS)
}

pub(crate) fn wait_readable(_: c_int) -> Result<(), i32> {
    Err(ENOSYS)
}

/// # Safety
///
/// It is always safe, because it does nothing.
pub(crate) unsafe fn mark_wiped(_: NonNull<u8>, _: usize) -> bool {
    false
}

pub(crate) struct VdsoState;

impl VdsoState {
    pub(crate) fn clear(&self) {}
}

pub(crate) fn map_vdso_states(_: usize) -> Option<NonNull<u8>> {
    None
}

pub(crate) fn vdso_getrandom(_: &mut [u8], _: &VdsoState) -> Option<usize> {
    None
}

pub(crate) fn write_os_error(f: &mut fmt::Formatter<'_>, errno: i32) -> fmt::Result {
    write!(f, "{}", io::Error::from_raw_os_error(errno))
}

pub(crate) fn keeping_errno<T>(call: impl FnOnce() -> T) -> T {
    call()
}

pub(crate) fn wall_clock() -> Result<(i64, u32), i32> {
    // `SystemTime::now` panics on this target.
    if cfg!(all(target_family = "wasm", target_os = "unknown")) {
        return Err(ENOSYS);
    }
    Ok(super::since_1970(SystemTime::now()))
}

pub(crate) fn at_random() -> [u8; 16] {
    [0; 16]
}
