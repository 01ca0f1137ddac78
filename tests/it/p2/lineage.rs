//! Descendants of a process: daemons, children of threads, twelve generations, and a process
//! that has the process id of a dead ancestor.

use std::thread;
use std::time::Duration;

use fork_safe_uuid::Uuid;
use support::decoy::{Decoy, Kind};
use support::descriptors::device_number;
use support::namespaces::{may_unshare, unshare};
use support::ok;
use support::process::{Copy, fork, in_copy};
use support::sandbox::refuse_getrandom;
use support::uuids::{assert_all_good, make};

use crate::arena::{Arena, duplicates};
use crate::p2::copies::{clone3, clone3_by, raw_clone, underscore_fork};

support::scenarios![
    a_daemon_diverges,
    a_daemon_with_the_device_diverges,
    a_child_of_a_thread_diverges,
    twelve_generations_diverge,
    fast_rng_repeats_itself_in_descendants,
    a_child_with_a_dead_ancestors_process_id_diverges {
        possible: may_unshare
    },
    a_child_with_a_dead_ancestors_process_id_and_the_device_diverges {
        possible: may_unshare
    },
    uuid7_repeats_an_ancestor_with_the_same_process_id {
        possible: may_unshare
    },
];

const MANY: usize = 5000;
const COPIES: [Copy; 4] = [fork, underscore_fork, raw_clone, clone3];

type Make = fn(usize) -> Vec<Uuid>;

fn fast_rng(count: usize) -> Vec<Uuid> {
    (0..count).map(|_| Uuid::new_v4()).collect()
}

/// Makes UUIDs in a process, in its child, and in the daemon that daemon(3) makes of the
/// child.
fn daemon(make: Make) -> Vec<Uuid> {
    let mut ids = make(3);
    ids.extend(in_copy(fork, || {
        let mut ids = make(3);
        let before = std::process::id();
        // SAFETY: the process has one thread. It ends, and its child continues with /dev/null
        // as the standard descriptors.
        ok(unsafe { libc::daemon(0, 0) });
        assert_ne!(std::process::id(), before);
        ids.extend(make(MANY));
        ids
    }));
    ids.extend(make(MANY));
    assert_eq!(ids.len(), 6 + 2 * MANY, "the daemon failed");
    ids
}

fn a_daemon_diverges() {
    assert_all_good(&daemon(make));
}

fn a_daemon_with_the_device_diverges() {
    refuse_getrandom();
    assert_all_good(&daemon(make));
}

/// Makes UUIDs in threads, which then fork in each way, and in the children.
fn of_a_thread(make: Make) -> Vec<Uuid> {
    let mut ids = make(3);
    for copy in COPIES {
        let thread = thread::spawn(move || {
            let mut ids = make(3);
            ids.extend(in_copy(copy, || make(MANY)));
            ids.extend(make(MANY));
            ids
        });
        ids.extend(thread.join().expect("no panic"));
    }
    ids.extend(make(MANY));
    ids
}

fn a_child_of_a_thread_diverges() {
    assert_all_good(&of_a_thread(make));
}

/// Makes UUIDs in a process and in `generations` of descendants, forked in each way in turn.
fn line(generations: usize, make: Make) -> Vec<Uuid> {
    let mut ids = make(3);
    if generations > 0 {
        let copy = COPIES[generations % COPIES.len()];
        ids.extend(in_copy(copy, || line(generations - 1, make)));
    }
    ids.extend(make(500));
    ids
}

fn twelve_generations_diverge() {
    assert_all_good(&line(12, make));
    refuse_getrandom();
    assert_all_good(&line(12, make));
}

/// The control: `uuid` with `fast-rng` repeats its UUIDs in all of these descendants.
fn fast_rng_repeats_itself_in_descendants() {
    for scene in [daemon, of_a_thread, |make| line(12, make)] {
        assert!(
            duplicates(&mut scene(fast_rng)) > 400,
            "fast-rng was mended?"
        );
    }
}

/// The process id of the ancestor, and then of its grandchild.
static PID: libc::pid_t = 100;

