//! The open descriptors of this process.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::RawFd;
use std::panic;

use crate::ok;

/// The number of a copy of standard error, above the numbers that scenarios close and take.
const REPORT: RawFd = 900;

/// Makes panics and steps write to a copy of standard error, because the scenario may close
/// standard error itself.
pub(crate) fn begin() {
    // SAFETY: nothing has this number yet.
    ok(unsafe { libc::dup3(2, REPORT, libc::O_CLOEXEC) });
    panic::set_hook(Box::new(|info| report(&format!("{info}\n"))));
}

/// Writes to the copy of standard error.
pub(crate) fn report(text: &str) {
    // SAFETY: the buffer has this length.
    unsafe { libc::write(REPORT, text.as_ptr().cast(), text.len()) };
}

/// Returns the open descriptors and what they lead to, without the one that lists them.
pub fn descriptors() -> BTreeMap<RawFd, String> {
    fs::read_dir("/proc/self/fd")
        .expect("proc")
        .filter_map(|entry| {
            let entry = entry.expect("proc");
            let number = entry.file_name().to_str()?.parse().ok()?;
            let target = fs::read_link(entry.path()).ok()?;
            Some((number, target.display().to_string()))
        })
        .filter(|(_, target)| !target.ends_with("/fd"))
        .collect()
}

/// Returns the number of the one descriptor that leads to /dev/urandom, if there is one.
#[track_caller]
pub fn device_number() -> Option<RawFd> {
    let mut devices = descriptors()
        .into_iter()
        .filter(|(_, target)| target == "/dev/urandom");
    let found = devices.next().map(|(number, _)| number);
    assert!(
        devices.next().is_none(),
        "more than one descriptor of the device"
    );
    found
}

/// Returns whether no descriptor has this number.
pub fn is_closed(number: RawFd) -> bool {
    // SAFETY: the call uses no memory.
    unsafe { libc::fcntl(number, libc::F_GETFD) == -1 }
}

/// Closes all descriptors but the copy of standard error to which panics write.
pub fn close_all() {
    // SAFETY: scenarios use nothing afterwards that owns a descriptor.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 0, REPORT - 1, 0) };
    ok(result as i32);
}
