//! Replaces libuuid in a process that preloads it, with the two functions that the hosts call.

use uuid::Uuid;

/// Writes a UUID that the peer makes.
///
/// # Safety
///
/// `out` is a `uuid_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_generate(out: *mut Uuid) {
    // SAFETY: the caller passes a `uuid_t`, which has the layout of a `Uuid`.
    unsafe { out.write(Uuid::new_v4()) }
}

/// Writes the UUID as text that ends with a zero byte.
///
/// # Safety
///
/// `id` is a `uuid_t`, and `out` has 37 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_unparse(id: *const Uuid, out: *mut [u8; 37]) {
    let mut text = [0; 37];
    // SAFETY: the caller passes a `uuid_t`, which has the layout of a `Uuid`.
    unsafe { *id }.hyphenated().encode_lower(&mut text);
    // SAFETY: the caller passes 37 bytes.
    unsafe { out.write(text) }
}

/// Defines functions that the hosts never call.
macro_rules! never_called {
    ($($name:ident)*) => { $(
        #[unsafe(no_mangle)]
        extern "C" fn $name() {
            std::process::abort()
        }
    )* };
}

// PHP loads Debian's extension only if all functions exist that it may call.
never_called! {
    uuid_compare uuid_generate_md5 uuid_generate_random uuid_generate_sha1 uuid_generate_time
    uuid_is_null uuid_parse uuid_time uuid_type uuid_variant
}
