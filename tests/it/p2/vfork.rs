//! Children that share their parent's memory until they end or exec: nothing is
//! wiped, and the parent goes on with what the child left.
//!
//! The parent is suspended meanwhile, so the child's calls are like calls of a
//! function of the parent. `CLONE_VM` with a stack and thread-local storage of
//! its own is a thread. `CLONE_VM` without them, and without `CLONE_VFORK`, is
//! two threads of control in one thread's state: nothing is promised there.

#[cfg(target_arch = "x86_64")]
use std::arch::asm;
use std::env;
use std::ffi::{CString, c_void};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr;

use fork_safe_uuid::source::TrackedDevice;
use fork_safe_uuid::{Generator, Uuid, fill_v4};
use support::descriptors::{descriptors, device_number};
use support::harness::{SCENARIO, leave_out};
use support::ok;
use support::process::{pipe, wait};
use support::sandbox::refuse_getrandom;
use support::uuids::{assert_all_good, make};

use crate::guest::on_x86_64;

support::scenarios![
    a_vfork_child_and_its_parent_repeat_nothing {
        possible: on_x86_64
    },
    a_clone_on_its_own_stack_and_its_parent_repeat_nothing,
    a_vfork_child_with_the_device_repeats_nothing {
        possible: on_x86_64
    },
    a_vfork_child_that_opens_the_device_first_misleads_nobody {
        possible: on_x86_64
    },
    vfork_children_cost_their_parent_no_descriptor {
        possible: on_x86_64
    },
    a_spawned_program_begins_anew,
];

/// How a child is made that shares memory; returns when it has ended.
pub type Share = unsafe fn(extern "C" fn(*mut c_void) -> i32, *mut c_void) -> i32;

/// vfork(2), in assembly: a compiler does not know that the call returns twice,
/// the second time to a stack that the child has used.
///
/// # Safety
///
/// `body` may have `argument`.
#[cfg(target_arch = "x86_64")]
pub unsafe fn vfork(body: extern "C" fn(*mut c_void) -> i32, argument: *mut c_void) -> i32 {
    let pid: i64;
    // SAFETY: the child calls `body` below what the parent has on the stack,
    // which is aligned, and ends; to the parent, the block is a function call.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov rdi, r12",
            "call r13",
            "mov edi, eax",
            "mov eax, {exit}",
            "syscall",
            "2:",
            exit = const libc::SYS_exit_group,
            inlateout("rax") libc::SYS_vfork => pid,
            in("r12") argument,
            in("r13") body,
            clobber_abi("C"),
        );
    }
    ok(pid as i32)
}

#[cfg(not(target_arch = "x86_64"))]
pub unsafe fn vfork(_: extern "C" fn(*mut c_void) -> i32, _: *mut c_void) -> i32 {
    unreachable!("scenarios ask `on_x86_64`")
}

/// clone(2) on a stack of its own, with the parent's thread-local storage.
///
/// # Safety
///
/// `body` may have `argument`.
pub unsafe fn clone_vm(body: extern "C" fn(*mut c_void) -> i32, argument: *mut c_void) -> i32 {
    let mut stack = vec![0_u128; 1 << 14];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the end of a stack that is there until the child has ended, and
    // the parent does not run before.
    ok(unsafe { libc::clone(body, stack.as_mut_ptr_range().end.cast(), flags, argument) })
}

/// Runs `body` in a child that shares this memory.
#[track_caller]
pub fn in_sharing<F: FnMut()>(share: Share, mut body: F) {
    extern "C" fn call<F: FnMut()>(body: *mut c_void) -> i32 {
        // SAFETY: the closure below, which nothing else uses meanwhile. A panic
        // ends the child, for it cannot leave an `extern "C"` function.
        unsafe { (*body.cast::<F>())() };
        0
    }
    let parent = std::process::id();
    let mut shared = false;
    let mut body = || {
        assert_ne!(std::process::id(), parent);
        shared = true;
        body();
    };
    fn start<F: FnMut()>(share: Share, body: &mut F) -> i32 {
        // SAFETY: `call` takes this closure.
        unsafe { share(call::<F>, ptr::from_mut(body).cast()) }
    }
    let pid = start(share, &mut body);
    assert_eq!(wait(pid), 0, "the child failed");
    if !shared {
        leave_out("memory that a child shares");
    }
}

/// A generation each: child, parent, child …; one by one and many at once, from
/// the thread's pool, from a generator's and without one.
fn family(share: Share) -> Vec<Uuid> {
    let (generator, unbuffered) = (Generator::new(), Generator::unbuffered());
    let mut ids = vec![];
    for turn in 0..20 {
        let mut all = || {
            ids.extend(make(100));
            let mut many = [Uuid::nil(); 100];
            fill_v4(&mut many);
            ids.extend(many);
            // Past the next seed.
            let mut many = vec![Uuid::nil(); 5000];
            fill_v4(&mut many);
            ids.extend(many);
            ids.extend([generator.new_v4(), unbuffered.new_v4()]);
        };
        match turn % 2 {
            0 => in_sharing(share, all),
            _ => all(),
        }
    }
    assert_eq!(ids.len(), 20 * 5202, "what the child made is there");
    ids
}

