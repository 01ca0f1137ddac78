//! Makes `Uuid::new_v4()` in third-party code draw from this crate's entropy sources:
//! getrandom(2), called by its number, or a descriptor that is proven before and after each
//! read.
//!
//! ```text
//! cd examples/getrandom-backend && cargo run
//! ```
//!
//! Consider before you copy this:
//!
//! - *Everything* that draws from `getrandom` 0.3 and 0.4 then draws from this function: TLS keys,
//!   hash maps of ahash, seeds of `rand`. An error here affects all of them.
//! - The whole build needs `--cfg getrandom_backend="custom"`, from the program's
//!   `.cargo/config.toml` or from RUSTFLAGS, which replaces the former. Without it this function is
//!   not called, and nothing warns of that.
//! - Only a program may define the symbol, and only once. A library must not.
//! - It does not affect `getrandom` 0.2. Nor does it make `fast-rng` safe: forked children still
//!   repeat what they make of the seeds.
//! - Each UUID costs a system call.
//!
//! The program checks itself in a sandbox that refuses getrandom(2), while other files have
//! the numbers of its closed descriptors. It exits with 0 if no UUID repeats.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::AsRawFd;

use fork_safe_uuid::source::{Device, EntropySource, Kernel};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use uuid::Uuid;

/// # Safety
///
/// `dest` leads to `len` bytes that may be written. They need not be initialised.
// SAFETY: the name and the signature are those of getrandom's documentation.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    dest: *mut u8,
    len: usize,
) -> Result<(), getrandom::Error> {
    // SAFETY: the caller promises it. The bytes are zeroed first, because a slice needs
    // initialised bytes.
    let dest = unsafe {
        dest.write_bytes(0, len);
        std::slice::from_raw_parts_mut(dest, len)
    };
    // `new_v4()` would not do, because six bits of each UUID are known.
    Kernel
        .fill(dest)
        .or_else(|_| Device.fill(dest))
        .map_err(|_| getrandom::Error::UNEXPECTED)
}

fn main() {
    refuse_getrandom();
    let mut ids: Vec<_> = (0..1000).map(|_| Uuid::new_v4()).collect();

    // A daemon closes all descriptors, and a file gets their numbers. Its content repeats, so
    // that UUIDs that were read from it would repeat, too.
    let path = std::env::temp_dir().join(format!("{}", ids[0]));
    std::fs::write(&path, b"what a file says ".repeat(1000)).expect("a file");
    // SAFETY: this closes descriptors that other code still uses, as daemons do.
    unsafe { libc::close_range(3, u32::MAX, 0) };
    let foreign = [(); 16].map(|()| File::open(&path).expect("a file"));
    std::fs::remove_file(&path).expect("the file");
    assert_eq!(foreign[0].as_raw_fd(), 3);
    ids.extend((0..1000).map(|_| Uuid::new_v4()));

    let different = ids.iter().collect::<BTreeSet<_>>().len();
    assert_eq!(different, 2000, "UUIDs repeat");
    assert!(fork_safe_uuid::status().device_is_open());
    println!("Uuid::new_v4() made 2000 distinct UUIDs");
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
