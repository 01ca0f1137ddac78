//! The identity of the file that a descriptor or a path leads to: from statx(2), or from
//! fstat(2) if statx(2) is refused.

use core::ffi::{CStr, c_int};
use core::mem::MaybeUninit;

use super::{EBADF, ENOSYS, EPERM, checked, errno};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    /// The device number of a character device, or else `None`.
    pub(crate) rdev: Option<u64>,
    pub(crate) is_link: bool,
}

impl Identity {
    // The widths of these constants differ between architectures.
    #[allow(clippy::unnecessary_cast)]
    fn new(mode: u32, dev: u64, ino: u64, rdev: u64) -> Self {
        let kind = mode & libc::S_IFMT as u32;
        Self {
            dev,
            ino,
            rdev: (kind == libc::S_IFCHR as u32).then_some(rdev),
            is_link: kind == libc::S_IFLNK as u32,
        }
    }
}

impl From<libc::stat64> for Identity {
    // The widths of these fields differ between architectures.
    #[allow(clippy::unnecessary_cast)]
    fn from(stat: libc::stat64) -> Self {
        Self::new(
            stat.st_mode as u32,
            stat.st_dev as u64,
            stat.st_ino as u64,
            stat.st_rdev as u64,
        )
    }
}

/// `struct statx` (include/uapi/linux/stat.h), the same on each architecture.
#[repr(C)]
struct Statx {
    mask: u32,
    _to_mode: [u32; 6],
    mode: u16,
    _spare: u16,
    ino: u64,
    _to_rdev: [u64; 11],
    rdev: [u32; 2],
    dev: [u32; 2],
    _to_end: [u64; 14],
}

const _: () = assert!(size_of::<Statx>() == 256);

impl From<Statx> for Identity {
    fn from(stat: Statx) -> Self {
        // `makedev` returns 32 bits on 32-bit Android.
        #[allow(clippy::unnecessary_cast)]
        let number = |[major, minor]: [u32; 2]| libc::makedev(major, minor) as u64;
        Self::new(
            stat.mode.into(),
            number(stat.dev),
            stat.ino,
            number(stat.rdev),
        )
    }
}

/// Calls statx(2) by its number, since Linux 4.11. The same filter of system calls works with
/// each libc, while libcs make different calls for fstat(3).
fn statx(directory: c_int, path: &CStr, flags: c_int) -> Result<Identity, i32> {
    /// `STATX_TYPE | STATX_INO`; the device numbers are always filled.
    const WANTED: u32 = 0x0001 | 0x0100;
    let mut stat = MaybeUninit::<Statx>::zeroed();
    // SAFETY: `path` ends in a zero byte and `stat` has room for the structure.
    let result = unsafe {
        libc::syscall(
            libc::SYS_statx,
            directory,
            path.as_ptr(),
            flags,
            WANTED,
            stat.as_mut_ptr(),
        )
    };
    if result != 0 {
        return Err(errno());
    }
    // SAFETY: zeros are a valid value.
    let stat = unsafe { stat.assume_init() };
    if stat.mask & WANTED != WANTED {
        return Err(ENOSYS);
    }
    Ok(stat.into())
}

/// Returns whether statx(2) is missing (before Linux 4.11) or refused (by container runtimes of
/// that time).
fn is_without_statx(errno: i32) -> bool {
    matches!(errno, ENOSYS | EPERM)
}

pub(crate) fn identity_of(fd: c_int) -> Result<Identity, i32> {
    let refused = match statx(fd, c"", libc::AT_EMPTY_PATH) {
        Err(errno) if is_without_statx(errno) => errno,
        result => return result,
    };
    let mut stat = MaybeUninit::<libc::stat64>::zeroed();
    // SAFETY: `stat` has room for the structure; any number may be asked about.
    match checked(unsafe { libc::fstat64(fd, stat.as_mut_ptr()) }) {
        // SAFETY: zeros are a valid value.
        Ok(_) => Ok(unsafe { stat.assume_init() }.into()),
        Err(EBADF) => Err(EBADF),
        Err(_) => Err(refused),
    }
}

pub(crate) fn identity_at(path: &CStr, follow: bool) -> Result<Identity, i32> {
    let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    match statx(libc::AT_FDCWD, path, flags) {
        Err(errno) if is_without_statx(errno) => {}
        result => return result,
    }
    let mut stat = MaybeUninit::<libc::stat64>::zeroed();
    // SAFETY: `path` ends in a zero byte and `stat` has room for the structure.
    checked(unsafe { libc::fstatat64(libc::AT_FDCWD, path.as_ptr(), stat.as_mut_ptr(), flags) })?;
    // SAFETY: zeros are a valid value.
    Ok(unsafe { stat.assume_init() }.into())
}
