//! Clears the registers that a called function need not preserve.
#![allow(unsafe_code)]

#[cfg(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64"))]
use core::arch::asm;

// On Windows, too, this clears the registers that "sysv64" need not preserve. The compiler saves
// those that "C" preserves there.
#[cfg(target_arch = "x86_64")]
macro_rules! clear {
    ($($line:literal),*) => { asm!($($line),*, clobber_abi("sysv64")) };
}
#[cfg(target_arch = "x86")]
macro_rules! clear {
    ($($line:literal),*) => { asm!($($line),*, clobber_abi("C")) };
}

/// Clears what a cipher leaves in registers: its round keys. A forked child or a reader of a
/// core dump could compute the UUIDs from them that are still to be handed out.
///
/// `clobber_abi` tells the compiler that these registers have lost their values.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
pub(crate) fn clear_registers() {
    use std::arch::is_x86_feature_detected as has;

    // SAFETY: changes registers that are declared as clobbered, and flags, by
    // instructions that the processor has.
    unsafe {
        if has!("avx") {
            clear!("vzeroall");
        } else {
            clear!(".irp n, 0,1,2,3,4,5,6,7", "pxor xmm\\n, xmm\\n", ".endr");
            #[cfg(target_arch = "x86_64")]
            clear!(
                ".irp n, 8,9,10,11,12,13,14,15",
                "pxor xmm\\n, xmm\\n",
                ".endr"
            );
        }
        #[cfg(target_arch = "x86_64")]
        if has!("avx512f") {
            clear!(
                ".irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
                "vpxord zmm\\n, zmm\\n, zmm\\n",
                ".endr"
            );
        }
        #[cfg(target_arch = "x86_64")]
        clear!(
            ".irp r, eax,ecx,edx,esi,edi,r8d,r9d,r10d,r11d",
            "xor \\r, \\r",
            ".endr"
        );
    }
}

/// Does the same for 64-bit Arm. A function must preserve the lower halves of the vector
/// registers 8 to 15, so only their upper halves are cleared.
#[cfg(target_arch = "aarch64")]
pub(crate) fn clear_registers() {
    // SAFETY: changes registers that are declared as clobbered.
    unsafe {
        asm!(
            ".irp n, 0,1,2,3,4,5,6,7,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
            "movi v\\n\\().2d, #0",
            ".endr",
            ".irp n, 8,9,10,11,12,13,14,15",
            "mov v\\n\\().d[1], xzr",
            ".endr",
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
            "mov x\\n, xzr",
            ".endr",
            clobber_abi("C")
        );
    }
}

/// Does nothing, because the cipher is software here and works in few registers, which the code
/// that follows overwrites.
#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn clear_registers() {}
