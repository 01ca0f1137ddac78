//! getrandom(2), by the instruction itself where this file has it. A function of the libc would
//! make a forked child map two more pages of memory, one for the function and one for errno,
//! and each takes longer than the call.

use core::ffi::c_long;

/// Writes at most `dest.len()` bytes, and returns how many, or the errno. It leaves the
/// thread's own errno as it is.
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
        core::arch::asm!(
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
        core::arch::asm!(
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
