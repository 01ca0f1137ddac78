//! The generators of other crates, which are timed beside this one.

use std::ffi::c_void;
use std::sync::OnceLock;

use fork_safe_uuid::Uuid;
use libloading::os::unix::Library;
use uuid::Builder;

/// Does what `Uuid::new_v4` does without `fast-rng`, which is on in this build.
pub fn uuid_default() -> Uuid {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("entropy");
    Builder::from_random_bytes(bytes).into_uuid()
}

/// Calls `Uuid::new_v4`, which uses `fast-rng` in this build.
pub fn fast_rng() -> Uuid {
    Uuid::new_v4()
}

pub fn uuid7() -> Uuid {
    Uuid::from_bytes(uuid7::uuid4().into())
}

/// Returns sixteen random bytes, without a version or a variant.
pub fn rand_random() -> Uuid {
    Uuid::from_u128(rand::random())
}

pub fn uuid_v7() -> Uuid {
    Uuid::now_v7()
}

pub fn uuid7_v7() -> Uuid {
    Uuid::from_bytes(uuid7::uuid7().into())
}

/// Returns a version 1 UUID of the crate `uuid`, with a fixed node.
pub fn uuid_v1() -> Uuid {
    Uuid::now_v1(&[1, 2, 3, 4, 5, 6])
}

type Generate = unsafe extern "C" fn(*mut c_void);

/// Returns a function of libuuid, if that is installed.
fn of_libuuid(name: &[u8]) -> Option<Generate> {
    // SAFETY: libuuid's initialisers affect nothing else.
    let library = unsafe { Library::new("libuuid.so.1") }.ok()?;
    // SAFETY: the functions that are asked for have this type.
    let function = *unsafe { library.get::<Generate>(name) }.ok()?;
    std::mem::forget(library);
    Some(function)
}

/// Defines a function that returns a generator of libuuid, if that is installed. The generator
/// is a `fn`, so the macro keeps the address in a static and not in a closure.
macro_rules! libuuid {
    ($(#[$doc:meta])* $name:ident: $function:literal) => {
        $(#[$doc])*
        pub fn $name() -> Option<fn() -> Uuid> {
            static FUNCTION: OnceLock<Option<Generate>> = OnceLock::new();
            (*FUNCTION.get_or_init(|| of_libuuid($function)))?;
            Some(|| {
                let mut bytes = [0; 16];
                let generate = FUNCTION.get().copied().flatten().expect("it was found");
                // SAFETY: the function writes 16 bytes.
                unsafe { generate(bytes.as_mut_ptr().cast()) };
                Uuid::from_bytes(bytes)
            })
        }
    };
}

libuuid! {
    /// Returns the generator of version 4.
    libuuid: b"uuid_generate_random"
}
libuuid! {
    /// Returns the generator of version 1.
    libuuid_v1: b"uuid_generate_time"
}
