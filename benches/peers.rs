//! The generators that are measured beside ours.

use std::ffi::{CStr, c_void};
use std::sync::OnceLock;

use fork_safe_uuid::Uuid;
use uuid::Builder;

/// What `Uuid::new_v4` is without `fast-rng`; this build has it on.
pub fn uuid_default() -> Uuid {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("entropy");
    Builder::from_random_bytes(bytes).into_uuid()
}

/// What `Uuid::new_v4` is with `fast-rng`.
pub fn fast_rng() -> Uuid {
    Uuid::new_v4()
}

pub fn uuid7() -> Uuid {
    Uuid::from_bytes(uuid7::uuid4().into())
}

/// Sixteen bytes, not even made a UUID.
pub fn rand_random() -> Uuid {
    Uuid::from_u128(rand::random())
}

/// The peers' version 7.
pub fn uuid_v7() -> Uuid {
    Uuid::now_v7()
}

pub fn uuid7_v7() -> Uuid {
    Uuid::from_bytes(uuid7::uuid7().into())
}

/// What `uuid` has for version 1, and its own node.
pub fn uuid_v1() -> Uuid {
    Uuid::now_v1(&[1, 2, 3, 4, 5, 6])
}

type Generate = unsafe extern "C" fn(*mut c_void);

/// A function of libuuid, where that is installed.
fn of_libuuid(name: &CStr) -> Option<Generate> {
    // SAFETY: loads a library whose initialisers do nothing of note.
    let library = unsafe { libc::dlopen(c"libuuid.so.1".as_ptr(), libc::RTLD_NOW) };
    if library.is_null() {
        return None;
    }
    // SAFETY: looks a name up.
    let function = unsafe { libc::dlsym(library, name.as_ptr()) };
    // SAFETY: null is `None`, and both functions asked for have this type.
    unsafe { std::mem::transmute(function) }
}

/// By [`of_libuuid`], found once; no closure, so that it is a `fn`.
macro_rules! libuuid {
    ($(#[$doc:meta])* $name:ident: $function:literal) => {
        $(#[$doc])*
        pub fn $name() -> Option<fn() -> Uuid> {
            static FUNCTION: OnceLock<Option<Generate>> = OnceLock::new();
            (*FUNCTION.get_or_init(|| of_libuuid($function)))?;
            Some(|| {
                let mut bytes = [0; 16];
                let generate = FUNCTION.get().copied().flatten().expect("asked before");
                // SAFETY: fills a buffer of 16 bytes.
                unsafe { generate(bytes.as_mut_ptr().cast()) };
                Uuid::from_bytes(bytes)
            })
        }
    };
}

libuuid! {
    /// Its version 4.
    libuuid: c"uuid_generate_random"
}
libuuid! {
    /// Its version 1.
    libuuid_v1: c"uuid_generate_time"
}