fn a_vfork_child_and_its_parent_repeat_nothing() {
    assert_all_good(&family(vfork));
    assert_eq!(device_number(), None);
}

fn a_clone_on_its_own_stack_and_its_parent_repeat_nothing() {
    assert_all_good(&family(clone_vm));
    refuse_getrandom();
    assert_all_good(&family(clone_vm));
}

fn a_vfork_child_with_the_device_repeats_nothing() {
    refuse_getrandom();
    assert_all_good(&family(vfork));
}

/// A record that the child left would be of a table of descriptors that is gone.
fn a_vfork_child_that_opens_the_device_first_misleads_nobody() {
    refuse_getrandom();
    let mut ids = vec![];
    let mut after = Some(0);
    in_sharing(vfork, || {
        ids.extend(make(100));
        after = device_number();
    });
    assert_eq!(after, None, "the child closes what it opened");
    assert_eq!(fork_safe_uuid::status().device(), TrackedDevice::None);
    // What the child has made ready is the parent's, too.
    fork_safe_uuid::reseed();
    ids.extend(make(1));
    let number = device_number().expect("the parent's own");
    let process = std::process::id();
    let own = TrackedDevice::Open { number, process };
    assert_eq!(fork_safe_uuid::status().device(), own);
    // And the other way: the child leaves the parent's alone.
    let mut seen = own;
    in_sharing(vfork, || {
        seen = fork_safe_uuid::status().device();
        fork_safe_uuid::reseed();
        ids.extend(make(100));
        assert_eq!(device_number(), Some(number));
    });
    assert_eq!(seen, TrackedDevice::OtherProcess { process });
    assert_eq!(fork_safe_uuid::status().device(), own);
    assert_all_good(&ids);
}

fn vfork_children_cost_their_parent_no_descriptor() {
    refuse_getrandom();
    let mut ids = make(1);
    let before = descriptors();
    for _ in 0..100 {
        in_sharing(vfork, || {
            fork_safe_uuid::reseed();
            ids.extend(make(2));
        });
        fork_safe_uuid::reseed();
        ids.extend(make(2));
    }
    assert_eq!(descriptors(), before);
    assert_all_good(&ids);
}

/// Tells this program that it is the spawned one, and its pipe's number.
const SPAWNED: &str = "FORK_SAFE_UUID_SPAWNED";

fn be_the_spawned(mut pipe: File) {
    assert_eq!(device_number(), None, "inherited");
    assert_eq!(fork_safe_uuid::status().source(), None);
    for id in make(1000) {
        pipe.write_all(id.as_bytes()).expect("a pipe");
    }
    assert!(device_number().is_some(), "the filter is inherited");
}

/// posix_spawn(3), which glibc makes of `CLONE_VM | CLONE_VFORK` and exec.
fn a_spawned_program_begins_anew() {
    if let Ok(number) = env::var(SPAWNED) {
        let number = number.parse().expect("a number");
        // SAFETY: handed down to this program, and nothing else owns it.
        return be_the_spawned(unsafe { File::from_raw_fd(number) });
    }
    refuse_getrandom();
    let mut ids = make(100);
    assert!(device_number().is_some());
    let text = |text: &str| CString::new(text).expect("no zero byte");
    let program = env::current_exe().expect("proc");
    let program = text(program.to_str().expect("UTF-8"));
    for _ in 0..2 {
        let (mut output, input) = pipe();
        // SAFETY: unlike `input`, the program inherits the duplicate.
        let number = ok(unsafe { libc::dup(input.as_raw_fd()) });
        drop(input);
        let scenario = env::var(SCENARIO).expect("in a scenario");
        let variables = [
            text(&format!("{SCENARIO}={scenario}")),
            text(&format!("{SPAWNED}={number}")),
        ];
        let mut pid = 0;
        // SAFETY: strings with a final zero byte, in lists with a final null.
        let errno = unsafe {
            libc::posix_spawn(
                &raw mut pid,
                program.as_ptr(),
                ptr::null(),
                ptr::null(),
                [program.as_ptr().cast_mut(), ptr::null_mut()].as_ptr(),
                [
                    variables[0].as_ptr().cast_mut(),
                    variables[1].as_ptr().cast_mut(),
                    ptr::null_mut(),
                ]
                .as_ptr(),
            )
        };
        assert_eq!(errno, 0);
        // SAFETY: made above.
        unsafe { libc::close(number) };
        ids.extend(make(1000));
        let mut bytes = vec![];
        output.read_to_end(&mut bytes).expect("a pipe");
        let status = wait(pid);
        assert_eq!((status, bytes.len()), (0, 16_000));
        ids.extend(bytes.as_chunks().0.iter().map(|&id| Uuid::from_bytes(id)));
    }
    assert_all_good(&ids);
}
