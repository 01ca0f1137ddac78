//! Linux and Android, by system calls that every supported libc passes on
//! unchanged.
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
use core::num::NonZeroUsize;
use core::ptr::{self, NonNull};

use once_cell::race::OnceNonZeroUsize;

mod vdso;

pub(crate) use vdso::{VdsoState, map_vdso_states, vdso_getrandom};

pub(crate) use libc::{EBADF, EINTR, EMFILE, ENFILE, ENOSYS, EPERM};

/// Linux numbers /dev/random 1:8 and /dev/urandom 1:9
/// (Documentation/admin-guide/devices.txt).
// `makedev` returns 32 bits on 32-bit Android.
#[allow(clippy::unnecessary_cast)]
pub(crate) const RANDOM: u64 = libc::makedev(1, 8) as u64;
#[allow(clippy::unnecessary_cast)]
pub(crate) const URANDOM: u64 = libc::makedev(1, 9) as u64;

/// What a descriptor or a path stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    /// The device number of a character device, else `None`.
    pub(crate) rdev: Option<u64>,
}

impl From<libc::stat64> for Identity {
    // The widths of these fields differ between architectures.
    #[allow(clippy::unnecessary_cast)]
    fn from(stat: libc::stat64) -> Self {
        Self {
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            rdev: (stat.st_mode as u32 & libc::S_IFMT as u32 == libc::S_IFCHR as u32)
                .then_some(stat.st_rdev as u64),
        }
    }
}

#[cold]
fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn checked(result: c_int) -> Result<c_int, i32> {
    if result < 0 { Err(errno()) } else { Ok(result) }
}

fn length(result: libc::ssize_t) -> Result<usize, i32> {
    usize::try_from(result).map_err(|_| errno())
}

pub(crate) fn getrandom(dest: &mut [u8]) -> Result<usize, i32> {
    // SAFETY: the kernel writes at most `len` bytes to `dest`, which is
    // borrowed mutably and that long.
    let result = unsafe { libc::syscall(libc::SYS_getrandom, dest.as_mut_ptr(), dest.len(), 0) };
    length(result as libc::ssize_t)
}

pub(crate) fn identity_of(fd: c_int) -> Result<Identity, i32> {
    let mut stat = MaybeUninit::uninit();
    // SAFETY: `stat` has room for the structure; any number may be asked about.
    checked(unsafe { libc::fstat64(fd, stat.as_mut_ptr()) })?;
    // SAFETY: fstat(2) succeeded, so it filled the structure.
    Ok(unsafe { stat.assume_init() }.into())
}

pub(crate) fn identity_at(path: &CStr) -> Result<Identity, i32> {
    let mut stat = MaybeUninit::uninit();
    // SAFETY: `path` ends in a zero byte and `stat` has room for the structure.
    checked(unsafe { libc::lstat64(path.as_ptr(), stat.as_mut_ptr()) })?;
    // SAFETY: lstat(2) succeeded, so it filled the structure.
    Ok(unsafe { stat.assume_init() }.into())
}

/// `O_NONBLOCK`: should the path become a FIFO after it was looked at, the call
/// must not wait for a writer.
pub(crate) fn open(path: &CStr) -> Result<c_int, i32> {
    let flags =
        libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NOCTTY | libc::O_NONBLOCK;
    // SAFETY: `path` ends in a zero byte.
    checked(unsafe { libc::open(path.as_ptr(), flags) })
}

/// Duplicates `fd` to a free number of at least 3.
pub(crate) fn move_above_stdio(fd: c_int) -> Result<c_int, i32> {
    // SAFETY: makes a descriptor and touches no memory.
    checked(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })
}

/// Closes `fd`, which the caller has proven to be its own.
pub(crate) fn close(fd: c_int) {
    // SAFETY: touches no memory. Linux frees the number whatever is returned,
    // so there is nothing to try again.
    unsafe { libc::close(fd) };
}

/// Reads at offset 0. The kernel answers ESPIPE for whatever has no offset
/// (socket, pipe, tty, eventfd …) and moves the offset of nothing.
pub(crate) fn pread(fd: c_int, dest: &mut [u8]) -> Result<usize, i32> {
    // SAFETY: the kernel writes at most `len` bytes to `dest`, which is
    // borrowed mutably and that long.
    length(unsafe { libc::pread(fd, dest.as_mut_ptr().cast(), dest.len(), 0) })
}

/// The entropy count in bits; only the random devices answer it (random(4)).
pub(crate) fn entropy_count(fd: c_int) -> Result<c_int, i32> {
    const RNDGETENTCNT: libc::Ioctl = libc::_IOR::<c_int>(b'R' as u32, 0);
    let mut bits: c_int = 0;
    // SAFETY: RNDGETENTCNT writes one int, to which the pointer leads.
    checked(unsafe { libc::ioctl(fd, RNDGETENTCNT, &raw mut bits) })?;
    Ok(bits)
}

