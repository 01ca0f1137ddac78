//! What the processor provides, on each system.

/// Intel recommends this many attempts (Software Developer's Manual, volume 1, section
/// 7.3.17.1).
#[allow(dead_code)] // Some processors have no such instruction.
const TRIES: u32 = 10;

/// Returns 64 bits from RDRAND, or `None` if there is no such instruction, or it has none
/// ready.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
#[inline]
pub(crate) fn hardware_random() -> Option<u64> {
    if std::arch::is_x86_feature_detected!("rdrand") {
        // SAFETY: the processor has the instruction.
        (0..TRIES).find_map(|_| unsafe { rdrand() })
    } else {
        None
    }
}

/// # Safety
///
/// The processor has the instruction.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "rdrand")]
unsafe fn rdrand() -> Option<u64> {
    let mut number = 0;
    // SAFETY: the caller's promise; safe without this block since Rust 1.90.
    #[allow(unused_unsafe)]
    let is_ready = unsafe { core::arch::x86_64::_rdrand64_step(&mut number) == 1 };
    is_ready.then_some(number)
}

/// # Safety
///
/// The processor has the instruction.
#[cfg(target_arch = "x86")]
#[target_feature(enable = "rdrand")]
unsafe fn rdrand() -> Option<u64> {
    let half = || {
        let mut number = 0;
        // SAFETY: the caller's promise; safe without this block since Rust 1.90.
        #[allow(unused_unsafe)]
        let is_ready = unsafe { core::arch::x86::_rdrand32_step(&mut number) == 1 };
        is_ready.then_some(u64::from(number))
    };
    Some(half()? << 32 | half()?)
}

/// Returns 64 bits from RNDR, or `None` if there is no such register, or it has none ready.
#[cfg(all(
    target_arch = "aarch64",
    any(target_os = "linux", target_os = "android")
))]
#[inline]
pub(crate) fn hardware_random() -> Option<u64> {
    /// Linux, arch/arm64/include/uapi/asm/hwcap.h.
    const HWCAP2_RNG: libc::c_ulong = 1 << 16;
    // SAFETY: looks a number up in a table.
    if unsafe { libc::getauxval(libc::AT_HWCAP2) } & HWCAP2_RNG == 0 {
        return None;
    }
    (0..TRIES).find_map(|_| {
        let (number, is_ready): (u64, u64);
        // SAFETY: reads a register that the processor has. The zero flag is set if it has no
        // number ready.
        unsafe {
            core::arch::asm!(
                "mrs {number}, s3_3_c2_c4_0",
                "cset {is_ready}, ne",
                number = out(reg) number,
                is_ready = out(reg) is_ready,
                options(nomem, nostack)
            );
        }
        (is_ready == 1).then_some(number)
    })
}

#[cfg(not(any(
    target_arch = "x86",
    target_arch = "x86_64",
    all(
        target_arch = "aarch64",
        any(target_os = "linux", target_os = "android")
    )
)))]
pub(crate) fn hardware_random() -> Option<u64> {
    None
}

/// Returns whether there are instructions for AES. `std` is not asked, because it may look
/// getauxval(3) up with dlsym(3), which takes a lock.
#[cfg(all(
    target_arch = "aarch64",
    any(target_os = "linux", target_os = "android")
))]
pub(crate) fn has_aes() -> bool {
    /// Linux, arch/arm64/include/uapi/asm/hwcap.h.
    const HWCAP_AES: libc::c_ulong = 1 << 3;
    // SAFETY: looks a number up in a table.
    unsafe { libc::getauxval(libc::AT_HWCAP) & HWCAP_AES != 0 }
}

#[cfg(all(
    target_arch = "aarch64",
    not(any(target_os = "linux", target_os = "android"))
))]
pub(crate) fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}
