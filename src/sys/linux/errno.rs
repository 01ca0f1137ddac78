//! The text of an errno. The standard library allocates memory for it, and a signal handler
//! that has interrupted malloc(3) may want to print an error.

use core::ffi::c_int;
use core::fmt;

/// The errnos that the system calls of this crate return. Others are shown as numbers.
const TEXTS: &[(c_int, &str)] = &[
    (libc::EPERM, "Operation not permitted"),
    (libc::ENOENT, "No such file or directory"),
    (libc::EINTR, "Interrupted system call"),
    (libc::EIO, "Input/output error"),
    (libc::ENXIO, "No such device or address"),
    (libc::EBADF, "Bad file descriptor"),
    (libc::EAGAIN, "Resource temporarily unavailable"),
    (libc::ENOMEM, "Cannot allocate memory"),
    (libc::EACCES, "Permission denied"),
    (libc::EFAULT, "Bad address"),
    (libc::EBUSY, "Device or resource busy"),
    (libc::ENODEV, "No such device"),
    (libc::ENOTDIR, "Not a directory"),
    (libc::EISDIR, "Is a directory"),
    (libc::EINVAL, "Invalid argument"),
    (libc::ENFILE, "Too many open files in system"),
    (libc::EMFILE, "Too many open files"),
    (libc::ENOTTY, "Inappropriate ioctl for device"),
    (libc::ESPIPE, "Illegal seek"),
    (libc::ENAMETOOLONG, "File name too long"),
    (libc::ENOSYS, "Function not implemented"),
    (libc::ELOOP, "Too many levels of symbolic links"),
    (libc::EOVERFLOW, "Value too large for defined data type"),
];

pub(crate) fn write_os_error(f: &mut fmt::Formatter<'_>, errno: i32) -> fmt::Result {
    match TEXTS.iter().find(|(number, _)| *number == errno) {
        Some((_, text)) => write!(f, "{text} (os error {errno})"),
        None => write!(f, "os error {errno}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct OsError(i32);

    impl fmt::Display for OsError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write_os_error(f, self.0)
        }
    }

    #[test]
    #[cfg(target_env = "gnu")]
    fn texts_are_those_of_the_standard_library() {
        for &(errno, _) in TEXTS {
            let theirs = std::io::Error::from_raw_os_error(errno);
            assert_eq!(OsError(errno).to_string(), theirs.to_string());
        }
    }

    #[test]
    fn an_unknown_errno_is_shown_as_a_number() {
        assert_eq!(OsError(4095).to_string(), "os error 4095");
    }
}
