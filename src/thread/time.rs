//! Time-ordered UUIDs: version 7 with an order for each thread, versions 6 and 1 with one
//! for the process.

use uuid::Uuid;

use super::{Thread, try_new_v4};
use crate::clock::{Reading, gregorian::PROCESS};
use crate::error::{self, Error};
use crate::format::gregorian;
use crate::maker::Maker;

/// Returns a version 7 UUID for the current time (RFC 9562 section 5.7). It is greater
/// than all that this thread returned before, unless the clock was set back.
///
/// - **Order.** The UUIDs of a thread increase strictly, even if the clock stands still
///   or goes back by up to 10 s. The last timestamp is then repeated, and a counter below
///   it is incremented. UUIDs of different threads and processes are ordered by the clock,
///   to 244 ns. The UUIDs of a signal handler increase too, but the one that the handler
///   interrupted may be less or greater than they are.
/// - **If the clock is set back** by more than 10 s, the next UUID has the clock's time, and
///   is less than those before. [`Status::clock_steps`](crate::Status::clock_steps) counts
///   this. So a machine that boots with a wrong year makes UUIDs of the right year as soon
///   as its clock is corrected. After [`reseed`](crate::reseed), the thread also returns to
///   the clock's time if it is less than 10 s ahead.
/// - **The time** is that of the clock. It runs ahead of the clock, by 15 ns with each UUID,
///   only if a thread makes more than 65 million UUIDs a second, or while the clock stands
///   still.
/// - **Randomness.** An attacker must guess 58 bits; [`new_v4`](crate::new_v4) has 122. The
///   other bits tell when the UUID was made.
///
/// # Panics
///
/// Panics if there is no entropy, or the clock shows a time before 1970 or after 10889,
/// with the text of the [`Error`]. [`try_now_v7`] returns the error instead.
///
/// # Examples
///
/// ```
/// let (a, b) = (fork_safe_uuid::now_v7(), fork_safe_uuid::now_v7());
/// assert!(a < b);
/// assert_eq!(a.get_version_num(), 7);
/// ```
#[inline]
#[must_use]
#[track_caller]
pub fn now_v7() -> Uuid {
    Thread.make_v7()
}

/// Returns a version 7 UUID for the current time (RFC 9562 section 5.7), or an error
/// that says why there is none.
///
/// # Errors
///
/// Returns the same errors as [`try_new_v4`](crate::try_new_v4), and
/// [`ErrorKind::Clock`](crate::ErrorKind::Clock) if the clock cannot be read, or
/// shows a time that 48 bits of milliseconds since 1970 do not reach: before
/// 1970, or after 10889-08-02.
///
/// # Examples
///
/// ```
/// let id = fork_safe_uuid::try_now_v7()?;
/// # Ok::<(), fork_safe_uuid::Error>(())
/// ```
#[inline]
pub fn try_now_v7() -> Result<Uuid, Error> {
    Thread.try_make_v7()
}

/// Overwrites `dest` with version 7 UUIDs for the current time in increasing order,
/// which is faster than one by one.
///
/// All of them have the timestamp of one moment. An attacker who knows one of them must guess
/// 32 bits of its neighbour, and an attacker who knows none must guess 57.
///
/// # Panics
///
/// Panics if [`now_v7`] would.
///
/// # Examples
///
/// ```
/// let mut ids = vec![fork_safe_uuid::Uuid::nil(); 1000];
/// fork_safe_uuid::fill_v7(&mut ids);
/// assert!(ids.is_sorted_by(|a, b| a < b));
/// ```
#[track_caller]
pub fn fill_v7(dest: &mut [Uuid]) {
    error::or_panic(try_fill_v7(dest));
}

/// Overwrites `dest` with version 7 UUIDs for the current time in increasing order, or
/// returns an error that says why there are none.
///
/// # Errors
///
/// Returns the same errors as [`try_now_v7`]. All of `dest` is then Nil.
///
/// # Examples
///
/// ```
/// let mut rows = [fork_safe_uuid::Uuid::nil(); 100];
/// fork_safe_uuid::try_fill_v7(&mut rows)?;
/// # Ok::<(), fork_safe_uuid::Error>(())
/// ```
pub fn try_fill_v7(dest: &mut [Uuid]) -> Result<(), Error> {
    Thread.try_make_all_v7(dest)
}

/// Returns a version 6 UUID for the current time and `node` (RFC 9562 section 5.6).
///
/// It has the fields of version 1 in another order, so that UUIDs which are sorted as
/// bytes are sorted by time. What [`now_v1`] says of uniqueness and of the clock is true
/// here, too. Within one clock sequence, versions 6 and 1 share no timestamp.
///
/// # Panics
///
/// Panics if [`now_v1`] would.
///
/// # Examples
///
/// ```
/// let node = fork_safe_uuid::random_node();
/// let (a, b) = (fork_safe_uuid::now_v6(&node), fork_safe_uuid::now_v6(&node));
/// assert!(a < b);
/// assert_eq!(a.get_version_num(), 6);
/// ```
#[inline]
#[must_use]
#[track_caller]
pub fn now_v6(node: &[u8; 6]) -> Uuid {
    error::or_panic(try_now_v6(node))
}

