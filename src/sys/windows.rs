//! Windows, which has no fork, so any memory may hold a pool.
#![allow(unsafe_code)]

use core::num::NonZeroU32;
use core::ptr::{self, NonNull};

use windows_sys::Win32::Foundation::{
    CloseHandle, ERROR_INVALID_PARAMETER, GetLastError, WAIT_OBJECT_0,
};
use windows_sys::Win32::System::Memory::{
    MEM_COMMIT, MEM_RELEASE, MEM_RESERVE, PAGE_READWRITE, VirtualAlloc, VirtualFree,
};
use windows_sys::Win32::System::Threading::{
    GetCurrentThreadId, OpenThread, THREAD_SYNCHRONIZE, WaitForSingleObject,
};

pub(crate) fn map_wiped(len: usize) -> Option<NonNull<u8>> {
    let how = MEM_RESERVE | MEM_COMMIT;
    // SAFETY: asks for new memory at an address of the system's choice.
    NonNull::new(unsafe { VirtualAlloc(ptr::null(), len, how, PAGE_READWRITE) }.cast())
}

/// # Safety
///
/// Nothing may refer to the memory any more.
pub(crate) unsafe fn unmap(memory: NonNull<u8>, _: usize) {
    // SAFETY: it is what `map_wiped` returned, and no longer used.
    unsafe { VirtualFree(memory.as_ptr().cast(), 0, MEM_RELEASE) };
}

pub(crate) fn pid() -> u32 {
    std::process::id()
}

/// Returns `None` if a number has more than 22 bits. The system counts in steps of four, so
/// this takes more than a million threads and processes.
pub(crate) fn known_thread() -> Option<NonZeroU32> {
    // SAFETY: takes no argument and cannot fail.
    let thread = unsafe { GetCurrentThreadId() };
    NonZeroU32::new(thread).filter(|_| (thread | pid()) >> 22 == 0)
}

/// Returns `false` if it is not certain: another thread may have the number now, in this
/// process or in one whose threads may not be opened.
pub(crate) fn is_gone(_: u32, thread: u32) -> bool {
    // SAFETY: the calls get only numbers, and the handle that was opened.
    unsafe {
        let handle = OpenThread(THREAD_SYNCHRONIZE, 0, thread);
        if handle.is_null() {
            return GetLastError() == ERROR_INVALID_PARAMETER;
        }
        let has_ended = WaitForSingleObject(handle, 0) == WAIT_OBJECT_0;
        CloseHandle(handle);
        has_ended
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_is_gone_when_it_has_ended_and_not_before() {
        let (step, number) = (Barrier::new(2), AtomicU32::new(0));
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                number.store(known_thread().expect("a number").get(), Relaxed);
                step.wait();
                step.wait();
            });
            step.wait();
            let number = number.load(Relaxed);
            assert!(!is_gone(pid(), number));
            step.wait();
            // The handle in `other` keeps the number from being used again.
            while !is_gone(pid(), number) {
                thread::yield_now();
            }
            other.join().expect("no panic");
        });
    }
}
