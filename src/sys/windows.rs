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

/// # Safety
///
/// None: nothing is done.
pub(crate) unsafe fn mark_wiped(_: NonNull<u8>, _: usize) -> bool {
    false
}

pub(crate) fn pid() -> u32 {
    std::process::id()
}

/// Larger numbers than those of 22 bits are those of a system with a million threads.
pub(crate) fn thread_at_home() -> Option<NonZeroU32> {
    // SAFETY: takes no argument and cannot fail.
    let thread = unsafe { GetCurrentThreadId() };
    NonZeroU32::new(thread).filter(|_| (thread | pid()) >> 22 == 0)
}

/// Not certain where the number is another thread's now, in whichever process, or
/// the thread may not be opened.
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
