//! A shared library that contains this crate, which scenarios load and unload.

use std::ffi::c_void;
use std::ptr;

use fork_safe_uuid::{Generator, fill_v4, new_v4};

/// Fills `dest` with UUIDs: one by one, in bulk and without a pool.
///
/// # Safety
///
/// `dest` leads to `count` UUIDs that may be written.
// SAFETY: nothing else in the host has this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn loaded_make(dest: *mut fork_safe_uuid::Uuid, count: usize) {
    // SAFETY: the caller promises it.
    let dest = unsafe { std::slice::from_raw_parts_mut(dest, count) };
    let (first, rest) = dest.split_at_mut(count / 3);
    let (many, unbuffered) = rest.split_at_mut(count / 3);
    first.fill_with(new_v4);
    fill_v4(many);
    let generator = Generator::unbuffered();
    unbuffered.fill_with(|| generator.new_v4());
}

/// Makes the calling thread call this library when it ends. A library that may be unloaded
/// must not do this.
// SAFETY: nothing else in the host has this name.
#[unsafe(no_mangle)]
pub extern "C" fn loaded_call_back() {
    extern "C" fn called(_: *mut c_void) {}
    let mut key = 0;
    // SAFETY: the pointer leads to a key, and the destructor takes any value.
    unsafe {
        assert_eq!(libc::pthread_key_create(&raw mut key, Some(called)), 0);
        let value = ptr::dangling::<u8>().cast();
        assert_eq!(libc::pthread_setspecific(key, value), 0);
    }
}
