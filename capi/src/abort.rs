//! Ends a process that can get no UUID.
//!
//! The reason is kept in memory, where a debugger finds it, also in a core dump. It is
//! written to standard error only if descriptor 2 still leads to the file that it led to
//! when the library was loaded. In a daemon that has closed its descriptors, descriptor 2
//! may be a database.
//!
//! Nothing here allocates, because the caller may be a signal handler that has
//! interrupted malloc(3), or a copy of a process in which a thread that was not copied holds
//! the lock of malloc(3). The text of a panic is the exception: the standard library
//! allocates it.

use core::fmt::{self, Write};
use core::mem::{self, MaybeUninit};
use core::ptr;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::panic;
use std::process;
use std::sync::OnceLock;

use crate::line::Line;

/// The size of the message. The longest text of an error has some 300 bytes.
const ROOM: usize = 512;

/// The descriptor of standard error.
const STDERR: libc::c_int = 2;

/// A `struct timespec` of 0 seconds, whether its fields have 32 or 64 bits.
static AT_ONCE: [u64; 2] = [0; 2];

/// The size of the kernel's set of signals, in bytes.
const SET: usize = 8;

/// The reason why the library has ended the process, as one line with a final zero byte.
/// Before that, it is empty.
#[unsafe(export_name = "fork_safe_uuid_abort_message")]
static MESSAGE: [AtomicU8; ROOM] = [const { AtomicU8::new(0) }; ROOM];

/// The file of descriptor 2 when the library was loaded, or empty if it was closed then.
/// Reading the cell never waits.
static STANDARD_ERROR: OnceLock<File> = OnceLock::new();

/// Ends the process with `SIGABRT` and says why.
#[cold]
#[inline(never)]
pub(crate) fn abort(reason: &dyn fmt::Display) -> ! {
    // The text is written to the stack first, as another thread may do the same now.
    let text = [const { AtomicU8::new(0) }; ROOM];
    let mut line = Line::new(&text);
    // Writing to a `Line` never fails.
    let _ = writeln!(line, "libuuid: {reason}");
    for (kept, byte) in MESSAGE.iter().zip(&text) {
        kept.store(byte.load(Relaxed), Relaxed);
    }
    without_signals(|| say(line.text()));
    raise();
    // The program has a handler, which returned. The second signal must not call it.
    // SAFETY: the call takes numbers, and resets a signal of this process.
    unsafe { libc::signal(libc::SIGABRT, libc::SIG_DFL) };
    raise();
    process::abort()
}

/// Sends `SIGABRT` to the calling thread, whose id it asks the kernel for. In a child of
/// vfork(2), abort(3) of musl would send the signal to the parent.
fn raise() {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is filled before it is read; the other calls take numbers.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGABRT);
        libc::sigprocmask(libc::SIG_UNBLOCK, set.as_ptr(), ptr::null_mut());
        let (process, thread) = (
            libc::syscall(libc::SYS_getpid),
            libc::syscall(libc::SYS_gettid),
        );
        libc::syscall(libc::SYS_tgkill, process, thread, libc::SIGABRT);
    }
}

/// Writes `text` to standard error if that is still the same file, and if the write does not
/// wait.
///
/// It calls write(2) by number: the C library's function is a cancellation point, at which
/// a cancelled thread would end in place of the process.
fn say(text: &[AtomicU8]) {
    // The file is compared last, so that little time passes before the write.
    if is_writable(STDERR) && File::at(STDERR).is_some_and(|now| STANDARD_ERROR.get() == Some(&now))
    {
        // SAFETY: the kernel reads from a buffer of that length.
        unsafe { libc::syscall(libc::SYS_write, STDERR, text.as_ptr(), text.len()) };
    }
}

/// Returns whether a line can be written at once, and a pipe or socket has a reader.
fn is_writable(fd: libc::c_int) -> bool {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLOUT,
        revents: 0,
    };
    let (time, mask) = (AT_ONCE.as_ptr(), ptr::null::<libc::sigset_t>());
    // SAFETY: the pointers lead to one `pollfd`, as the count says, and to a time.
    let ready = unsafe { libc::syscall(libc::SYS_ppoll, &raw mut poll, 1, time, mask, 0) };
    ready == 1 && poll.revents == libc::POLLOUT
}

/// Calls `call` with all signals blocked, and discards a `SIGPIPE` or `SIGXFSZ` that a write
/// has raised: they would end the process in place of `SIGABRT`. `SIGTTOU` would stop it.
fn without_signals(call: impl FnOnce()) {
    let mut sets = [const { MaybeUninit::<libc::sigset_t>::uninit() }; 3];
    let [all, before, raised] = sets.each_mut().map(MaybeUninit::as_mut_ptr);
    // SAFETY: the sets are filled before they are read, and `before` is read only if the call
    // that fills it has succeeded.
    unsafe {
        libc::sigfillset(all);
        libc::sigemptyset(raised);
        libc::sigaddset(raised, libc::SIGPIPE);
        libc::sigaddset(raised, libc::SIGXFSZ);
        let blocked = libc::sigprocmask(libc::SIG_BLOCK, all, before) == 0;
        call();
        if blocked {
            let info = ptr::null_mut::<libc::siginfo_t>();
            let at_once = AT_ONCE.as_ptr();
            libc::syscall(libc::SYS_rt_sigtimedwait, raised, info, at_once, SET);
            libc::sigprocmask(libc::SIG_SETMASK, before, ptr::null_mut());
        }
    }
}

/// The identity of the file that a descriptor leads to.
#[derive(PartialEq, Eq)]
struct File {
    device: [u32; 2],
    inode: u64,
    kind: u16,
    /// The time of birth, which tells a new file from a deleted one with the same inode. It is
    /// 0 if the file system has none.
    born: (i64, u32),
}

impl File {
    /// Returns the file of a descriptor, or `None` if the kernel does not tell all of it.
    fn at(fd: libc::c_int) -> Option<Self> {
        const WANTED: u32 = libc::STATX_TYPE | libc::STATX_INO;
        // SAFETY: the structure has integers only, for which zero is valid.
        let mut found: libc::statx = unsafe { mem::zeroed() };
        // SAFETY: the path ends in a zero byte, and the last pointer leads to a `statx`.
        let result = unsafe {
            libc::syscall(
                libc::SYS_statx,
                fd,
                c"".as_ptr(),
                libc::AT_EMPTY_PATH,
                WANTED | libc::STATX_BTIME,
                &raw mut found,
            )
        };
        (result == 0 && found.stx_mask & WANTED == WANTED).then_some(Self {
            device: [found.stx_dev_major, found.stx_dev_minor],
            inode: found.stx_ino,
            kind: found.stx_mode & libc::S_IFMT as u16,
            born: (found.stx_btime.tv_sec, found.stx_btime.tv_nsec),
        })
    }
}

/// Remembers the file of descriptor 2. It is called when the library is loaded, while
/// descriptor 2 is still standard error.
pub(crate) fn remember_standard_error() {
    if let Some(file) = File::at(STDERR) {
        let _ = STANDARD_ERROR.set(file);
    }
}

/// Makes panics end the process as [`abort`] does. The standard library would write the
/// message to descriptor 2, whatever file that is.
///
/// The hook belongs to the copy of the standard library in this library. A program that is
/// itself written in Rust has another copy, whose hook stays as it is.
pub(crate) fn take_panics() {
    panic::set_hook(Box::new(|panic| abort(panic)));
}
