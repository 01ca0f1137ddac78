//! Windows, which has no fork: a pool needs no more than ordinary memory.
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
/// [`map_wiped`] returned the memory, and nothing refers to it any more.
pub(crate) unsafe fn unmap(memory: NonNull<u8>, _: usize) {
    // SAFETY: the caller vouches for it; with a size of 0 all of it is given back.
    unsafe { VirtualFree(memory.as_ptr().cast(), 0, MEM_RELEASE) };
}

/// # Safety
///
/// None: nothing is changed.
pub(crate) unsafe fn mark_wiped(_: NonNull<u8>, _: usize) -> bool {
    true
}

pub(crate) fn pid() -> u32 {
    std::process::id()
}

/// `None` also where a number has more than 22 bits, which the system does not
/// rule out: it has a million numbers below.
pub(crate) fn thread_at_home() -> Option<NonZeroU32> {
    // SAFETY: takes no argument and cannot fail.
    let thread = unsafe { GetCurrentThreadId() };
    NonZeroU32::new(thread).filter(|_| (thread | pid()) >> 22 == 0)
}

/// A thread that has another one's number now, in whichever process, counts as that
/// one; so does a thread that may not be opened.
pub(crate) fn is_gone(_: u32, thread: u32) -> bool {
    // SAFETY: asks for a handle; there is no pointer.
    let handle = unsafe { OpenThread(THREAD_SYNCHRONIZE, 0, thread) };
    if handle.is_null() {
        // SAFETY: reads a variable of the calling thread.
        return unsafe { GetLastError() } == ERROR_INVALID_PARAMETER;
    }
    // SAFETY: the handle just opened; without a time to wait.
    let has_ended = unsafe { WaitForSingleObject(handle, 0) } == WAIT_OBJECT_0;
    // SAFETY: the same, which is not used any more.
    unsafe { CloseHandle(handle) };
    has_ended
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_is_gone_when_it_has_ended_and_not_before() {
        let all_know = Barrier::new(2);
        let number = AtomicU32::new(0);
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                number.store(thread_at_home().expect("a number").get(), Relaxed);
                all_know.wait();
                all_know.wait();
            });
            all_know.wait();
            let number = number.load(Relaxed);
            assert!(!is_gone(pid(), number));
            all_know.wait();
            // The handle in `other` keeps the number from being used again.
            while !is_gone(pid(), number) {
                thread::yield_now();
            }
            other.join().expect("no panic");
        });
    }

    #[test]
    fn memory_is_zero_at_the_start_of_a_page_and_can_be_given_back() {
        let memory = map_wiped(5000).expect("memory");
        assert_eq!(memory.addr().get() % 4096, 0);
        // SAFETY: mapped above, and that long.
        let bytes = unsafe { core::slice::from_raw_parts(memory.as_ptr(), 5000) };
        assert!(bytes.iter().all(|&byte| byte == 0));
        // SAFETY: mapped above, and not used from here on.
        unsafe { unmap(memory, 5000) };
    }
}
