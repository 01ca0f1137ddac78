//! A plugin for a host that forks, written in whatever language.
//!
//! The host may unload it: fork-safe-uuid calls nothing back when a thread ends.
//! Each time that it is loaded again it maps its memory anew (some 270 KiB of
//! address space, of which a thread that makes UUIDs uses 4). A host that loads it
//! again and again can have it stay where it is: link it with `-z nodelete`.

/// Writes a random UUID to `dest` and returns 0, or returns -1 if there is no
/// entropy: a panic must not leave the library.
///
/// # Safety
///
/// `dest` leads to 16 bytes that may be written.
// SAFETY: nothing else in the host has this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugin_new_id(dest: *mut [u8; 16]) -> i32 {
    match fork_safe_uuid::try_new_v4() {
        Ok(id) => {
            // SAFETY: the caller's promise; bytes have no alignment.
            unsafe { dest.write(id.into_bytes()) };
            0
        }
        Err(_) => -1,
    }
}
