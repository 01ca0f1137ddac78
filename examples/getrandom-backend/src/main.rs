//! Makes the crate `getrandom` use the entropy sources of this crate, for code that calls
//! `Uuid::new_v4()` and cannot be changed. The sources are getrandom(2) and, if that is refused,
//! a descriptor of /dev/urandom that is checked before and after each read.
//!
//! ```text
//! cd examples/getrandom-backend && cargo run
//! ```
//!
//! Before you use this, consider:
//!
//! - It affects *everything* that draws from `getrandom` 0.3 and 0.4: TLS keys, hash maps of
//!   ahash, seeds of `rand`. An error here is an error there.
//! - The whole build needs `--cfg getrandom_backend="custom"`, in the program's
//!   `.cargo/config.toml` or in RUSTFLAGS, which replaces the former. Without it, this function
//!   is not called, and nothing reports that.
//! - Only the program may define the symbol, and only once. A library must not define it.
//! - `getrandom` 0.2 does not call it. It does not make `fast-rng` safe: that draws its seeds
//!   here, but forked processes still repeat each other's UUIDs.
//! - Each UUID takes a system call again, without the speed of the pool.
//!
//! The program checks itself in a sandbox that refuses getrandom(2), with its descriptors closed
//! and their numbers taken. It exits with 0 if no UUID is repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::AsRawFd;

use fork_safe_uuid::source::{Device, EntropySource, Kernel};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use uuid::Uuid;

/// Fills `dest` with random bytes. `getrandom` calls this function by its name.
///
/// # Safety
///
/// `dest` leads to `len` bytes that may be written. They need not be initialised.
// SAFETY: the name and the signature are those of getrandom's documentation.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    dest: *mut u8,
    len: usize,
) -> Result<(), getrandom::Error> {
    // SAFETY: the caller's promise. The bytes of a slice must be initialised, so they are zeroed.
    let dest = unsafe {
        dest.write_bytes(0, len);
        std::slice::from_raw_parts_mut(dest, len)
    };
    // The bytes of `new_v4()` would not do, as six bits of a UUID are known.
    Kernel
        .fill(dest)
        .or_else(|_| Device.fill(dest))
        .map_err(|_| getrandom::Error::UNEXPECTED)
}

fn main() {
    refuse_getrandom();
    let mut ids: Vec<_> = (0..1000).map(|_| Uuid::new_v4()).collect();

    // As in a daemon, all descriptors are closed, and a file gets their numbers. The file
    // repeats itself, and UUIDs that are read from it would do so, too.
    let path = std::env::temp_dir().join(format!("{}", ids[0]));
    std::fs::write(&path, b"what a file says ".repeat(1000)).expect("a file");
    // SAFETY: nothing in this program uses these descriptors after this.
    unsafe { libc::close_range(3, u32::MAX, 0) };
    let foreign = [(); 16].map(|()| File::open(&path).expect("a file"));
    std::fs::remove_file(&path).expect("the file");
    assert_eq!(foreign[0].as_raw_fd(), 3);
    ids.extend((0..1000).map(|_| Uuid::new_v4()));

    let different = ids.iter().collect::<BTreeSet<_>>().len();
    assert_eq!(different, 2000, "UUIDs repeat");
    assert!(fork_safe_uuid::status().device_is_open());
    println!("2000 UUIDs by Uuid::new_v4(), none repeated");
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