pub(crate) fn wait_readable(fd: c_int) -> Result<(), i32> {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: the pointer leads to one pollfd, as the count says.
    checked(unsafe { libc::poll(&raw mut poll, 1, -1) }).map(drop)
}

/// Maps `len` bytes that are zero, stay out of core dumps, and are zero again
/// in every forked child.
///
/// Some emulators (qemu-user 7.2) accept any advice and follow none, so the
/// kernel must first refuse one that does not exist.
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
    // SAFETY: advises on the mapping just made, which nothing else refers to;
    // no advice given here changes what this process reads from it.
    let advise = |advice| unsafe { libc::madvise(memory, len, advice) };
    if advise(NO_SUCH_ADVICE) == 0 || advise(libc::MADV_WIPEONFORK) != 0 {
        // SAFETY: the mapping just made, which nothing else refers to.
        unsafe { libc::munmap(memory, len) };
        return None;
    }
    // A kernel that refuses this one writes the page into a core dump, as it
    // writes the caller's own variables; it is no reason to go unbuffered.
    advise(libc::MADV_DONTDUMP);
    NonNull::new(memory.cast())
}

/// Gives back what [`map_wiped`] returned for the same `len`.
///
/// # Safety
///
/// Nothing may refer to the memory any more.
pub(crate) unsafe fn unmap(memory: NonNull<u8>, len: usize) {
    // SAFETY: a mapping of that length stands there and is no longer used.
    unsafe { libc::munmap(memory.as_ptr().cast::<c_void>(), len) };
}

/// A function to be called when a thread ends.
///
/// A key of pthread_key_create(3) rather than a `thread_local!` with a
/// destructor: registering the latter allocates (`__cxa_thread_atexit_impl`),
/// and the caller may be a signal handler that interrupted malloc(3). glibc
/// keeps the values of the first 32 keys inside the thread's descriptor.
pub(crate) struct ThreadExit {
    /// The key plus one. `race`: of two threads that create it at once neither
    /// waits, and the loser deletes its own.
    key: OnceNonZeroUsize,
}

impl ThreadExit {
    pub(crate) const fn new() -> Self {
        Self {
            key: OnceNonZeroUsize::new(),
        }
    }

    /// Has `hook`, the same at each call, called with `argument`, which is not
    /// null, when the calling thread ends. Returns `false` where that cannot be
    /// had.
    pub(crate) fn call(&'static self, hook: Hook, argument: *mut c_void) -> bool {
        let Some(key) = self.key.get().or_else(|| self.create(hook)) else {
            return false;
        };
        let key = (key.get() - 1) as libc::pthread_key_t;
        // SAFETY: a key that is never deleted once it is published.
        unsafe { libc::pthread_setspecific(key, argument) == 0 }
    }

    fn create(&self, hook: Hook) -> Option<NonZeroUsize> {
        let mut key: libc::pthread_key_t = 0;
        // SAFETY: the pointer leads to a key; the hook is called only with the
        // arguments that its owner gives to `call`.
        if unsafe { libc::pthread_key_create(&raw mut key, Some(hook)) } != 0 {
            return None;
        }
        if self
            .key
            .set(NonZeroUsize::MIN.saturating_add(key as usize))
            .is_err()
        {
            // SAFETY: created above, and no thread has set a value.
            unsafe { libc::pthread_key_delete(key) };
        }
        self.key.get()
    }
}

pub(crate) type Hook = unsafe extern "C" fn(*mut c_void);

/// Makes `call` and leaves errno as it was, so that a signal handler that
/// makes a UUID need not save it for the code it interrupted.
pub(crate) fn keeping_errno<T>(call: impl FnOnce() -> T) -> T {
    #[cfg(target_os = "android")]
    use libc::__errno as location;
    #[cfg(target_os = "linux")]
    use libc::__errno_location as location;

    // SAFETY: an int of the calling thread's own, at one address for its life.
    let before = unsafe { *location() };
    let result = call();
    // SAFETY: as above.
    unsafe { *location() = before };
    result
}

/// The process id, asked for by number: glibc before 2.25 kept it and did not
/// notice a raw clone(2).
pub(crate) fn pid() -> u32 {
    // SAFETY: takes no argument and cannot fail.
    unsafe { libc::syscall(libc::SYS_getpid) as u32 }
}

/// By the vDSO, as a rule, so that errno changes only where this fails.
///
/// Not the monotonic clock: that goes on from the snapshot's time in a restored
/// machine, while the wall clock is set anew.
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

/// The 16 random bytes that the kernel gave this program at exec
/// (getauxval(3), `AT_RANDOM`), or zeros without them.
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
