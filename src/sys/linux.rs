//! Linux and Android, with system calls that each libc passes on unchanged.
//!
//! | call | since |
//! | --- | --- |
//! | getrandom(2) | 3.17; made by number, because glibc has the function only since 2.25 and a static binary cannot look it up |
//! | getrandom in the vDSO | 6.11 |
//! | `MADV_WIPEONFORK` | 4.14 |
//! | `MADV_DONTDUMP` | 3.4 |
#![allow(unsafe_code)]

use core::ffi::{CStr, c_int, c_void};
use core::mem::MaybeUninit;
use core::num::NonZeroU32;
use core::ptr::{self, NonNull};

mod errno;
mod getrandom;
mod identity;
mod vdso;

pub(crate) use errno::write_os_error;
pub(crate) use getrandom::getrandom;
pub(crate) use identity::{Identity, identity_at, identity_of};
pub(crate) use vdso::{VdsoState, map_vdso_states, vdso_getrandom};

pub(crate) use libc::{EBADF, EINTR, EMFILE, ENFILE, ENOSYS, EPERM};

/// Linux numbers /dev/random 1:8 and /dev/urandom 1:9
/// (Documentation/admin-guide/devices.txt).
// `makedev` returns 32 bits on 32-bit Android.
#[allow(clippy::unnecessary_cast)]
pub(crate) const RANDOM: u64 = libc::makedev(1, 8) as u64;
#[allow(clippy::unnecessary_cast)]
pub(crate) const URANDOM: u64 = libc::makedev(1, 9) as u64;

pub(crate) const HAS_DEVICE: bool = true;

#[cold]
fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn checked(result: c_int) -> Result<c_int, i32> {
    if result < 0 { Err(errno()) } else { Ok(result) }
}

fn number(result: libc::c_long) -> Result<c_int, i32> {
    checked(result as c_int)
}

fn length(result: libc::ssize_t) -> Result<usize, i32> {
    usize::try_from(result).map_err(|_| errno())
}

/// Flags that tell a descriptor of this crate from one that the program itself opened on the
/// same device: nobody else asks for synchronous writes to a file that is only read. The kernel
/// keeps them with the open file, so duplicates of the descriptor have them, too.
const MARK: c_int = libc::O_RDONLY | libc::O_DSYNC | libc::O_NONBLOCK;

/// Opens `path` with [`MARK`]. Its `O_NONBLOCK` also keeps the call from waiting for a
/// writer if the path became a FIFO after it was looked at.
pub(crate) fn open(path: &CStr) -> Result<c_int, i32> {
    let flags = MARK | libc::O_CLOEXEC | libc::O_NOCTTY;
    // SAFETY: `path` ends in a zero byte.
    number(unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0) })
}

pub(crate) fn is_marked(fd: c_int) -> Result<bool, i32> {
    const LOOKED_AT: c_int = libc::O_ACCMODE | libc::O_SYNC | libc::O_NONBLOCK | libc::O_APPEND;
    // SAFETY: asks for flags and touches no memory.
    let flags = number(unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_GETFL, 0) });
    match flags {
        Ok(flags) => Ok(flags & LOOKED_AT == MARK),
        Err(EBADF) => Ok(false),
        Err(errno) => Err(errno),
    }
}

pub(crate) fn move_above_stdio(fd: c_int) -> Result<c_int, i32> {
    // SAFETY: makes a descriptor and touches no memory.
    let moved = number(unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_DUPFD_CLOEXEC, 3) });
    // fcntl(2) returns EINVAL if the limit allows no number of at least 3.
    moved.map_err(|errno| if errno == libc::EINVAL { EMFILE } else { errno })
}

/// Makes the number `other` a duplicate of `fd`, and closes what had that number.
pub(crate) fn replace(other: c_int, fd: c_int) -> Result<(), i32> {
    // SAFETY: touches no memory.
    number(unsafe { libc::syscall(libc::SYS_dup3, fd, other, libc::O_CLOEXEC) }).map(drop)
}

/// Closes `fd`, which the caller has proven to be this crate's.
pub(crate) fn close(fd: c_int) {
    // SAFETY: touches no memory. Linux frees the number even if the call fails, so it must not
    // be tried again.
    unsafe { libc::syscall(libc::SYS_close, fd) };
}

/// Reads at offset 0. The kernel returns ESPIPE for a file that has no offset (socket, pipe,
/// tty, eventfd …), and moves no file's offset.
pub(crate) fn pread(fd: c_int, dest: &mut [u8]) -> Result<usize, i32> {
    // The offset is 0, in as many registers as any architecture uses for it.
    const NONE: libc::c_long = 0;
    let (pointer, len) = (dest.as_mut_ptr(), dest.len());
    // SAFETY: the kernel writes at most `len` bytes to `dest`, which is
    // borrowed mutably and that long.
    let result = unsafe { libc::syscall(libc::SYS_pread64, fd, pointer, len, NONE, NONE, NONE) };
    length(result as libc::ssize_t)
}

/// Returns the entropy count, which only the random devices have (random(4)).
pub(crate) fn entropy_count(fd: c_int) -> Result<c_int, i32> {
    const RNDGETENTCNT: libc::Ioctl = libc::_IOR::<c_int>(b'R' as u32, 0);
    let mut bits: c_int = 0;
    // SAFETY: RNDGETENTCNT writes one int, for which the pointer has room.
    number(unsafe { libc::syscall(libc::SYS_ioctl, fd, RNDGETENTCNT, &raw mut bits) })?;
    Ok(bits)
}

pub(crate) fn wait_readable(fd: c_int) -> Result<(), i32> {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let none = ptr::null::<c_void>();
    // SAFETY: the pointer leads to one pollfd, as the count says. The null pointers mean no time
    // limit and no mask.
    number(unsafe { libc::syscall(libc::SYS_ppoll, &raw mut poll, 1, none, none, 0) }).map(drop)
}

