//! This crate and its peers.

use std::mem;
use std::sync::OnceLock;

use fork_safe_uuid::Uuid;
use support::libloading::os::unix::{Library, Symbol};

/// Makes a UUID of version 4.
pub type Make = fn() -> Uuid;

/// The generators in the order of the table's columns. The second is what `uuid` 1.29 does by
/// default. It cannot be called itself, because this build enables its feature `fast-rng`.
pub const GENERATORS: [Make; 5] = [
    fork_safe_uuid::new_v4,
    || {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("entropy");
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    },
    Uuid::new_v4,
    || Uuid::from_bytes(uuid7::uuid4().into()),
    || {
        let mut id = Uuid::nil();
        // SAFETY: uuid_generate_random(3) writes a `uuid_t`.
        unsafe { libuuid().expect("libuuid")(&mut id) };
        id
    },
];
pub const OURS: usize = 0;
pub const UUID7: usize = 3;
pub const LIBUUID: usize = 4;

type Generate = unsafe extern "C" fn(*mut Uuid);

/// Returns the function of the system's libuuid, or `None` if there is no libuuid.
pub fn libuuid() -> Option<Generate> {
    static LIBUUID: OnceLock<Option<Generate>> = OnceLock::new();
    *LIBUUID.get_or_init(|| {
        // SAFETY: the library does nothing when it is loaded, and its function has this type
        // (uuid/uuid.h).
        unsafe {
            let library = Library::new("libuuid.so.1").ok()?;
            let function: Symbol<Generate> = library.get(b"uuid_generate_random").ok()?;
            let function = *function;
            mem::forget(library);
            Some(function)
        }
    })
}

pub fn many(make: Make, count: usize) -> Vec<Uuid> {
    (0..count).map(|_| make()).collect()
}
