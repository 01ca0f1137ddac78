//! The process that makes UUIDs, and what it tells of them.

use std::ffi::c_void;

use fork_safe_uuid::source::TrackedDevice;
use fork_safe_uuid::{Generator, Status, prepare, reseed, try_new_v4};
use support::memory::{map_shared, mappings};

use crate::model::{STEPS, UUID, WIPED, error_line};

/// A system call that does not exist, plus the step that begins; the last one
/// says that a step is over.
pub const MARK: u64 = 7000;
pub const REST: u64 = MARK + STEPS.len() as u64;

/// What one step made, written by the child.
#[repr(C)]
pub struct Made {
    pub uuid: [u8; 16],
    length: usize,
    text: [u8; 400],
}

impl Made {
    pub fn line(&self) -> String {
        String::from_utf8_lossy(&self.text[..self.length]).into_owned()
    }

    fn set(&mut self, line: &str) {
        let length = line.len().min(self.text.len());
        self.text[..length].copy_from_slice(&line.as_bytes()[..length]);
        self.length = length;
    }
}

pub type Report = [Made; STEPS.len()];

/// A report in memory that a child shares.
pub fn shared_report() -> &'static mut Report {
    // SAFETY: new memory, zeroed, which is a valid report; never unmapped.
    unsafe { &mut *map_shared(size_of::<Report>()).cast() }
}

/// Takes the steps, and ends.
pub fn be_traced(is_0_free: bool, has_vdso: bool, report: &mut Report) -> ! {
    // SAFETY: calls of a process that is about to end; the mark is refused by
    // the kernel and touches nothing.
    let mark = |number| unsafe { libc::syscall(number as i64) };
    if !has_vdso {
        hide_vdso();
    }
    // SAFETY: as above.
    unsafe {
        if is_0_free {
            libc::close(0);
        }
        libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
        libc::raise(libc::SIGSTOP);
    }
    let unbuffered = Generator::unbuffered();
    for (step, made) in report.iter_mut().enumerate() {
        if step == WIPED {
            wipe();
        }
        mark(MARK + step as u64);
        let result = match step {
            0 | 1 => try_new_v4().map(Ok),
            2 | 4 => unbuffered.try_new_v4().map(Ok),
            3 => prepare().map(Err),
            WIPED => try_new_v4().map(Ok),
            _ => {
                reseed();
                try_new_v4().map(Ok)
            }
        };
        mark(REST);
        let mut line = String::new();
        match result {
            Ok(Ok(uuid)) => {
                made.uuid = uuid.into_bytes();
                line.push_str(UUID);
            }
            Ok(Err(status)) => line = status_line(status),
            Err(error) => {
                line = error_line(error.kind(), error.raw_os_error(), &error.to_string());
            }
        }
        made.set(&line);
    }
    // SAFETY: ends the process.
    unsafe { libc::_exit(0) }
}

/// Without the numbers of this run, and without what depends on no call.
fn status_line(status: Status) -> String {
    let line = status.to_string();
    let line = line
        .replace("hardware: yes; ", "")
        .replace("hardware: no; ", "");
    match status.device() {
        TrackedDevice::Open { number, process } => line
            .replace(&format!("descriptor {number},"), "descriptor N,")
            .replace(&format!("process {process};"), "process P;"),
        TrackedDevice::Lost { number } => line.replace(&number.to_string(), "N"),
        _ => line,
    }
}

/// What the kernel does in a forked child.
fn wipe() {
    // Not the states of the vDSO, which the kernel may drop: its own matter.
    for range in mappings(|flags| flags.contains(&"wf") && !flags.contains(&"dp")) {
        let memory = range.start as *mut c_void;
        // SAFETY: memory of the crate, which expects to be wiped.
        unsafe { libc::madvise(memory, range.len(), libc::MADV_DONTNEED) };
    }
}

/// Takes the vDSO's address out of the auxiliary vector, in which getauxval(3)
/// looks.
fn hide_vdso() {
    unsafe extern "C" {
        static environ: *const *const c_void;
    }
    // SAFETY: the vector stands behind the null that ends the environment, for
    // which no variable was ever set in this process, and ends with AT_NULL.
    unsafe {
        let mut end = environ;
        while !(*end).is_null() {
            end = end.add(1);
        }
        let mut entry = end.add(1).cast::<[u64; 2]>().cast_mut();
        while (*entry)[0] != libc::AT_NULL {
            if (*entry)[0] == libc::AT_SYSINFO_EHDR {
                (*entry)[1] = 0;
            }
            entry = entry.add(1);
        }
    }
}
