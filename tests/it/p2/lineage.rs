//! Descendants: daemons, children of threads, long lines, and one that has the
//! process id of a dead ancestor.

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
    a_dead_ancestors_process_id_means_nothing {
        possible: may_unshare
    },
    a_dead_ancestors_process_id_means_nothing_with_the_device {
        possible: may_unshare
    },
    uuid7_repeats_its_ancestor_of_the_same_process_id {
        possible: may_unshare
    },
];

const MANY: usize = 5000;
const COPIES: [Copy; 4] = [fork, underscore_fork, raw_clone, clone3];

type Make = fn(usize) -> Vec<Uuid>;

fn fast_rng(count: usize) -> Vec<Uuid> {
    (0..count).map(|_| Uuid::new_v4()).collect()
}

/// daemon(3) in a child that has made some, and more in the daemon.
fn daemon(make: Make) -> Vec<Uuid> {
    let mut ids = make(3);
    ids.extend(in_copy(fork, || {
        let mut ids = make(3);
        let before = std::process::id();
        // SAFETY: one thread; the standard descriptors become /dev/null, and
        // the calling process ends.
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

/// Each way to fork in a thread that has made some, in which the child goes on.
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

/// A child of a child, in turn by each way to fork.
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

/// The control.
fn fast_rng_repeats_itself_in_descendants() {
    for scene in [daemon, of_a_thread, |make| line(12, make)] {
        assert!(
            duplicates(&mut scene(fast_rng)) > 400,
            "fast-rng was mended?"
        );
    }
}

/// The ancestor's, and then its grandchild's.
static PID: libc::pid_t = 100;

/// fork(2), and [`PID`] is the child's, or `None` while another process has it.
fn fork_as_ancestor() -> Option<i32> {
    // As of Linux 5.5: `set_tid`, and how many of them.
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

/// Ends the child that runs it.
fn be(body: impl FnOnce()) -> ! {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
    // SAFETY: ends without the parent's destructors.
    unsafe { libc::_exit(if outcome.is_ok() { 0 } else { 101 }) }
}

fn wait(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the pointer leads to an int.
    let pid = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert!(pid < 0 || status == 0, "a process failed: {status:#x}");
    pid
}

/// An ancestor makes some, forks, makes more and dies; its child, which makes
/// nothing, has a child with the ancestor's process id. Returns what
/// all of them make, the last one by `last`.
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
                        // Tracks a descriptor also where a libc was not told of
                        // this process.
                        fork_safe_uuid::prepare().expect("the device");
                    }
                    if ok(fork()) == 0 {
                        be(|| {
                            let child = loop {
                                // The ancestor is to be waited for by pid 1.
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

fn a_dead_ancestors_process_id_means_nothing() {
    assert_all_good(&with_the_ancestors_pid(make, make, false));
}

/// The number in the ancestor's record is inherited, and a stranger's by now.
fn a_dead_ancestors_process_id_means_nothing_with_the_device() {
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

/// The control: it compares process ids.
fn uuid7_repeats_its_ancestor_of_the_same_process_id() {
    fn peer(count: usize) -> Vec<Uuid> {
        let make = || Uuid::from_bytes(uuid7::uuid4().into());
        (0..count).map(|_| make()).collect()
    }
    let mut ids = with_the_ancestors_pid(peer, peer, false);
    assert!(duplicates(&mut ids) > 1000, "uuid7 was mended?");
}
