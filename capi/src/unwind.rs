//! Stands in for the unwinder, which a library that aborts on a panic never
//! needs: a panic prints its message without a backtrace.
//!
//! The standard library is compiled for unwinding and refers to one all the
//! same. The unwinder of the C compiler is not always of the same C library:
//! Debian's `musl-gcc` links one that only glibc can serve.

use core::ffi::{c_int, c_void};
use std::process;

/// `_URC_END_OF_STACK`.
const END_OF_STACK: c_int = 5;

/// Finds no frame.
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
