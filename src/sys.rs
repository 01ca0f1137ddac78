//! What a platform must provide. Only this file and those below it ask which system it is.
//!
//! Each backend has the same items, so that no file above needs a `cfg` for the system:
//!
//! | item | contract |
//! | --- | --- |
//! | `getrandom` | fills a prefix of the buffer from the system's CSPRNG and returns its length, or an errno; blocks until that generator is initialised |
//! | `HAS_DEVICE` | whether there is a device to turn to |
//! | `RANDOM`, `URANDOM` | the device numbers of /dev/random and /dev/urandom |
//! | `Identity`, `identity_at`, `identity_of` | what a path leads to, through a symbolic link or not; what a descriptor is |
//! | `open`, `move_above_stdio`, `replace`, `close`, `pread` | the system calls; a descriptor is close-on-exec from its first instant |
//! | `is_marked` | whether a descriptor comes from `open` here, and not from the program's own |
//! | `entropy_count`, `wait_readable` | `RNDGETENTCNT`; `poll` without a time limit |
//! | `map_wiped`, `unmap` | private memory that is proven to read as zeros in a forked child, or `None`; any memory if the system has no fork |
//! | `mark_wiped` | makes the kernel zero such memory in forked children, again if the mark was lost |
//! | `VdsoState`, `map_vdso_states`, `vdso_getrandom` | getrandom without a system call, its state, and memory for states; or `None` |
//! | `known_thread` | the calling thread's number, of up to 22 bits, or `None` if the thread runs with another thread's variables |
//! | `is_gone` | whether a thread of this process has ended, for certain |
//! | `write_os_error` | the text of an errno, without allocating on Linux and Android |
//! | `keeping_errno` | makes a call and restores the thread's errno |
//! | `hardware_random` | 64 random bits of the processor, or `None` |
//! | `has_aes` | whether a 64-bit Arm processor has instructions for AES |
//! | `wall_clock` | seconds since 1970, rounded down, and nanoseconds; or an errno |
//! | `pid`, `at_random` | the process's number; 16 bytes that the kernel drew for the program, or zeros |
//! | `EPERM` … | the errno values that the code above compares with |
//!
//! On a system without wiped memory, `map_wiped` returns `None`, and each UUID is drawn from
//! `getrandom`. Nothing here waits for another thread. Nothing here allocates, except
//! `write_os_error` on other systems than Linux and Android.

#[cfg(not(target_has_atomic = "64"))]
compile_error!("fork-safe-uuid needs 64-bit atomics, which this target does not have");

use std::time::{SystemTime, UNIX_EPOCH};

#[allow(unsafe_code)]
mod hardware;
pub(crate) use hardware::*;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::*;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod other;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use other::*;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::*;

#[cfg(not(any(target_os = "linux", target_os = "android", windows)))]
mod single;
#[cfg(not(any(target_os = "linux", target_os = "android", windows)))]
pub(crate) use single::*;

/// Returns the seconds since 1970, rounded down, and the rest in nanoseconds.
pub(crate) fn since_1970(time: SystemTime) -> (i64, u32) {
    const SECOND: i128 = 1_000_000_000;
    // No `Duration` is too long for its nanoseconds.
    let nanos = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    };
    // A `SystemTime` has 64 bits of seconds on each system, or fewer.
    (
        nanos.div_euclid(SECOND) as i64,
        nanos.rem_euclid(SECOND) as u32,
    )
}
