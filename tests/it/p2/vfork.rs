//! Children that share their parent's memory until they end or execute a program. Nothing is
//! wiped, and the parent continues with the pool that the child used.
//!
//! The parent is suspended until then, so that the child is like a function that the parent
//! calls. With a separate stack and separate thread-local storage, a child of `CLONE_VM` is a
//! thread. Without them and without `CLONE_VFORK`, two processes run in the state of one
//! thread, and the crate promises nothing.

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
    a_vfork_child_that_opens_the_device_leaves_no_record {
        possible: on_x86_64
    },
    vfork_children_cost_their_parent_no_descriptor {
        possible: on_x86_64
    },
    a_spawned_program_inherits_no_state,
];

/// Runs a function in a child that shares memory, and returns when the child has ended.
pub type Share = unsafe fn(extern "C" fn(*mut c_void) -> i32, *mut c_void) -> i32;

/// Runs `body` in a child that vfork(2) makes. This is assembly, because a compiler does not
/// know that the call returns twice, the second time to a stack that the child has used.
///
/// # Safety
///
/// `body` can be called with `argument`.
#[cfg(target_arch = "x86_64")]
pub unsafe fn vfork(body: extern "C" fn(*mut c_void) -> i32, argument: *mut c_void) -> i32 {
    let pid: i64;
    // SAFETY: the stack is aligned. The child calls `body` below what the parent has there,
    // and ends. To the parent, the block is a function call.
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

/// Runs `body` in a child that clone(2) makes. The child has a separate stack, and its
/// parent's thread-local storage.
///
/// # Safety
///
/// `body` can be called with `argument`.
pub unsafe fn clone_vm(body: extern "C" fn(*mut c_void) -> i32, argument: *mut c_void) -> i32 {
    let mut stack = vec![0_u128; 1 << 14];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the pointer is the end of a stack, which lives until the child has ended,
    // because the parent does not run before.
    ok(unsafe { libc::clone(body, stack.as_mut_ptr_range().end.cast(), flags, argument) })
}

/// Runs `body` in a child that `share` makes.
#[track_caller]
pub fn in_sharing<F: FnMut()>(share: Share, mut body: F) {
    extern "C" fn call<F: FnMut()>(body: *mut c_void) -> i32 {
        // SAFETY: the pointer leads to the closure below, which nothing else uses until the
        // child has ended. A panic ends the child, because it cannot leave an `extern "C"`
        // function.
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

/// Makes UUIDs alternately in a child and in the parent: one by one and in bulk from the
/// thread's pool, from a generator, and without a pool.
fn family(share: Share) -> Vec<Uuid> {
    let (generator, unbuffered) = (Generator::new(), Generator::unbuffered());
    let mut ids = vec![];
    for turn in 0..20 {
        let mut all = || {
            ids.extend(make(100));
            let mut many = [Uuid::nil(); 100];
            fill_v4(&mut many);
            ids.extend(many);
            // This request draws a new seed.
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
    assert_eq!(
        ids.len(),
        20 * 5202,
        "the parent has the UUIDs of its children"
    );
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

/// If the child recorded its descriptor, the record would outlive the child's descriptors.
fn a_vfork_child_that_opens_the_device_leaves_no_record() {
    refuse_getrandom();
    let mut ids = vec![];
    let mut after = Some(0);
    in_sharing(vfork, || {
        ids.extend(make(100));
        after = device_number();
    });
    assert_eq!(after, None, "the child closes what it opens");
    assert_eq!(fork_safe_uuid::status().device(), TrackedDevice::None);
    // The parent has UUIDs that the child made ready. `reseed()` makes it draw itself.
    fork_safe_uuid::reseed();
    ids.extend(make(1));
    let number = device_number().expect("the parent's own");
    let process = std::process::id();
    let own = TrackedDevice::Open { number, process };
    assert_eq!(fork_safe_uuid::status().device(), own);
    // A child leaves the descriptor of its parent alone.
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

/// The variable that tells this program that it was spawned, and the number of its pipe.
const SPAWNED: &str = "FORK_SAFE_UUID_SPAWNED";

/// Makes UUIDs in the spawned program.
fn be_the_spawned(mut pipe: File) {
    assert_eq!(device_number(), None, "a descriptor was inherited");
    assert_eq!(fork_safe_uuid::status().source(), None);
    for id in make(1000) {
        pipe.write_all(id.as_bytes()).expect("a pipe");
    }
    assert!(device_number().is_some(), "the filter was not inherited");
}

/// glibc implements posix_spawn(3) by `CLONE_VM | CLONE_VFORK` and execve(2).
fn a_spawned_program_inherits_no_state() {
    if let Ok(number) = env::var(SPAWNED) {
        let number = number.parse().expect("a number");
        // SAFETY: the program inherited this descriptor, and nothing else owns it.
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
        // SAFETY: the call makes a descriptor. Unlike `input`, it is not closed by execve(2).
        let number = ok(unsafe { libc::dup(input.as_raw_fd()) });
        drop(input);
        let scenario = env::var(SCENARIO).expect("in a scenario");
        let variables = [
            text(&format!("{SCENARIO}={scenario}")),
            text(&format!("{SPAWNED}={number}")),
        ];
        let mut pid = 0;
        // SAFETY: the strings end with a zero byte, and the lists with a null pointer.
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
        // SAFETY: the number was made above, and nothing owns it.
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
