//! Replaces the unwinder, which this library does not need: a panic ends the process without
//! a backtrace.
//!
//! The standard library is compiled for unwinding and refers to an unwinder. The one of the
//! C compiler may be built for another C library: Debian's `musl-gcc` links one that needs
//! glibc.

use core::ffi::{c_int, c_void};
use std::process;

/// `_URC_END_OF_STACK` of `<unwind.h>`.
const END_OF_STACK: c_int = 5;

/// Reports the end of the stack, as if there were no frame.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_frame: *const c_void, _argument: *mut c_void) -> c_int {
    END_OF_STACK
}

/// Defines functions that only an unwinder calls.
macro_rules! unreachable {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> ! {
            process::abort()
        }
    )*};
}

unreachable! {
    _Unwind_GetDataRelBase _Unwind_GetIP _Unwind_GetIPInfo _Unwind_GetLanguageSpecificData
    _Unwind_GetRegionStart _Unwind_GetTextRelBase _Unwind_Resume _Unwind_SetGR _Unwind_SetIP
}