/// Forks a child that has the process id [`PID`], or returns `None` while another process has
/// it.
fn fork_as_ancestor() -> Option<i32> {
    // Since Linux 5.5, the last two words are `set_tid` and the number of ids there.
    let mut args = [0; 10];
    args[8] = (&raw const PID).addr() as u64;
    args[9] = 1;
    let pid = clone3_by(&mut args);
    let taken = std::io::Error::last_os_error().raw_os_error() == Some(libc::EEXIST);
    if pid < 0 && taken {
        return None;
    }
    Some(ok(pid))
}

/// Runs `body` in a child, and then ends the child.
fn be(body: impl FnOnce()) -> ! {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
    // SAFETY: the child ends without running its parent's destructors.
    unsafe { libc::_exit(if outcome.is_ok() { 0 } else { 101 }) }
}

/// Waits for a child, asserts that it succeeded, and returns its process id.
fn wait(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the pointer leads to an int.
    let pid = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert!(pid < 0 || status == 0, "a process failed: {status:#x}");
    pid
}

/// Returns what three generations make. The ancestor makes UUIDs, forks, makes more, and ends.
/// Then its child forks a grandchild that has the ancestor's process id and makes UUIDs by
/// `last`. Where `refused`, getrandom(2) is refused to all of them.
fn with_the_ancestors_pid(make: Make, last: Make, refused: bool) -> Vec<Uuid> {
    let arena = Arena::new(3 + 3 * MANY);
    let keep = |ids: Vec<Uuid>| arena.claim(ids.len()).expect("room").copy_from_slice(&ids);
    unshare(libc::CLONE_NEWPID);
    let init = ok(fork());
    if init == 0 {
        be(|| {
            if refused {
                refuse_getrandom();
            }
            if fork_as_ancestor() == Some(0) {
                be(|| {
                    assert_eq!(std::process::id() as i32, PID);
                    keep(make(3));
                    if refused {
                        // A draw would track no descriptor here, because clone3(2) did not
                        // tell the libc of this process.
                        fork_safe_uuid::prepare().expect("the device");
                    }
                    if ok(fork()) == 0 {
                        be(|| {
                            let child = loop {
                                // The id is free when the process 1 has waited for the
                                // ancestor.
                                match fork_as_ancestor() {
                                    Some(pid) => break pid,
                                    None => thread::sleep(Duration::from_millis(1)),
                                }
                            };
                            if child == 0 {
                                be(|| {
                                    assert_eq!(std::process::id() as i32, PID);
                                    keep(last(MANY));
                                });
                            }
                            assert_eq!(wait(child), PID);
                            keep(make(MANY));
                        });
                    }
                    keep(make(MANY));
                });
            }
            while wait(-1) > 0 {}
        });
    }
    assert_eq!(wait(init), init);
    let ids = arena.into_ids();
    assert_eq!(ids.len(), 3 + 3 * MANY);
    ids.to_vec()
}

fn a_child_with_a_dead_ancestors_process_id_diverges() {
    assert_all_good(&with_the_ancestors_pid(make, make, false));
}

/// The grandchild inherits the record of the ancestor's descriptor, whose number a decoy has.
fn a_child_with_a_dead_ancestors_process_id_and_the_device_diverges() {
    fn last(count: usize) -> Vec<Uuid> {
        let number = device_number().expect("inherited");
        let decoy = Decoy::new(Kind::Pipe);
        decoy.take(number);
        let ids = make(count);
        assert!(decoy.stands_at(number) && decoy.is_untouched());
        assert_eq!(device_number(), None, "each draw closes what it opens");
        fork_safe_uuid::prepare().expect("the device");
        assert!(device_number().is_some_and(|own| own != number));
        ids
    }
    assert_all_good(&with_the_ancestors_pid(make, last, true));
}

/// The control: `uuid7` compares process ids, which are equal.
fn uuid7_repeats_an_ancestor_with_the_same_process_id() {
    fn peer(count: usize) -> Vec<Uuid> {
        let make = || Uuid::from_bytes(uuid7::uuid4().into());
        (0..count).map(|_| make()).collect()
    }
    let mut ids = with_the_ancestors_pid(peer, peer, false);
    assert!(duplicates(&mut ids) > 1000, "uuid7 was mended?");
}
