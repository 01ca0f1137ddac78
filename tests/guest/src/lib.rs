//! Stepping through a call by the processor's trap flag: the kernel sends
//! SIGTRAP after each instruction.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::arch::asm;
use std::ptr;

/// Sets or clears the trap flag of the calling thread.
#[inline(always)]
pub fn trap(on: bool) {
    // SAFETY: changes one flag, by way of the stack below the red zone.
    unsafe {
        if on {
            asm!(
                "sub rsp, 128",
                "pushfq",
                "or dword ptr [rsp], 0x100",
                "popfq",
                "add rsp, 128"
            );
        } else {
            asm!(
                "sub rsp, 128",
                "pushfq",
                "and dword ptr [rsp], -257",
                "popfq",
                "add rsp, 128"
            );
        }
    }
}

/// A signal handler with the third argument of `SA_SIGINFO`.
pub type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// Has `handler` called after each instruction.
pub fn on_trap(handler: Handler) {
    // SAFETY: a zeroed action is valid, and the handler has the type that the
    // flag asks for.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(
            libc::sigaction(libc::SIGTRAP, &raw const action, ptr::null_mut()),
            0
        );
    }
}

/// Has the interrupted code go on without the trap flag.
///
/// # Safety
///
/// `context` is the handler's third argument.
pub unsafe fn trap_no_more(context: *mut libc::c_void) {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel's record of the interrupted registers.
    unsafe { (*context).uc_mcontext.gregs[libc::REG_EFL as usize] &= !0x100 };
}
