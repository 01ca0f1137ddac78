//! The calling thread's generator, behind the free functions.

use uuid::Uuid;

use crate::error::{self, Error};
use crate::pool::{self, Miss, Pool};
use crate::source::Source;

mod time;

pub use time::{
    fill_v7, now_v1, now_v6, now_v7, random_node, try_fill_v7, try_now_v1, try_now_v6, try_now_v7,
    try_random_node,
};

thread_local! {
    /// Constant and without a destructor: reaching it allocates nothing and
    /// works at any time of the thread's life.
    static POOL: Pool = const { Pool::of_thread() };
}

/// Returns a random UUID (version 4, RFC 9562 section 5.4).
///
/// It returns what `Uuid::new_v4()` returns, and it may be called in a forked child, a
/// daemon, a sandbox and a signal handler.
///
/// **In a signal handler** on an alternate stack, a call needs up to 5 KiB there beside
/// the kernel's frame (`AT_MINSIGSTKSZ`, getauxval(3)), so the 8 KiB of `SIGSTKSZ` are
/// enough on most processors. A build without optimisation needs 20 KiB. In a library
/// that is loaded by dlopen(3), a thread's first use of its thread-local variables
/// allocates them: make that thread's first UUID outside of signal handlers, which may
/// have interrupted malloc(3).
///
/// # Panics
///
/// If there is no entropy, with the text of the [`Error`];
/// [`try_new_v4`] returns it instead.
///
/// # Examples
///
/// ```
/// let id = fork_safe_uuid::new_v4();
/// assert_eq!(id.get_version_num(), 4);
/// ```
#[inline]
#[must_use]
#[track_caller]
pub fn new_v4() -> Uuid {
    match POOL.with(Pool::take) {
        Ok(bits) => Uuid::from_bytes(bits.to_ne_bytes()),
        Err(miss) => error::or_panic(missed(miss)),
    }
}

/// Returns a random UUID (version 4, RFC 9562 section 5.4), or an error that says why
/// there is no entropy.
///
/// # Errors
///
/// If no source answers when a seed is needed; see [`Error`]. The next call
/// tries again.
///
/// # Examples
///
/// ```
/// let id = fork_safe_uuid::try_new_v4()?;
/// # Ok::<(), fork_safe_uuid::Error>(())
/// ```
#[inline]
pub fn try_new_v4() -> Result<Uuid, Error> {
    match POOL.with(Pool::take) {
        Ok(bits) => Ok(Uuid::from_bytes(bits.to_ne_bytes())),
        Err(miss) => missed(miss),
    }
}

#[cold]
#[inline(never)]
fn missed(miss: Miss) -> Result<Uuid, Error> {
    POOL.with(|pool| pool.take_missed(miss, Source::System))
        .map(Uuid::from_bytes)
}

/// Overwrites `dest` with random UUIDs (version 4), which is faster than one by one.
///
/// # Panics
///
/// If there is no entropy, with the text of the [`Error`].
///
/// # Examples
///
/// ```
/// let mut ids = vec![fork_safe_uuid::Uuid::nil(); 1000];
/// fork_safe_uuid::fill_v4(&mut ids);
/// assert!(ids.iter().all(|id| id.get_version_num() == 4));
/// ```
#[inline]
#[track_caller]
pub fn fill_v4(dest: &mut [Uuid]) {
    error::or_panic(try_fill_v4(dest));
}

/// Overwrites `dest` with random UUIDs (version 4), or returns an error that says why
/// there is no entropy.
///
/// # Errors
///
/// If no source answers when a seed is needed; see [`Error`]. All of `dest` is
/// then Nil.
///
/// # Examples
///
/// ```
/// let mut ids = [fork_safe_uuid::Uuid::nil(); 100];
/// fork_safe_uuid::try_fill_v4(&mut ids)?;
/// # Ok::<(), fork_safe_uuid::Error>(())
/// ```
#[inline]
pub fn try_fill_v4(dest: &mut [Uuid]) -> Result<(), Error> {
    match POOL.with(|pool| pool.take_all(pool::blocks_of(dest), pool::as_it_is)) {
        Ok(()) => Ok(()),
        Err(miss) => fill_missed(dest, miss),
    }
}

#[cold]
#[inline(never)]
fn fill_missed(dest: &mut [Uuid], miss: Miss) -> Result<(), Error> {
    pool::fill(dest, |blocks| {
        POOL.with(|pool| pool.fill_missed(blocks, miss, Source::System, pool::as_it_is))
    })
}

/// Fills the calling thread's pool.
pub(crate) fn fill_pool() -> Result<(), Error> {
    missed(Miss::Unclaimed).map(|_| ())
}

/// Returns whether the calling thread has a pool that can be filled.
pub(crate) fn has_pool() -> bool {
    POOL.with(Pool::has_page)
}
