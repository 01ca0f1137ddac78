//! Filters that look only at the numbers of system calls.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// What musl's open(3) calls, on architectures that have open(2).
#[cfg(any(target_arch = "x86_64", target_arch = "x86", target_arch = "arm"))]
pub const SYS_OPEN: libc::c_long = libc::SYS_open;
/// What musl's open(3) calls, on architectures that do not have open(2).
#[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "arm")))]
pub const SYS_OPEN: libc::c_long = libc::SYS_openat;

/// What mmap(3) calls.
#[cfg(target_pointer_width = "64")]
pub const SYS_MMAP: libc::c_long = libc::SYS_mmap;
/// What mmap(3) calls.
#[cfg(target_pointer_width = "32")]
pub const SYS_MMAP: libc::c_long = libc::SYS_mmap2;

/// Returns a filter that does `action` to `calls` and `otherwise` to all other calls, or
/// `None` if `seccompiler` does not know this architecture.
// The number of a call is as wide as a register.
#[allow(clippy::useless_conversion)]
pub fn filter(
    calls: &[libc::c_long],
    action: SeccompAction,
    otherwise: SeccompAction,
) -> Option<BpfProgram> {
    // `seccompiler` does not know 32-bit x86. There, a filter that looks only at numbers needs
    // another architecture in its second instruction. Its third instruction would kill
    // processes of other architectures, such as a 64-bit program that is executed.
    const AUDIT_ARCH_I386: u32 = 0x4000_0003;
    let on_x86 = cfg!(target_arch = "x86");
    let arch = if on_x86 { "x86_64" } else { ARCH };
    let rules: BTreeMap<_, _> = calls
        .iter()
        .map(|&call| (i64::from(call), vec![]))
        .collect();
    let filter = SeccompFilter::new(rules, otherwise, action, arch.try_into().ok()?);
    let mut program: BpfProgram = filter.and_then(TryInto::try_into).expect("a filter");
    if on_x86 {
        program[1].k = AUDIT_ARCH_I386;
        program[2].k = libc::SECCOMP_RET_ALLOW;
    }
    Some(program)
}

/// Puts a filter over the calling thread that answers `calls` with `errno`.
pub fn refuse(calls: &[libc::c_long], errno: i32) {
    let action = SeccompAction::Errno(errno as u32);
    let filter = filter(calls, action, SeccompAction::Allow).expect("a known architecture");
    seccompiler::apply_filter(&filter).expect("seccomp");
}
