//! Preserves the calling thread's errno.

/// Calls `call`, and restores errno afterwards.
pub(crate) fn keep<T>(call: impl FnOnce() -> T) -> T {
    // SAFETY: the address is that of an int of the calling thread.
    let before = unsafe { *libc::__errno_location() };
    let result = call();
    // SAFETY: the address is the same.
    unsafe { *libc::__errno_location() = before };
    result
}
