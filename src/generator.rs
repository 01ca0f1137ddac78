//! The public object: a generator that has its own pool, or none.

use core::fmt;

use uuid::Uuid;

use crate::clock::{Clock, Reading, order::Order};
use crate::engine::pool::Pool;
use crate::error::{self, Error};
use crate::maker::Maker;
use crate::source::{EntropySource, Source};

/// A generator with its own pool and its own order.
///
/// The free functions, such as [`new_v4`](crate::new_v4), are the usual choice. Create a
/// generator to use another entropy source or another clock, to keep nothing ready, or to
/// control when its memory is freed, which is when it is dropped.
///
/// It may move to another thread (`Send`), but two threads cannot use it at once (it is
/// not `Sync`). Its methods do what the free functions of the same names do. All promises of
/// the free functions hold for it, if its source and its clock keep them, too.
///
/// # Examples
///
/// ```
/// let generator = fork_safe_uuid::Generator::new();
/// let mut ids = [fork_safe_uuid::Uuid::nil(); 3];
/// generator.fill_v4(&mut ids);
/// assert_ne!(ids[0], ids[1]);
/// ```
pub struct Generator {
    pool: Pool,
    order: Order,
    /// `None` means the system's sources.
    custom: Option<Box<dyn EntropySource + Send>>,
    /// `None` means the system's clock.
    clock: Option<Box<dyn Clock + Send>>,
}

