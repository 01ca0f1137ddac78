//! Takes the place of libuuid's `uuid_generate` in a process that preloads it.

use uuid::Uuid;

/// Writes a UUID of the peer.
///
/// # Safety
///
/// `out` is a `uuid_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uuid_generate(out: *mut Uuid) {
    // SAFETY: the caller's `uuid_t`, which has the layout of a `Uuid`.
    unsafe { out.write(Uuid::new_v4()) }
}
