//! The free functions, which make UUIDs with the calling thread's pool.

use uuid::Uuid;

use crate::clock::{Reading, order::Order};
use crate::engine::pool::{Miss, Pool};
use crate::error::{self, Error};
use crate::maker::Maker;
use crate::source::Source;

mod time;

pub use time::{
    fill_v7, now_v1, now_v6, now_v7, random_node, try_fill_v7, try_now_v1, try_now_v6, try_now_v7,
    try_random_node,
};

thread_local! {
    /// The calling thread's pool. It is constant and has no destructor, so this crate allocates
    /// nothing for it, and it works at any time of the thread's life.
    static POOL: Pool = const { Pool::of_thread() };

    /// The order of the calling thread's version 7 UUIDs. It, too, is constant and has no
    /// destructor.
    static ORDER: Order = const { Order::new() };
}

/// The calling thread.
struct Thread;

impl Maker for Thread {
    #[inline]
    fn with_pool<T>(&self, call: impl FnOnce(&Pool) -> T) -> T {
        POOL.with(call)
    }

    #[inline]
    fn with_order<T>(&self, call: impl FnOnce(&Order) -> T) -> T {
        ORDER.with(call)
    }

    #[inline]
    fn now(&self) -> Result<Reading, Error> {
        Reading::of_system()
    }

    #[inline]
    fn source(&self) -> Source<'_> {
        Source::System
    }
}

/// Returns a random UUID (version 4, RFC 9562 section 5.4).
///
/// It returns what `Uuid::new_v4()` returns, and it may be called in a forked child, a
/// daemon, a sandbox and a signal handler.
///
/// **In a signal handler** on an alternate stack, a call needs up to 5 KiB of that stack
/// beside the kernel's frame (`AT_MINSIGSTKSZ`, getauxval(3)), so the 8 KiB of `SIGSTKSZ`
/// are enough on most processors. A build without optimisation needs 20 KiB. In a library
/// that is loaded by dlopen(3), a thread's first use of its thread-local variables
/// allocates them: make the thread's first UUID outside of signal handlers, because a handler
/// may have interrupted malloc(3).
///
/// # Panics
///
/// Panics if there is no entropy, with the text of the [`Error`].
/// [`try_new_v4`] returns the error instead.
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
    Thread.make_v4()
}

/// Returns a random UUID (version 4, RFC 9562 section 5.4), or an error that says why
/// there is no entropy.
///
/// # Errors
///
/// Returns an error if no source answers when a seed is needed; see [`Error`]. The next call
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
    Thread.try_make_v4()
}

/// Overwrites `dest` with random UUIDs (version 4, RFC 9562 section 5.4), which is faster than
/// one by one.
///
/// # Panics
///
/// Panics if there is no entropy, with the text of the [`Error`].
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

/// Overwrites `dest` with random UUIDs (version 4, RFC 9562 section 5.4), or returns an error that
/// says why there is no entropy.
///
/// # Errors
///
/// Returns an error if no source answers when a seed is needed; see [`Error`]. All of `dest` is
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
    Thread.try_make_all_v4(dest)
}

/// Fills the calling thread's pool.
pub(crate) fn fill_pool() -> Result<(), Error> {
    Thread.make_after_miss(Miss::Unclaimed).map(drop)
}

/// Returns whether the calling thread has memory for a pool.
pub(crate) fn has_pool() -> bool {
    POOL.with(Pool::has_page)
}
