//! getrandom(2), without a function of the libc where the instruction is known: that
//! would be two more pages of memory for a forked child to map, that of the function
//! and that of errno's, and each takes longer than the call.

use core::ffi::c_long;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use core::arch::asm;

/// Writes at most `dest.len()` bytes, and returns how many, or the errno. Leaves the
/// thread's errno as it is.
pub(crate) fn getrandom(dest: &mut [u8]) -> Result<usize, i32> {
    let result = call(dest);
    // The kernel returns the errno as a negative number of at least -4095.
    usize::try_from(result).map_err(|_| -result as i32)
}

#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
fn call(dest: &mut [u8]) -> c_long {
    let result;
    // SAFETY: the kernel writes at most `len` bytes to `dest`, which is borrowed
    // mutably and that long. It changes the declared registers.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") libc::SYS_getrandom => result,
            in("rdi") dest.as_mut_ptr(),
            in("rsi") dest.len(),
            in("rdx") 0,
            out("rcx") _,
            out("r11") _,
            options(nostack)
        );
    }
    result
}

#[cfg(target_arch = "aarch64")]
fn call(dest: &mut [u8]) -> c_long {
    let result;
    // SAFETY: the kernel writes at most `len` bytes to `dest`, which is borrowed
    // mutably and that long. It changes no other register.
    unsafe {
        asm!(
            "svc 0",
            in("x8") libc::SYS_getrandom,
            inlateout("x0") dest.as_mut_ptr() => result,
            in("x1") dest.len(),
            in("x2") 0,
            options(nostack)
        );
    }
    result
}

#[cfg(not(any(
    all(target_arch = "x86_64", target_pointer_width = "64"),
    target_arch = "aarch64"
)))]
fn call(dest: &mut [u8]) -> c_long {
    super::keeping_errno(|| {
        // SAFETY: the kernel writes at most `len` bytes to `dest`, which is borrowed
        // mutably and that long.
        let result =
            unsafe { libc::syscall(libc::SYS_getrandom, dest.as_mut_ptr(), dest.len(), 0) };
        match result {
            0.. => result,
            _ => -c_long::from(super::errno()),
        }
    })
}