/// Maps `len` bytes that are zero, stay out of core dumps, and are zero again
/// in every forked child.
pub(crate) fn map_wiped(len: usize) -> Option<NonNull<u8>> {
    const NO_SUCH_ADVICE: c_int = -1;

    // SAFETY: asks for new memory at an address of the kernel's choice.
    let memory = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            // Private and anonymous: WIPEONFORK is refused on anything else.
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return None;
    }
    // [P2 refuse-nonsense] Some emulators (qemu-user 7.2) accept any advice and follow
    // none. They are asked for nonsense first.
    //
    // SAFETY: there is no such advice.
    if unsafe { libc::madvise(memory, len, NO_SUCH_ADVICE) } != 0 {
        let memory = NonNull::new(memory.cast())?;
        // SAFETY: the mapping was just made.
        if unsafe { mark_wiped(memory, len) } {
            return Some(memory);
        }
    }
    // SAFETY: the mapping was just made, and nothing refers to it.
    unsafe { libc::munmap(memory, len) };
    None
}

/// Makes the kernel zero the memory in each forked child, and leave it out of core dumps.
/// Returns `false` if the kernel refuses to zero it.
///
/// # Safety
///
/// The memory must be a mapping of this crate.
pub(crate) unsafe fn mark_wiped(memory: NonNull<u8>, len: usize) -> bool {
    let memory = memory.as_ptr().cast();
    // SAFETY: this changes nothing in the caller's mapping.
    let advise = |advice| unsafe { libc::madvise(memory, len, advice) == 0 };
    // [P2 wipe-on-fork] The kernel wipes the copy, whichever call makes the child.
    let is_marked = advise(libc::MADV_WIPEONFORK);
    if is_marked {
        // If the kernel refuses this, a core dump has the page, as it has the program's own
        // variables. That is no reason to do without a pool.
        advise(libc::MADV_DONTDUMP);
    }
    is_marked
}

/// Unmaps what [`map_wiped`] returned for the same `len`.
///
/// # Safety
///
/// Nothing may refer to the memory any more.
pub(crate) unsafe fn unmap(memory: NonNull<u8>, len: usize) {
    // SAFETY: the caller's mapping has that length and is no longer used.
    unsafe { libc::munmap(memory.as_ptr().cast::<c_void>(), len) };
}

/// Calls `call` and restores errno, so that a signal handler which makes a UUID need not save
/// errno for the code that it interrupted.
pub(crate) fn keeping_errno<T>(call: impl FnOnce() -> T) -> T {
    #[cfg(target_os = "android")]
    use libc::__errno as location;
    #[cfg(target_os = "linux")]
    use libc::__errno_location as location;

    // SAFETY: errno is an int of the calling thread, at one address for the thread's life.
    let before = unsafe { *location() };
    let result = call();
    // SAFETY: as above.
    unsafe { *location() = before };
    result
}

/// Returns the number of this process, by the system call: glibc before 2.25 cached it and did
/// not notice a raw clone(2).
pub(crate) fn pid() -> u32 {
    // SAFETY: takes no argument and cannot fail.
    unsafe { libc::syscall(libc::SYS_getpid) as u32 }
}

/// Returns the number of the calling thread, or `None` if the libc does not know this thread:
/// in a child of vfork(2), and in one of a raw clone(2).
///
/// pthread_getcpuclockid(3) reveals the number that the libc keeps with the
/// thread's variables. The clock's number is the thread's, inverted, above three more bits
/// (`MAKE_THREAD_CPUCLOCK`, include/linux/posix-timers_types.h).
pub(crate) fn known_thread() -> Option<NonZeroU32> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: the handle is the calling thread's, and the pointer has room for a number.
    if unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) } != 0 {
        return None;
    }
    let kept = !(clock >> 3);
    // SAFETY: takes no argument and cannot fail.
    let number = unsafe { libc::syscall(libc::SYS_gettid) as c_int };
    NonZeroU32::new(number as u32).filter(|_| number > 0 && number == kept)
}

pub(crate) fn is_gone(process: u32, thread: u32) -> bool {
    const NO_SIGNAL: c_int = 0;
    // SAFETY: asks whether the thread is there, and sends nothing.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, NO_SIGNAL) };
    result == -1 && errno() == libc::ESRCH
}

/// Returns the seconds since 1970 and the nanoseconds of the wall clock. The vDSO usually
/// reads it, so errno changes only on failure.
///
/// Not the monotonic clock, which starts at about the same time on each machine. A machine
/// that is started from a snapshot continues with the snapshot's time on either clock, until
/// somebody sets the wall clock.
// The widths of these fields differ between architectures.
#[allow(clippy::unnecessary_cast)]
#[inline]
pub(crate) fn wall_clock() -> Result<(i64, u32), i32> {
    let mut now = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: `now` has room for the structure.
    if unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, now.as_mut_ptr()) } != 0 {
        return Err(errno());
    }
    // SAFETY: clock_gettime(2) succeeded, so it filled the structure.
    let now = unsafe { now.assume_init() };
    Ok((now.tv_sec as i64, now.tv_nsec as u32))
}

/// Returns the 16 random bytes that the kernel drew when the program was executed
/// (getauxval(3)), or zeros if there are none.
pub(crate) fn at_random() -> [u8; 16] {
    // SAFETY: looks a number up in a table.
    let address = unsafe { libc::getauxval(libc::AT_RANDOM) };
    if address == 0 {
        return [0; 16];
    }
    // SAFETY: the kernel put 16 bytes there, on the first page of the stack,
    // where they stay for the life of the program.
    unsafe { ptr::read(address as *const [u8; 16]) }
}
