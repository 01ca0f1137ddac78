//! Windows, which has no fork, so that any memory will do.
#![allow(unsafe_code)]

use core::num::NonZeroU32;
use core::ptr::{self, NonNull};

use windows_sys::Win32::Foundation::*;
use windows_sys::Win32::System::{Memory::*, Threading::*};

pub(crate) fn map_wiped(len: usize) -> Option<NonNull<u8>> {
    let how = MEM_RESERVE | MEM_COMMIT;
    // SAFETY: asks for new memory at an address of the system's choice.
    NonNull::new(unsafe { VirtualAlloc(ptr::null(), len, how, PAGE_READWRITE) }.cast())
}

/// # Safety
///
/// Nothing may refer to the memory any more.
pub(crate) unsafe fn unmap(memory: NonNull<u8>, _: usize) {
    // SAFETY: what `map_wiped` returned, which is no longer used.
    unsafe { VirtualFree(memory.as_ptr().cast(), 0, MEM_RELEASE) };
}

pub(crate) fn pid() -> u32 {
    std::process::id()
}

/// A system with less than a million threads and processes has no larger numbers.
pub(crate) fn thread_at_home() -> Option<NonZeroU32> {
    // SAFETY: takes no argument and cannot fail.
    let thread = unsafe { GetCurrentThreadId() };
    NonZeroU32::new(thread).filter(|_| (thread | pid()) >> 22 == 0)
}

/// Not for certain where another thread has the number now, in whichever process.
pub(crate) fn is_gone(_: u32, thread: u32) -> bool {
    // SAFETY: only numbers are passed, and the handle that was opened.
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
