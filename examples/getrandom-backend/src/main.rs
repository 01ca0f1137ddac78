//! `Uuid::new_v4()` of code that cannot be changed, served by this crate's
//! sources: getrandom(2) by number, else a descriptor that is proven before and
//! after each read.
//!
//! ```text
//! cd examples/getrandom-backend && cargo run
//! ```
//!
//! Think twice:
//!
//! - It feeds *everything* that draws from `getrandom` 0.3 and 0.4: TLS keys,
//!   hash maps of ahash, seeds of `rand`. What goes wrong here goes wrong there.
//! - `--cfg getrandom_backend="custom"` must reach the whole build, by
//!   `.cargo/config.toml` of the program or RUSTFLAGS; the latter replaces the
//!   former. Without it this function stands unused, and nothing says so.
//! - Only the program defines the symbol, once; a library must not.
//! - `getrandom` 0.2 is not served. Nor is `fast-rng` made safe: its seeds come
//!   from here, and its copies at fork still repeat them.
//! - It is the system call again, with none of the pool's speed.
//!
//! The program checks itself, and exits with 0: in a sandbox that refuses
//! getrandom(2), with its descriptors closed and their numbers taken.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::AsRawFd;

use fork_safe_uuid::source::{Device, EntropySource, Kernel};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use uuid::Uuid;

/// # Safety
///
/// `dest` leads to `len` bytes that may be written; they need not be
/// initialised.
// SAFETY: the name and the signature are those of getrandom's documentation.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    dest: *mut u8,
    len: usize,
) -> Result<(), getrandom::Error> {
    // SAFETY: the caller's promise; zeroed first, as a slice needs it.
    let dest = unsafe {
        dest.write_bytes(0, len);
        std::slice::from_raw_parts_mut(dest, len)
    };
    // Not `new_v4()`: a UUID has six bits that are known.
    Kernel
        .fill(dest)
        .or_else(|_| Device.fill(dest))
        .map_err(|_| getrandom::Error::UNEXPECTED)
}

fn main() {
    refuse_getrandom();
    let mut ids: Vec<_> = (0..1000).map(|_| Uuid::new_v4()).collect();

    // A daemon closes what it finds, and a file gets the numbers. It repeats
    // itself, and so do UUIDs that are read from it.
    let path = std::env::temp_dir().join(format!("{}", ids[0]));
    std::fs::write(&path, b"what a file says ".repeat(1000)).expect("a file");
    // SAFETY: whatever is open belongs to code that takes its chances.
    unsafe { libc::close_range(3, u32::MAX, 0) };
    let foreign = [(); 16].map(|()| File::open(&path).expect("a file"));
    std::fs::remove_file(&path).expect("the file");
    assert_eq!(foreign[0].as_raw_fd(), 3);
    ids.extend((0..1000).map(|_| Uuid::new_v4()));

    let different = ids.iter().collect::<BTreeSet<_>>().len();
    assert_eq!(different, 2000, "UUIDs repeat");
    assert!(fork_safe_uuid::status().device_is_open());
    println!("2000 UUIDs of Uuid::new_v4(), none twice");
}

fn refuse_getrandom() {
    let filter: BpfProgram = SeccompFilter::new(
        BTreeMap::from([(libc::SYS_getrandom, vec![])]),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        std::env::consts::ARCH
            .try_into()
            .expect("a known architecture"),
    )
    .and_then(TryInto::try_into)
    .expect("a filter");
    apply_filter(&filter).expect("seccomp");
}
