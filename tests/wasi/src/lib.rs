//! The functions that `copies.mjs` calls. `new_v4` and `peer` return the address of `count`
//! UUIDs.

use fork_safe_uuid::Uuid;

fn make(count: usize, make: fn() -> Uuid) -> *const Uuid {
    (0..count)
        .map(|_| make())
        .collect::<Vec<_>>()
        .leak()
        .as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn new_v4(count: usize) -> *const Uuid {
    make(count, fork_safe_uuid::new_v4)
}

#[unsafe(no_mangle)]
extern "C" fn peer(count: usize) -> *const Uuid {
    make(count, uuid::Uuid::new_v4)
}

#[unsafe(no_mangle)]
extern "C" fn reseed() {
    fork_safe_uuid::reseed();
}
