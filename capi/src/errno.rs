//! The calling thread's errno.

/// Makes `call` and leaves errno as it was.
pub(crate) fn keep<T>(call: impl FnOnce() -> T) -> T {
    // SAFETY: an int of the calling thread's own, at one address for its life.
    let before = unsafe { *libc::__errno_location() };
    let result = call();
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = before };
    result
}
