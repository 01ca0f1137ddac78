//! Interrupts a call at a chosen instruction. With the processor's trap flag, the kernel
//! sends SIGTRAP after each instruction. With a hardware breakpoint, it sends SIGTRAP only
//! at the instruction of the breakpoint.

use std::arch::asm;
use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::ptr;

use perf_event::events::Breakpoint;
use perf_event::{Builder, Counter};

/// An instruction that is interrupted: the one at `address` when it is executed for the `nth`
/// time.
#[derive(Clone, Copy)]
pub struct Target {
    /// How many instructions of the call come before it.
    pub step: usize,
    /// Where it is.
    pub address: u64,
    /// It is the n-th time that the call executes it. The first is 1.
    pub nth: u64,
}

/// Returns the targets of a call, which executed the instructions at `steps` in this order when
/// the trap flag was set.
#[must_use]
pub fn targets(steps: &[u64]) -> Vec<Target> {
    let mut times = BTreeMap::new();
    let mut targets: Vec<Target> = vec![];
    for (step, &address) in steps.iter().enumerate() {
        // The trap flag stops at each turn of a string instruction, and a breakpoint stops
        // there once.
        if targets.last().is_none_or(|last| last.address != address) {
            let nth = times.entry(address).or_insert(0);
            *nth += 1;
            targets.push(Target {
                step,
                address,
                nth: *nth,
            });
        }
    }
    targets
}

/// Sets or clears the trap flag of the calling thread.
#[inline(always)]
pub fn trap(on: bool) {
    // SAFETY: changes one flag. The stack that it uses is below the red zone.
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

/// Returns a breakpoint that sends SIGTRAP when the calling thread is about to execute the
/// instruction at `address` for the `nth` time. It has no effect until [`switch`].
///
/// Returns `None` where the virtual machine has no breakpoints, or where the process may
/// not use them.
#[must_use]
pub fn breakpoint(address: u64, nth: u64) -> Option<Counter> {
    Builder::new(Breakpoint::execute(address))
        .sample_period(nth)
        .sigtrap(true)
        .remove_on_exec(true)
        .build()
        .ok()
}

/// Switches a breakpoint on or off. It calls no function, because the breakpoint might
/// count that function's instructions.
#[inline(always)]
pub fn switch(breakpoint: &Counter, on: bool) {
    // PERF_EVENT_IOC_ENABLE and _DISABLE (linux/perf_event.h).
    let request = libc::_IO(b'$' as u32, u32::from(!on));
    // SAFETY: ioctl(2) with a request that takes no memory.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") libc::SYS_ioctl => _,
            in("rdi") breakpoint.as_raw_fd(),
            in("rsi") request,
            in("rdx") 0,
            out("rcx") _,
            out("r11") _,
        );
    }
}

/// A signal handler with the third argument of `SA_SIGINFO`.
pub type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// Makes `handler` the handler of `signal`. The signal may also interrupt the handler.
pub fn on(signal: i32, handler: Handler) {
    // SAFETY: a zeroed action is valid, and the handler has the type that the
    // flag asks for.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        assert_eq!(
            libc::sigaction(signal, &raw const action, ptr::null_mut()),
            0
        );
    }
}

/// Returns a register of the interrupted code.
///
/// # Safety
///
/// `context` is the handler's third argument, and the handler has not returned.
pub unsafe fn register<'a>(context: *mut libc::c_void, which: i32) -> &'a mut i64 {
    // SAFETY: the kernel's record of the interrupted registers.
    unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[which as usize] }
}

/// Sets or clears the trap flag of the interrupted code.
///
/// # Safety
///
/// As for [`register`].
pub unsafe fn trap_later(context: *mut libc::c_void, on: bool) {
    // SAFETY: the caller vouches for `context`.
    let flags = unsafe { register(context, libc::REG_EFL) };
    *flags = *flags & !0x100 | i64::from(on) << 8;
}
