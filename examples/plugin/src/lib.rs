//! A plugin for a host that forks. The host may be written in any language.
//!
//! The host may unload the plugin, because fork-safe-uuid runs no code when a thread ends. Each
//! time that the plugin is loaded, it maps new memory (some 270 KiB of address space, of which a
//! thread that makes UUIDs uses 4 KiB). If a host loads it many times, link the plugin with
//! `-z nodelete`, and it stays loaded.

/// Writes a random UUID to `dest` and returns 0. Returns -1 if there is no entropy, because a
/// panic must not leave the library.
///
/// # Safety
///
/// `dest` leads to 16 bytes that may be written.
// SAFETY: nothing else in the host has this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugin_new_id(dest: *mut [u8; 16]) -> i32 {
    match fork_safe_uuid::try_new_v4() {
        Ok(id) => {
            // SAFETY: the caller's promise. Bytes need no alignment.
            unsafe { dest.write(id.into_bytes()) };
            0
        }
        Err(_) => -1,
    }
}