/// Returns a version 6 UUID for the current time and `node`, or an error that says why
/// there is none.
///
/// # Errors
///
/// Returns the same errors as [`try_now_v1`].
///
/// # Examples
///
/// ```
/// let node = fork_safe_uuid::try_random_node()?;
/// let id = fork_safe_uuid::try_now_v6(&node)?;
/// # Ok::<(), fork_safe_uuid::Error>(())
/// ```
#[inline]
pub fn try_now_v6(node: &[u8; 6]) -> Result<Uuid, Error> {
    Ok(gregorian::v6(next_gregorian()?, node))
}

/// Returns a version 1 UUID for the current time and `node` (RFC 9562 section 5.1).
///
/// - **It is unique** in this process, whatever the node and the thread: no other UUID has
///   the same timestamp and the same clock sequence. If the clock stands still or goes
///   back by up to 10 s, or if more than 10 million UUIDs are made in a second, each
///   UUID's timestamp is the last one plus 100 ns. Nothing is kept in a file.
/// - **If the clock is set back** by more than 10 s, the next UUID has the clock's time and
///   the next clock sequence (RFC 9562 section 6.1).
///   [`Status::clock_steps`](crate::Status::clock_steps) counts this. The process remembers
///   the last timestamp of each clock sequence, so a clock that goes back and forth repeats
///   nothing. After 16,383 such steps whose timestamps are all still ahead, timestamps no
///   longer go back.
/// - **A loop that runs ahead** of the clock by more than 10 s also takes the next clock
///   sequence: every 5 seconds at 30 million UUIDs a second. All UUIDs are unique, and
///   none has a time more than 10 s ahead.
/// - **Two processes with one node** have the same clock sequence of 14 random bits once
///   in 16,384, also if one was forked from the other. Their UUIDs of the
///   same 100 ns are then the same. Each further clock sequence that a process takes
///   makes this likelier. Use [`random_node`], which adds 47 random bits.
/// - **Two cloned machines** have the same clock sequence and the same [`random_node`],
///   and make the same UUIDs in the same 100 ns, until each calls
///   [`reseed`](crate::reseed).
/// - **Where the kernel does not zero memory at fork**, a clock sequence is drawn for
///   each UUID, and timestamps are unique only until the clock is set back by more than
///   10 s. Two UUIDs of this process with one node and the same 100 ns, one from before
///   that and one from after it, are the same once in 16,384.
/// - **Nothing in it is secret**: one UUID tells the clock sequence and the node of all
///   others of the process.
///
/// # Panics
///
/// Panics if there is no entropy, or the clock shows a time before 1582 or after 5236,
/// with the text of the [`Error`]. [`try_now_v1`] returns the error instead.
///
/// # Examples
///
/// ```
/// let id = fork_safe_uuid::now_v1(&fork_safe_uuid::random_node());
/// assert_eq!(id.get_version_num(), 1);
/// ```
#[inline]
#[must_use]
#[track_caller]
pub fn now_v1(node: &[u8; 6]) -> Uuid {
    error::or_panic(try_now_v1(node))
}

/// Returns a version 1 UUID for the current time and `node`, or an error that says why
/// there is none.
///
/// # Errors
///
/// Returns the same errors as [`try_new_v4`](crate::try_new_v4), and
/// [`ErrorKind::Clock`](crate::ErrorKind::Clock) if the clock cannot be read, or
/// shows a time that 60 bits of 100 ns since 1582-10-15 do not reach: before
/// that day, or after 5236-03-31.
///
/// # Examples
///
/// ```
/// let node = fork_safe_uuid::try_random_node()?;
/// let id = fork_safe_uuid::try_now_v1(&node)?;
/// # Ok::<(), fork_safe_uuid::Error>(())
/// ```
#[inline]
pub fn try_now_v1(node: &[u8; 6]) -> Result<Uuid, Error> {
    Ok(gregorian::v1(next_gregorian()?, node))
}

#[inline]
fn next_gregorian() -> Result<(u64, u16), Error> {
    PROCESS.next(Reading::of_system, random_bits)
}

fn random_bits() -> Result<u64, Error> {
    try_new_v4().map(|id| id.as_u64_pair().1)
}

/// Returns this process's random node for [`now_v6`] and [`now_v1`] (RFC 9562
/// section 6.10).
///
/// It has 47 random bits, and the multicast bit, which no network card's address has.
/// The first call draws it. The node changes in a forked child and after
/// [`reseed`](crate::reseed), so call this function for each UUID; it costs a few
/// nanoseconds. Where the kernel does not zero memory at fork, each call returns another
/// node.
///
/// # Panics
///
/// Panics if [`new_v4`](crate::new_v4) would.
///
/// # Examples
///
/// ```
/// let node = fork_safe_uuid::random_node();
/// assert_eq!(node[0] & 1, 1);
/// ```
#[inline]
#[must_use]
#[track_caller]
pub fn random_node() -> [u8; 6] {
    error::or_panic(try_random_node())
}

/// Returns this process's random node, or an error that says why there is no entropy.
///
/// # Errors
///
/// Returns the same errors as [`try_new_v4`](crate::try_new_v4).
///
/// # Examples
///
/// ```
/// let node = fork_safe_uuid::try_random_node()?;
/// assert_eq!(node[0] & 1, 1); // no MAC address
/// # Ok::<(), fork_safe_uuid::Error>(())
/// ```
#[inline]
pub fn try_random_node() -> Result<[u8; 6], Error> {
    PROCESS.node(random_bits)
}
