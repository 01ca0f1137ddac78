//! The generators that are measured beside ours.

use std::ffi::c_void;
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

/// `uuid_generate_random` of libuuid, where it is installed.
pub fn libuuid() -> Option<fn() -> Uuid> {
    static FUNCTION: OnceLock<Option<usize>> = OnceLock::new();
    fn address() -> Option<usize> {
        *FUNCTION.get_or_init(|| {
            // SAFETY: loads a library whose initialisers do nothing of note.
            let library = unsafe { libc::dlopen(c"libuuid.so.1".as_ptr(), libc::RTLD_NOW) };
            if library.is_null() {
                return None;
            }
            // SAFETY: looks a name up.
            let function = unsafe { libc::dlsym(library, c"uuid_generate_random".as_ptr()) };
            (!function.is_null()).then_some(function as usize)
        })
    }
    address()?;
    Some(|| {
        let mut bytes = [0; 16];
        // SAFETY: the function of that name in libuuid, with its type, and a
        // buffer of the 16 bytes it fills.
        unsafe {
            let function: unsafe extern "C" fn(*mut c_void) =
                std::mem::transmute(address().expect("asked before"));
            function(bytes.as_mut_ptr().cast());
        }
        Uuid::from_bytes(bytes)
    })
}
