//! The functions that concern the whole process: `prepare`, `reseed` and `status`.

use crate::clock::{gregorian, order};
use crate::engine::pool;
use crate::error::Error;
use crate::source;
use crate::status::Status;
use crate::sys;
use crate::thread;

/// Acquires everything that a sandbox might refuse later, and returns which
/// entropy source is in use.
///
/// Call it before chroot(2), a seccomp filter or a drop of privileges. It opens
/// and tracks /dev/urandom, also while getrandom(2) answers, fills the calling
/// thread's pool, and maps the memory that other kinds of UUID need.
///
/// - A forked child inherits neither: call it after the last fork, in each worker. Do
///   not call it in a child of vfork(2), whose memory is its parent's.
/// - A program that closes descriptors which it did not open must close them before it calls
///   `prepare`, or leave the one that [`Status::device`] returns open.
/// - A thread that makes its first UUID in the sandbox has no pool yet, and needs more
///   system calls than the thread that called `prepare`.
///
/// `prepare` waits up to 0.2 s while another thread is opening the device.
///
/// # System calls
///
/// A prepared process makes these system calls and no others. It makes them by number,
/// so the list is the same with each libc. On 32-bit systems they are `mmap2` and
/// `clock_gettime64`:
///
/// | call | when | if it is refused (EPERM, ENOSYS) |
/// | --- | --- | --- |
/// | `getrandom` | a seed, each 64 KiB; the first UUID of a forked child | /dev/urandom is read |
/// | `statx`, `pread64`, `getpid` | a seed from the device | an error, as there is no other source: allow them |
/// | `getpid` | any seed | one hedge less |
/// | `clock_gettime` | every 251 random UUIDs, each time-based UUID and each seed, where the vDSO has no clock to read (`CONFIG_GENERIC_TIME_VSYSCALL`, some virtual machines) | one hedge less in random UUIDs, an error in time-based ones |
/// | `gettid`, `mmap`, `madvise`, `munmap` | the first UUID of another thread, and that of a [`Generator`](crate::Generator) if 64 threads and generators have pools | that thread or generator has no pool |
/// | `tgkill` | the same, if the memory of a thread that has ended may be used again | that memory is not used again |
/// | `madvise` | [`reseed`] | nothing else changes, but after a restore by CRIU before 4.2, forked children repeat UUIDs |
/// | `openat`, `statx`, `ioctl`, `fcntl`, `ppoll`, `dup3`, `close` | the device is opened again: in a forked child, or after its descriptor was closed elsewhere | an error without `openat` or `statx`; without `fcntl`, `dup3` or `close`, one more descriptor may stay open |
///
/// A filter that kills the process must allow the calls of the first four rows, and
/// `madvise` if [`reseed`] is called.
///
/// # Errors
///
/// - Returns an error if no source answers at all.
/// - Returns an error if getrandom(2) answers, but /dev/urandom cannot be opened: then a
///   sandbox that refuses getrandom(2) leaves no source. This error's kind is
///   [`ErrorKind::Device`](crate::ErrorKind::Device), and its text says which call failed.
///   A program whose sandbox allows getrandom(2) may ignore it: its pool is filled.
///
/// # Examples
///
/// ```
/// let status = fork_safe_uuid::prepare()?;
/// println!("{status}"); // for the log
/// # Ok::<(), fork_safe_uuid::Error>(())
/// ```
pub fn prepare() -> Result<Status, Error> {
    let device = source::prepare_device();
    // The pool is filled even in a forked child, whose first UUID would otherwise come straight
    // from the kernel. Its error is returned before the device's, because it is worse.
    thread::fill_pool()?;
    sys::keeping_errno(|| {
        source::prepare_vdso();
        gregorian::PROCESS.prepare();
    });
    device?;
    Ok(status())
}

/// Discards everything that this process has ready, in all threads.
///
/// Call it in a virtual machine that was started from a snapshot, in a process that CRIU
/// restored, in a copied process on Windows, and in a WASI instance that was made from a
/// snapshot. It may be called anywhere, also in a signal handler. Only its last step can
/// take long: madvise(2) waits while another thread maps or unmaps much memory, or forks.
///
/// - The next UUID of each thread and of each generator comes from a new seed, and
///   the vDSO's getrandom gets a new key.
/// - The clock sequence and the [`random_node`](crate::random_node) are drawn again.
/// - If the last timestamp of version 7 is ahead of the clock, the order of each thread
///   and each generator starts again at the clock. Versions 6 and 1 do the same, with
///   their new clock sequence.
/// - The kernel is told again to zero this crate's memory in forked children, because
///   CRIU before 4.2 loses that mark. Where a sandbox refuses madvise(2), the mark stays
///   lost.
///
/// The new seeds of two clones differ by the processor's random numbers
/// ([`Status::hardware_random`]), or because the hypervisor told their kernels of the clone
/// (`vmgenid`), or else by what the clock shows when they are drawn. `reseed` does not reach
/// another copy of this crate in the process, such as that of a plugin.
///
/// # Examples
///
/// ```
/// fork_safe_uuid::reseed();
/// let id = fork_safe_uuid::new_v4();
/// ```
pub fn reseed() {
    sys::keeping_errno(|| {
        source::reseed();
        pool::reseed();
        gregorian::PROCESS.forget();
        order::restart();
        // Last, because it may wait for the kernel.
        source::mark_again();
        // [P2 mark-pages] CRIU before 4.2 loses the mark, and children would have the keys.
        pool::mark_again();
        gregorian::PROCESS.mark_again();
    });
}

/// Returns which entropy source is in use, and what the calling thread has ready.
///
/// # Examples
///
/// ```
/// let id = fork_safe_uuid::new_v4();
/// println!("{}", fork_safe_uuid::status());
/// ```
#[must_use]
pub fn status() -> Status {
    Status::new(thread::has_pool())
}
