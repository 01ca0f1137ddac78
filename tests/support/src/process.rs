//! Copies of this process, and what they make.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use fork_safe_uuid::Uuid;

use crate::ok;
use crate::stuck::is_stuck;

/// Makes a copy of the process, and returns the child's id, or 0 in the child.
pub type Copy = fn() -> i32;

/// Calls fork(2).
pub fn fork() -> i32 {
    // SAFETY: where there are other threads, the child makes UUIDs and ends.
    unsafe { libc::fork() }
}

/// Waits until a child has ended, and returns its status.
#[track_caller]
pub fn wait(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the pointer leads to an int.
    ok(unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) });
    status
}

/// Waits until a child has ended, and returns its status. If the child can only wait for
/// itself, it hangs: it is killed, and `None` is returned.
#[track_caller]
pub fn wait_unless_stuck(pid: i32) -> Option<i32> {
    loop {
        let mut status = 0;
        // SAFETY: the pointer leads to an int.
        let ended = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL | libc::WNOHANG) };
        if ok(ended) != 0 {
            return Some(status);
        }
        if is_stuck(pid) {
            // SAFETY: the call uses no memory.
            ok(unsafe { libc::kill(pid, libc::SIGKILL) });
            wait(pid);
            return None;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Runs `body` in a forked child, and returns the child's status, which is 0 if `body`
/// returns.
#[track_caller]
pub fn status_of(body: impl FnOnce()) -> i32 {
    let pid = ok(fork());
    if pid == 0 {
        body();
        // SAFETY: the child ends without running its parent's destructors.
        unsafe { libc::_exit(0) };
    }
    wait(pid)
}

/// Runs `body` in a copy of this process, and returns what it returned.
#[track_caller]
pub fn in_copy(copy: Copy, body: impl FnOnce() -> Vec<Uuid>) -> Vec<Uuid> {
    let child = start_copy(copy, body);
    child.ids()
}

/// A copy of this process that [`start_copy`] made.
pub struct Child {
    pid: i32,
    output: File,
}

/// Runs `body` in a copy of this process, and does not wait for it.
#[track_caller]
pub fn start_copy(copy: Copy, body: impl FnOnce() -> Vec<Uuid>) -> Child {
    let (output, mut input) = pipe();
    let pid = ok(copy());
    if pid == 0 {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            for id in body() {
                input.write_all(id.as_bytes()).expect("a pipe");
            }
        }));
        // SAFETY: the child ends without running its parent's destructors.
        unsafe { libc::_exit(if outcome.is_ok() { 0 } else { 101 }) };
    }
    Child { pid, output }
}

impl Child {
    /// Waits for the copy, and returns what its `body` returned.
    #[track_caller]
    pub fn ids(mut self) -> Vec<Uuid> {
        let mut bytes = Vec::new();
        self.output.read_to_end(&mut bytes).expect("a pipe");
        assert_eq!(wait(self.pid), 0, "the child failed");
        let (ids, rest) = bytes.as_chunks();
        assert!(rest.is_empty());
        ids.iter().map(|&id| Uuid::from_bytes(id)).collect()
    }
}

/// Makes a pipe, and returns the end to read from and the end to write to.
pub fn pipe() -> (File, File) {
    let mut ends = [0; 2];
    // SAFETY: the pointer leads to two ints.
    ok(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) });
    // SAFETY: both were made above, and nothing else owns them.
    unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) }
}
