//! The process that makes UUIDs, and its report.

use std::ffi::c_void;

use fork_safe_uuid::source::TrackedDevice;
use fork_safe_uuid::{Generator, Status, prepare, reseed, try_new_v4};
use support::memory::{map_shared, mappings};

use crate::model::{STEPS, UUID, WIPED, error_line};

/// A system call that does not exist. With the number of a step added, it marks the
/// beginning of that step, and [`REST`] marks the end of each step.
pub const MARK: u64 = 7000;
pub const REST: u64 = MARK + STEPS.len() as u64;

/// The result of one step, which the child writes.
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

/// Returns a report in memory that a child shares.
pub fn shared_report() -> &'static mut Report {
    // SAFETY: the memory is new and never unmapped. Zeros are a valid report.
    unsafe { &mut *map_shared(size_of::<Report>()).cast() }
}

/// Makes the steps, and ends the process.
pub fn be_traced(is_0_free: bool, has_vdso: bool, report: &mut Report) -> ! {
    // SAFETY: the kernel refuses the mark and touches nothing.
    let mark = |number| unsafe { libc::syscall(number as i64) };
    if !has_vdso {
        hide_vdso();
    }
    // SAFETY: this process uses no descriptor, and its parent traces it.
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

/// Returns the text of a status, without numbers that differ between runs, and without
/// facts that depend on no system call.
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

/// Zeroes the memory that the kernel zeroes in a forked child.
fn wipe() {
    // The states of the vDSO are left, because the model does not wipe them.
    for range in mappings(|flags| flags.contains(&"wf") && !flags.contains(&"dp")) {
        let memory = range.start as *mut c_void;
        // SAFETY: the crate expects that this memory may be zeroed at any time.
        unsafe { libc::madvise(memory, range.len(), libc::MADV_DONTNEED) };
    }
}

/// Removes the vDSO's address from the auxiliary vector, which getauxval(3) reads.
fn hide_vdso() {
    unsafe extern "C" {
        static environ: *const *const c_void;
    }
    // SAFETY: the vector follows the null pointer that ends the environment, and ends with
    // AT_NULL. This process has never set a variable, so the environment has not moved.
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