impl Generator {
    /// Returns a generator that draws from the system and keeps 251 UUIDs ready.
    ///
    /// The first UUID maps its memory, one page. Where the kernel does not zero memory
    /// at fork, the generator is [unbuffered](Self::unbuffered).
    ///
    /// # Examples
    ///
    /// ```
    /// let id = fork_safe_uuid::Generator::new().new_v4();
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self::with_pool(Pool::new())
    }

    const fn with_pool(pool: Pool) -> Self {
        Self {
            pool,
            order: Order::new(),
            custom: None,
            clock: None,
        }
    }

    /// Returns a generator that keeps nothing: each call draws from the system.
    ///
    /// Two virtual machines that start from one snapshot repeat at most the request that
    /// was being made, even without [`reseed`](crate::reseed). That needs a processor with
    /// random numbers ([`Status::hardware_random`](crate::Status::hardware_random)), or a
    /// hypervisor that tells the kernel of the snapshot (`vmgenid`); otherwise both machines
    /// make the same UUIDs.
    ///
    /// A UUID costs a system call, or a quarter of its time with the vDSO's getrandom (since
    /// Linux 6.11).
    ///
    /// # Examples
    ///
    /// ```
    /// let token = fork_safe_uuid::Generator::unbuffered().new_v4();
    /// ```
    #[must_use]
    pub const fn unbuffered() -> Self {
        Self::with_pool(Pool::unbuffered())
    }

    /// Returns this generator with `source` as its only source of entropy.
    ///
    /// What it has ready from another source is discarded. A generator that is
    /// [unbuffered](Self::unbuffered) draws from `source` for each call.
    ///
    /// If `source` panics, the call that needed a seed panics, and each later UUID is drawn
    /// from `source`.
    ///
    /// # Examples
    ///
    /// ```
    /// use fork_safe_uuid::{Generator, source::Kernel};
    ///
    /// // It uses no descriptor, even if a sandbox refuses getrandom(2).
    /// let id = Generator::new().with_source(Kernel).try_new_v4()?;
    /// # Ok::<(), fork_safe_uuid::Error>(())
    /// ```
    #[must_use]
    pub fn with_source(mut self, source: impl EntropySource + Send + 'static) -> Self {
        if self.pool.has_page() {
            self.pool.retire();
            self.pool = Pool::new();
        }
        self.custom = Some(Box::new(source));
        self
    }

    /// Returns this generator with `clock` for its [`now_v7`](Self::now_v7). This is meant
    /// for tests and for simulated time; see [`Clock`].
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock + Send + 'static) -> Self {
        self.clock = Some(Box::new(clock));
        self
    }

    /// Returns a random UUID (version 4, RFC 9562 section 5.4).
    ///
    /// # Panics
    ///
    /// Panics if there is no entropy, with the text of the [`Error`].
    #[inline]
    #[must_use]
    #[track_caller]
    pub fn new_v4(&self) -> Uuid {
        self.make_v4()
    }

    /// Returns a random UUID (version 4), or an error that says why there is
    /// no entropy.
    ///
    /// # Errors
    ///
    /// Returns an error if the source fails when a seed is needed; see [`Error`].
    #[inline]
    pub fn try_new_v4(&self) -> Result<Uuid, Error> {
        self.try_make_v4()
    }

    /// Overwrites `dest` with random UUIDs (version 4), which is faster
    /// than one by one.
    ///
    /// # Panics
    ///
    /// Panics if there is no entropy, with the text of the [`Error`].
    #[inline]
    #[track_caller]
    pub fn fill_v4(&self, dest: &mut [Uuid]) {
        error::or_panic(self.try_fill_v4(dest));
    }

    /// Overwrites `dest` with random UUIDs (version 4), or returns an error
    /// that says why there is no entropy.
    ///
    /// # Errors
    ///
    /// Returns an error if the source fails when a seed is needed; see [`Error`]. All of `dest`
    /// is then Nil.
    #[inline]
    pub fn try_fill_v4(&self, dest: &mut [Uuid]) -> Result<(), Error> {
        self.try_make_all_v4(dest)
    }

    /// Returns a version 7 UUID for the current time (RFC 9562 section 5.7). It is greater
    /// than all that this generator returned before, unless the clock was set back or
    /// [`reseed`](crate::reseed) was called.
    ///
    /// What [`now_v7`](crate::now_v7) says of order, of a clock that is set back and of
    /// randomness holds here.
    ///
    /// # Panics
    ///
    /// Panics if there is no entropy or no timestamp, with the text of the [`Error`].
    ///
    /// # Examples
    ///
    /// ```
    /// let generator = fork_safe_uuid::Generator::new();
    /// assert!(generator.now_v7() < generator.now_v7());
    /// ```
    #[inline]
    #[must_use]
    #[track_caller]
    pub fn now_v7(&self) -> Uuid {
        self.make_v7()
    }

    /// Returns a version 7 UUID for the current time, or an error that says
    /// why there is none.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`try_now_v7`](crate::try_now_v7).
    #[inline]
    pub fn try_now_v7(&self) -> Result<Uuid, Error> {
        self.try_make_v7()
    }

    /// Overwrites `dest` with version 7 UUIDs for the current time in
    /// increasing order, which is faster than one by one.
    ///
    /// What [`fill_v7`](crate::fill_v7) says of randomness holds here.
    ///
    /// # Panics
    ///
    /// Panics if there is no entropy or no timestamp, with the text of the [`Error`].
    #[track_caller]
    pub fn fill_v7(&self, dest: &mut [Uuid]) {
        error::or_panic(self.try_fill_v7(dest));
    }

    /// Overwrites `dest` with version 7 UUIDs for the current time in
    /// increasing order, or returns an error that says why there are none.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`try_now_v7`](crate::try_now_v7). All of `dest` is then Nil.
    pub fn try_fill_v7(&self, dest: &mut [Uuid]) -> Result<(), Error> {
        self.try_make_all_v7(dest)
    }
}

impl Maker for Generator {
    #[inline]
    fn with_pool<T>(&self, call: impl FnOnce(&Pool) -> T) -> T {
        call(&self.pool)
    }

    #[inline]
    fn with_order<T>(&self, call: impl FnOnce(&Order) -> T) -> T {
        call(&self.order)
    }

    #[inline]
    fn now(&self) -> Result<Reading, Error> {
        match &self.clock {
            Some(clock) => Ok(clock.now().into()),
            None => Reading::of_system(),
        }
    }

    fn source(&self) -> Source<'_> {
        match &self.custom {
            Some(source) => Source::Custom(&**source),
            None => Source::System,
        }
    }
}

impl Default for Generator {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        self.pool.retire();
    }
}

/// Prints only the name, and no secret.
impl fmt::Debug for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator").finish_non_exhaustive()
    }
}
