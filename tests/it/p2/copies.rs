//! A copy of the process, made in any way, and its original produce different UUIDs.

use std::collections::BTreeSet;

use fork_safe_uuid::{Generator, Uuid};
use support::harness::leave_out;
use support::namespaces::{may_unshare, unshare};
use support::ok;
use support::process::{Copy, fork, in_copy, start_copy};
use support::uuids::{assert_all_good, make};

support::scenarios![
    fork_diverges,
    underscore_fork_diverges,
    raw_clone_diverges,
    clone3_diverges,
    fast_rng_repeats_itself,
    a_separate_generator_diverges,
    a_bulk_request_diverges,
    grandchildren_diverge,
    a_double_fork_diverges,
    pid_1_inside_pid_1_diverges {
        possible: may_unshare
    },
    uuid7_repeats_itself_as_pid_1_inside_pid_1 {
        possible: may_unshare
    },
    a_thread_of_a_child_diverges,
    children_of_a_parent_without_uuids_diverge,
];

const MANY: usize = 5000;

/// Returns what parent and child make if the parent had ready UUIDs when it was copied.
pub fn both(copy: Copy, make: impl Fn(usize) -> Vec<Uuid>) -> Vec<Uuid> {
    let mut ids = make(3);
    ids.extend(in_copy(copy, || make(MANY)));
    ids.extend(make(MANY));
    ids
}

/// Calls clone(2) itself, so that the libc's hooks for fork(2) do not run.
pub fn raw_clone() -> i32 {
    // SAFETY: the call is a fork, and the scenario has one thread.
    unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as i32 }
}

/// Calls clone3(2) itself.
pub fn clone3() -> i32 {
    clone3_by(&mut [0; 8])
}

/// Forks by clone3(2). `args` are the words of a `struct clone_args`, and its pointers must be
/// valid.
pub fn clone3_by(args: &mut [u64]) -> i32 {
    // Its fifth word is the exit signal.
    args[4] = libc::SIGCHLD as u64;
    // SAFETY: the call is a fork, and the pointer leads to a structure of this size.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, args.as_mut_ptr(), size_of_val(args)) };
    if pid < 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) {
        leave_out("clone3(2)");
    }
    pid as i32
}

/// Calls `_Fork`, which runs no hooks.
pub fn underscore_fork() -> i32 {
    // SAFETY: it has this type in POSIX.1-2024. glibc has it since 2.34, and musl since 1.2.2.
    unsafe extern "C" {
        safe fn _Fork() -> i32;
    }
    _Fork()
}

fn fork_diverges() {
    assert_all_good(&both(fork, make));
}

fn underscore_fork_diverges() {
    assert_all_good(&both(underscore_fork, make));
}

fn raw_clone_diverges() {
    assert_all_good(&both(raw_clone, make));
}

fn clone3_diverges() {
    assert_all_good(&both(clone3, make));
}

/// The control: `uuid` with `fast-rng` repeats its UUIDs in each kind of copy.
fn fast_rng_repeats_itself() {
    let peer = |count| (0..count).map(|_| Uuid::new_v4()).collect::<Vec<_>>();
    for copy in [fork as Copy, underscore_fork, raw_clone, clone3] {
        let ids = both(copy, peer);
        let distinct = ids.iter().collect::<BTreeSet<_>>().len();
        assert!(ids.len() - distinct > 1000, "fast-rng was mended?");
    }
}

fn a_separate_generator_diverges() {
    for generator in [Generator::new(), Generator::unbuffered()] {
        let make = |count| (0..count).map(|_| generator.new_v4()).collect::<Vec<_>>();
        let mut ids = make(3);
        ids.extend(in_copy(fork, || make(MANY)));
        ids.extend(make(MANY));
        assert_all_good(&ids);
    }
}

fn a_bulk_request_diverges() {
    fn bulk(count: usize) -> Vec<Uuid> {
        let mut ids = vec![Uuid::nil(); count];
        fork_safe_uuid::fill_v4(&mut ids);
        ids
    }
    assert_all_good(&both(fork, bulk));
}

fn grandchildren_diverge() {
    fn family(depth: u32) -> Vec<Uuid> {
        let mut ids = make(10);
        if depth > 0 {
            let children = [(); 2].map(|()| start_copy(fork, || family(depth - 1)));
            ids.extend(make(100));
            for child in children {
                ids.extend(child.ids());
            }
        }
        ids.extend(make(100));
        ids
    }
    assert_all_good(&family(6));
}

fn a_double_fork_diverges() {
    let mut ids = make(3);
    ids.extend(in_copy(fork, || {
        // A daemon is made like this, except that here the process in the middle waits.
        in_copy(fork, || {
            // SAFETY: the call uses no memory.
            ok(unsafe { libc::setsid() });
            make(MANY)
        })
    }));
    ids.extend(make(MANY));
    assert_all_good(&ids);
}

/// Returns what a process and its child make, both of which have the process id 1. The parent
/// calls `before` just before it is copied.
pub fn both_as_pid_1(make: impl Fn(usize) -> Vec<Uuid>, before: impl Fn()) -> Vec<Uuid> {
    fn assert_pid_1() {
        assert_eq!(std::process::id(), 1);
    }
    unshare(libc::CLONE_NEWPID);
    in_copy(fork, || {
        assert_pid_1();
        let mut ids = make(3);
        before();
        unshare(libc::CLONE_NEWPID);
        ids.extend(in_copy(fork, || {
            assert_pid_1();
            make(MANY)
        }));
        ids.extend(make(MANY));
        ids
    })
}

fn pid_1_inside_pid_1_diverges() {
    assert_all_good(&both_as_pid_1(make, || {}));
}

/// The control: `uuid7` compares process ids, which are equal.
fn uuid7_repeats_itself_as_pid_1_inside_pid_1() {
    let peer = |count| (0..count).map(|_| Uuid::from_bytes(uuid7::uuid4().into()));
    let ids = both_as_pid_1(|count| peer(count).collect(), || {});
    let distinct = ids.iter().collect::<BTreeSet<_>>().len();
    assert!(ids.len() - distinct > 1000, "uuid7 was mended?");
}

fn a_thread_of_a_child_diverges() {
    let mut ids = make(3);
    ids.extend(in_copy(fork, || {
        // The main thread of the child makes its first UUID after these threads began.
        let threads = [(); 2].map(|()| std::thread::spawn(|| make(MANY)));
        let mut ids: Vec<_> = threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no panic"))
            .collect();
        ids.extend(make(MANY));
        ids
    }));
    ids.extend(make(MANY));
    assert_all_good(&ids);
}

fn children_of_a_parent_without_uuids_diverge() {
    let mut ids = in_copy(fork, || make(MANY));
    ids.extend(in_copy(fork, || make(MANY)));
    ids.extend(make(MANY));
    assert_all_good(&ids);
}
