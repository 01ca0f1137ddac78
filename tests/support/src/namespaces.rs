//! Namespaces of processes, users and mounts.

use std::ffi::CString;
use std::fs;
use std::io::Error;
use std::path::Path;
use std::ptr;

use crate::ok;
use crate::process::wait;

/// Returns whether this process may make namespaces, inside a new user namespace if it is not
/// root. A child tries it.
pub fn may_unshare() -> bool {
    // SAFETY: the harness has not started threads yet.
    let pid = ok(unsafe { libc::fork() });
    if pid == 0 {
        let may = try_unshare(libc::CLONE_NEWNS | libc::CLONE_NEWPID);
        // SAFETY: the child ends without running its parent's destructors.
        unsafe { libc::_exit(i32::from(!may)) };
    }
    wait(pid) == 0
}

fn try_unshare(flags: i32) -> bool {
    // SAFETY: the calls use no memory.
    unsafe {
        let (user, group) = (libc::geteuid(), libc::getegid());
        if user == 0 {
            return libc::unshare(flags) == 0;
        }
        // As root of a new user namespace, the process may make other namespaces.
        libc::unshare(flags | libc::CLONE_NEWUSER) == 0
            && fs::write("/proc/self/setgroups", "deny").is_ok()
            && fs::write("/proc/self/uid_map", format!("0 {user} 1")).is_ok()
            && fs::write("/proc/self/gid_map", format!("0 {group} 1")).is_ok()
    }
}

/// Moves this process into new namespaces, as the `flags` of unshare(2) say.
#[track_caller]
pub fn unshare(flags: i32) {
    assert!(try_unshare(flags), "{}", Error::last_os_error());
}

/// Mounts `source` on `target`, in this process's namespace only.
#[track_caller]
pub fn mount(source: &Path, target: &str, kind: &str, flags: libc::c_ulong) {
    let text = |text: &str| CString::new(text).expect("no zero byte");
    let source = text(source.to_str().expect("UTF-8"));
    let (target, kind) = (text(target), text(kind));
    // SAFETY: the strings end with a zero byte, and there is no data.
    ok(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            ptr::null(),
        )
    });
}
