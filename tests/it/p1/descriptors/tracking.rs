//! Each process keeps at most one descriptor of the device, which it tracks.

use std::fs::File;
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use fork_safe_uuid::Generator;
use fork_safe_uuid::source::{Device, TrackedDevice};
use support::descriptors::device_number;
use support::harness::{step, turns};
use support::ok;
use support::process::{fork, in_copy, wait};
use support::sandbox::{refuse, refuse_getrandom};
use support::uuids::{assert_all_good, make};

use super::devices;
use crate::arena::Arena;
use crate::p2::vfork::{clone_vm, in_sharing};
use crate::p3::opening::let_prepare_wait_longer;

/// Each generation makes a UUID with the device, forks, and waits for its child.
pub fn a_thousand_generations_keep_one_descriptor_each() {
    let generations = turns(1000);
    refuse_getrandom();
    let arena = Arena::new(generations);
    for generation in 0..generations {
        step(format_args!("generation {generation}"));
        let mut one = make(1);
        assert_eq!(devices().len(), 1, "generation {generation}");
        arena.claim(1).expect("room").swap_with_slice(&mut one);
        // SAFETY: the child continues with the next generation, and the parent waits for it.
        // The pointer leads to an int.
        unsafe {
            let pid = ok(libc::fork());
            if pid != 0 {
                let mut status = 0;
                ok(libc::waitpid(pid, &raw mut status, 0));
                step(format_args!("generation {generation} has ended"));
                if generation == 0 {
                    assert_eq!(status, 0, "a generation failed");
                    assert_all_good(arena.into_ids());
                    return;
                }
                libc::_exit(i32::from(status != 0));
            }
        }
    }
    // SAFETY: the last generation ends without destructors, as the others do.
    unsafe { libc::_exit(0) };
}

pub fn a_child_with_a_full_descriptor_table_replaces_the_inherited_descriptor() {
    refuse_getrandom();
    let mut ids = make(1);
    let number = device_number().expect("a descriptor of the device");
    ids.extend(in_copy(fork, || {
        let limit = libc::rlimit {
            rlim_cur: 64,
            rlim_max: 64,
        };
        // SAFETY: the pointer leads to a limit.
        ok(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) });
        let mut files = vec![];
        while let Ok(file) = File::open("/dev/null") {
            files.push(file);
        }
        let ids = make(10);
        drop(files);
        assert_eq!(devices(), [number]);
        ids
    }));
    assert_all_good(&ids);
}

/// Calls clone(2) with `CLONE_FILES`: parent and child share the table of descriptors, but not
/// the memory.
fn clone_files() -> i32 {
    let flags = libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: apart from the table this is a fork, and the scenario has one thread.
    unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) as i32 }
}

pub fn children_that_share_descriptors_leave_none_behind() {
    refuse_getrandom();
    let mut ids = make(1);
    let number = device_number().expect("a descriptor of the device");
    let arena = Arena::new(100);
    for _ in 0..100 {
        let pid = ok(clone_files());
        if pid == 0 {
            let room = arena.claim(1).expect("room");
            room.fill_with(fork_safe_uuid::new_v4);
            // SAFETY: the child ends without running its parent's destructors.
            unsafe { libc::_exit(0) };
        }
        assert_eq!(wait(pid), 0, "the child failed");
        assert_eq!(devices(), [number]);
        fork_safe_uuid::reseed();
        ids.extend(make(1));
    }
    ids.extend_from_slice(arena.into_ids());
    assert_eq!(ids.len(), 201);
    assert_all_good(&ids);
}

/// If two threads find at the same time that the number was closed, both open the device, and
/// one of them must close its descriptor.
pub fn a_number_closed_under_four_threads_leaves_one_descriptor() {
    refuse_getrandom();
    for round in 0..turns(300) {
        step(format_args!("round {round}"));
        in_copy(fork, || {
            let generator = || Generator::new().with_source(Device);
            black_box(generator().new_v4());
            let number = device_number().expect("a descriptor of the device");
            let begin = Barrier::new(5);
            let closed = AtomicBool::new(false);
            let draw = || black_box(generator().new_v4());
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        begin.wait();
                        while !closed.load(Relaxed) {
                            draw();
                        }
                        (0..50).for_each(|_| _ = draw());
                    });
                }
                begin.wait();
                // SAFETY: only the crate uses the number, and it must notice that it was
                // closed.
                unsafe { libc::close(number) };
                closed.store(true, Relaxed);
            });
            assert_eq!(
                devices().len(),
                1,
                "the process has more than the tracked one"
            );
            assert!(fork_safe_uuid::status().device_is_open());
            vec![]
        });
    }
}

/// The parent was forked itself, so that its record was wiped. Its child shares the new
/// record.
pub fn a_vfork_child_leaves_a_forked_parents_record_alone() {
    refuse_getrandom();
    let mut ids = make(1);
    ids.extend(in_copy(fork, || {
        let mut ids = vec![];
        in_sharing(clone_vm, || ids.extend(make(10)));
        fork_safe_uuid::reseed();
        ids.extend(make(10));
        let number = device_number().expect("one");
        let process = std::process::id();
        assert_eq!(
            fork_safe_uuid::status().device(),
            TrackedDevice::Open { number, process }
        );
        ids
    }));
    assert_all_good(&ids);
}

/// Because the memory is not wiped, the child has the record of its parent.
pub fn prepare_opens_a_descriptor_in_a_child_whose_memory_is_not_wiped() {
    refuse(&[libc::SYS_madvise], libc::EINVAL);
    refuse_getrandom();
    fork_safe_uuid::prepare().expect("the device");
    let parents = fork_safe_uuid::status().device();
    let mut ids = in_copy(fork, || {
        let process = std::process::id();
        // A draw does not change the record.
        let mut ids = make(1);
        let status = fork_safe_uuid::status().device();
        assert!(
            matches!(status, TrackedDevice::OtherProcess { .. }),
            "{status}"
        );
        let prepared = fork_safe_uuid::prepare().expect("the device").device();
        assert!(matches!(prepared, TrackedDevice::Open { process: own, .. } if own == process));
        refuse(&[libc::SYS_openat], libc::EPERM);
        ids.extend(make(100));
        ids
    });
    assert_eq!(fork_safe_uuid::status().device(), parents);
    ids.extend(make(10));
    assert_all_good(&ids);
}

pub fn prepare_beside_threads_that_draw_opens_a_descriptor_that_stays() {
    refuse_getrandom();
    fork_safe_uuid::prepare().expect("the device");
    for round in 0..turns(300) {
        step(format_args!("round {round}"));
        in_copy(fork, || {
            let_prepare_wait_longer();
            let begin = Barrier::new(4);
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        begin.wait();
                        black_box(fork_safe_uuid::new_v4());
                    });
                }
                begin.wait();
                let status = fork_safe_uuid::prepare().expect("the device");
                assert!(status.device_is_open(), "{status}");
            });
            refuse(&[libc::SYS_openat], libc::EPERM);
            let id = Generator::unbuffered().try_new_v4().expect("the device");
            vec![id]
        });
    }
}
