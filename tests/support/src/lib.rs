//! Code that the scenarios of `tests/it` and of `capi`, the programs of `tests/guest` and the
//! fuzz targets share.

#[cfg(all(feature = "scenarios", target_os = "linux"))]
pub mod decoy;
#[cfg(all(feature = "scenarios", target_os = "linux"))]
pub mod descriptors;
#[cfg(feature = "scenarios")]
pub mod harness;
#[cfg(target_os = "linux")]
pub mod memory;
#[cfg(all(feature = "scenarios", target_os = "linux"))]
pub mod namespaces;
#[cfg(all(feature = "scenarios", target_os = "linux"))]
pub mod process;
// `seccompiler` is empty on big-endian machines. There the scenarios cannot be compiled, but
// the crate's other tests are, with this package.
#[cfg(all(feature = "scenarios", target_os = "linux", target_endian = "little"))]
pub mod sandbox;
#[cfg(all(target_os = "linux", target_endian = "little"))]
pub mod seccomp;
#[cfg(target_os = "linux")]
pub mod stuck;
#[cfg(all(feature = "scenarios", target_os = "linux"))]
pub mod uuids;

/// Loads shared libraries. The published lock file is smaller without this dependency, too.
#[cfg(all(feature = "scenarios", target_os = "linux"))]
pub use libloading;
/// Files and directories that are deleted at the end of a test. The published lock file of the
/// crate is smaller without this dependency.
#[cfg(feature = "scenarios")]
pub use tempfile;

/// How many UUIDs a pool makes in advance.
///
/// It repeats `SLOTS` of `src/engine/pool/page.rs`, which is private. The scenario
/// `snapshots::a_clone_repeats_at_most_the_pool` fails if the two differ.
pub const SLOTS: usize = 251;

/// Returns the text of an error number that the crate writes on Linux. It is that of glibc, also
/// where the libc is musl.
#[cfg(target_os = "linux")]
pub fn text_of(errno: i32) -> String {
    let text = match errno {
        libc::EIO => "Input/output error",
        libc::ENOMEM => "Cannot allocate memory",
        libc::EBUSY => "Device or resource busy",
        libc::EMFILE => "Too many open files",
        libc::ENOTTY => "Inappropriate ioctl for device",
        libc::ESPIPE => "Illegal seek",
        libc::ENAMETOOLONG => "File name too long",
        libc::ELOOP => "Too many levels of symbolic links",
        libc::EOVERFLOW => "Value too large for defined data type",
        // The libcs agree on the others that the scenarios use.
        _ => return std::io::Error::from_raw_os_error(errno).to_string(),
    };
    format!("{text} (os error {errno})")
}

/// Returns what a C function returned, or panics with `errno` if that is negative.
#[cfg(target_os = "linux")]
#[track_caller]
pub fn ok(result: i32) -> i32 {
    assert!(result >= 0, "{}", std::io::Error::last_os_error());
    result
}
