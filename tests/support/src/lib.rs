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
#[cfg(all(feature = "scenarios", target_os = "linux"))]
pub mod uuids;

/// How many UUIDs a pool makes in advance.
///
/// It repeats `SLOTS` of `src/engine/pool/page.rs`, which is private. The scenario
/// `snapshots::a_clone_repeats_at_most_the_pool` fails if the two differ.
pub const SLOTS: usize = 251;

/// Returns what a C function returned, or panics with `errno` if that is negative.
#[cfg(target_os = "linux")]
#[track_caller]
pub fn ok(result: i32) -> i32 {
    assert!(result >= 0, "{}", std::io::Error::last_os_error());
    result
}
