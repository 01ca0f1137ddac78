//! Another descriptor stands at our number: after a daemon closed all, or put
//! there by a thread while we read.

use std::fs::File;
use std::hint::black_box;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, RawFd};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use fork_safe_uuid::Generator;
use fork_safe_uuid::source::{Device, TrackedDevice};
use support::decoy::{Decoy, KINDS, Kind, shows_decoy};
use support::descriptors::{close_all, descriptors, device_number, is_closed};
use support::harness::turns;
use support::ok;
use support::process::{fork, in_copy, wait};
use support::sandbox::{refuse, refuse_getrandom};
use support::uuids::{assert_all_good, make};

use crate::arena::Arena;
use crate::guest::{self, on_x86_64};
use crate::vfork::{clone_vm, in_sharing};

support::scenarios![
    closed_and_retaken_nothing_is_consumed_emitted_or_closed,
    closed_and_retaken_getrandom_reads_foreign_bytes {
        possible: getrandom_opens_the_device
    },
    the_programs_own_device_that_cannot_be_read_is_passed_over,
    the_programs_own_device_is_never_closed,
    a_thousand_generations_keep_one_descriptor_each { seconds: 180 },
    a_child_of_a_full_table_takes_the_inherited_place,
    a_vfork_child_leaves_a_forked_parents_record_alone,
    prepare_in_a_worker_of_unwiped_memory_opens_its_own,
    prepare_beside_threads_that_draw_opens_one_that_stays,
    children_that_share_descriptors_leave_none_behind,
    a_number_closed_under_four_threads_leaves_one_descriptor { seconds: 180 },
    hammered_nothing_is_consumed_emitted_or_closed,
    hammered_a_check_before_the_read_is_not_enough,
    swapped_at_any_instruction_nothing_comes_out_or_is_closed {
        possible: on_x86_64,
        seconds: 600
    },
    without_the_mark_the_programs_own_device_is_closed {
        possible: on_x86_64,
        seconds: 600
    },
    without_the_proof_before_the_read_foreign_bytes_come_out {
        possible: on_x86_64,
        seconds: 600
    },
    without_the_proof_after_the_read_foreign_bytes_come_out {
        possible: on_x86_64,
        seconds: 600
    },
];

/// Numbers that a decoy takes after all were closed; the device's was one.
const TAKEN: std::ops::Range<RawFd> = 0..40;

/// The daemon: `before`, then every descriptor closed and a decoy at each low
/// number.
fn daemonize(kind: Kind, before: impl FnOnce()) -> Decoy {
    refuse_getrandom();
    before();
    let number = device_number().expect("a descriptor of the device");
    assert!(TAKEN.contains(&number));
    close_all();
    let decoy = Decoy::new(kind);
    // What the decoy consists of stands at the lowest numbers.
    for number in TAKEN.filter(|&number| is_closed(number)) {
        decoy.take(number);
    }
    assert!(decoy.stands_at(number), "{kind:?} has not taken {number}");
    decoy
}

fn closed_and_retaken_nothing_is_consumed_emitted_or_closed() {
    for kind in KINDS {
        in_copy(fork, || {
            let mut ids = vec![];
            let decoy = daemonize(kind, || {
                ids = make(1000);
                assert!(fork_safe_uuid::status().device_is_open());
            });
            assert!(!fork_safe_uuid::status().device_is_open());
            let standing: Vec<_> = TAKEN.filter(|&number| decoy.stands_at(number)).collect();
            assert!(standing.len() > 30);
            ids.extend(make(50_000));
            let unbuffered = Generator::unbuffered();
            ids.extend((0..1000).map(|_| unbuffered.new_v4()));
            assert!(device_number().is_some_and(|number| !TAKEN.contains(&number)));
            assert!(
                !ids.iter().any(|id| shows_decoy(id.as_bytes())),
                "{kind:?} emitted"
            );
            for number in standing {
                assert!(decoy.stands_at(number), "{kind:?} at {number} closed");
            }
            assert!(decoy.is_untouched(), "{kind:?} consumed");
            assert_all_good(&ids);
            vec![]
        });
    }
}

/// The same device and inode, so that only the read can tell.
fn the_programs_own_device_that_cannot_be_read_is_passed_over() {
    for flags in [libc::O_WRONLY, libc::O_PATH] {
        in_copy(fork, || {
            refuse_getrandom();
            let mut ids = make(1);
            let number = device_number().expect("a descriptor of the device");
            // SAFETY: the number is nobody else's in this copy, and the path
            // ends in a zero byte.
            let own = unsafe {
                libc::close(number);
                libc::open(c"/dev/urandom".as_ptr(), flags)
            };
            assert_eq!(own, number);
            let mut byte = 0_u8;
            // SAFETY: the kernel writes at most the one byte.
            let read = unsafe { libc::pread(own, (&raw mut byte).cast(), 1, 0) };
            assert_eq!(read, -1);
            let unbuffered = Generator::unbuffered();
            ids.extend((0..1000).map(|_| unbuffered.new_v4()));
            assert!(!is_closed(own));
            ids
        });
    }
}

/// The descriptors of the device.
fn devices() -> Vec<RawFd> {
    let all = descriptors().into_iter();
    all.filter(|(_, target)| target == "/dev/urandom")
        .map(|(number, _)| number)
        .collect()
}

/// Opened as a program does.
fn open_device() -> RawFd {
    File::open("/dev/urandom")
        .expect("the device")
        .into_raw_fd()
}

/// It stands at the tracked number, in the process itself and in a child, which
/// inherits the number in its parent's record.
fn the_programs_own_device_is_never_closed() {
    refuse_getrandom();
    let mut ids = make(1);
    let number = device_number().expect("a descriptor of the device");
    // SAFETY: the number is nobody else's.
    ok(unsafe { libc::close(number) });
    assert_eq!(open_device(), number);
    // SAFETY: asks for flags.
    let flags = || unsafe { libc::fcntl(number, libc::F_GETFL) };
    let own = flags();
    fork_safe_uuid::reseed();
    ids.extend(make(10));
    assert_eq!((devices(), flags()), (vec![number], own));
    ids.extend(in_copy(fork, || {
        let ids = make(10);
        assert_eq!((devices().len(), flags()), (2, own), "its own beside it");
        ids
    }));
    assert_all_good(&ids);
}

/// Each generation draws through the device, forks and waits for the next one.
fn a_thousand_generations_keep_one_descriptor_each() {
    let generations = turns(1000);
    refuse_getrandom();
    let arena = Arena::new(generations);
    for generation in 0..generations {
        let mut one = make(1);
        assert_eq!(devices().len(), 1, "generation {generation}");
        arena.claim(1).expect("room").swap_with_slice(&mut one);
        // SAFETY: a child that goes on with the next generation, and a parent that
        // waits for it; the pointer leads to an int.
        unsafe {
            let pid = ok(libc::fork());
            if pid != 0 {
                let mut status = 0;
                ok(libc::waitpid(pid, &raw mut status, 0));
                if generation == 0 {
                    assert_eq!(status, 0, "a generation failed");
                    assert_all_good(arena.into_ids());
                    return;
                }
                libc::_exit(i32::from(status != 0));
            }
        }
    }
    // SAFETY: ends the last generation.
    unsafe { libc::_exit(0) };
}

fn a_child_of_a_full_table_takes_the_inherited_place() {
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

/// clone(2) with `CLONE_FILES` alone: memory is copied, and the table of
/// descriptors is one.
fn clone_files() -> i32 {
    let flags = libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: a fork in all but the table, with one thread.
    unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) as i32 }
}

fn children_that_share_descriptors_leave_none_behind() {
    refuse_getrandom();
    let mut ids = make(1);
    let number = device_number().expect("a descriptor of the device");
    let arena = Arena::new(100);
    for _ in 0..100 {
        let pid = ok(clone_files());
        if pid == 0 {
            let room = arena.claim(1).expect("room");
            room.fill_with(fork_safe_uuid::new_v4);
            // SAFETY: ends the child.
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

/// Of two threads that find the number closed at once, one must close what it
/// opened.
fn a_number_closed_under_four_threads_leaves_one_descriptor() {
    refuse_getrandom();
    for _ in 0..turns(300) {
        in_copy(fork, || {
            let generator = || Generator::with_source(Device);
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
                // SAFETY: the crate's own number, which it must find closed.
                unsafe { libc::close(number) };
                closed.store(true, Relaxed);
            });
            assert_eq!(devices().len(), 1, "one is open that nobody tracks");
            assert!(fork_safe_uuid::status().device_is_open());
            vec![]
        });
    }
}

/// A process that was forked has a record that was wiped, and then shares it.
fn a_vfork_child_leaves_a_forked_parents_record_alone() {
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

/// Where memory is not wiped, a worker finds the record of its parent.
fn prepare_in_a_worker_of_unwiped_memory_opens_its_own() {
    refuse(&[libc::SYS_madvise], libc::EINVAL);
    refuse_getrandom();
    fork_safe_uuid::prepare().expect("the device");
    let parents = fork_safe_uuid::status().device();
    let mut ids = in_copy(fork, || {
        let process = std::process::id();
        // A draw does without the record.
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

fn prepare_beside_threads_that_draw_opens_one_that_stays() {
    refuse_getrandom();
    fork_safe_uuid::prepare().expect("the device");
    for _ in 0..300 {
        in_copy(fork, || {
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

/// On riscv64, where each kernel has getrandom(2), the `getrandom` crate returns
/// the refusal.
fn getrandom_opens_the_device() -> bool {
    !cfg!(target_arch = "riscv64")
}

/// The control: the same scene with the `getrandom` crate, which keeps its
/// descriptor in a static.
fn closed_and_retaken_getrandom_reads_foreign_bytes() {
    for kind in KINDS {
        in_copy(fork, || {
            let mut bytes = [0; 16];
            let decoy = daemonize(kind, || getrandom::fill(&mut bytes).expect("the device"));
            let result = getrandom::fill(&mut bytes);
            match kind {
                // Eight bytes that are no text, and then an error.
                Kind::Event => assert!(!decoy.is_untouched(), "getrandom was mended?"),
                // Moves the offset that all share.
                _ => {
                    result.expect("bytes");
                    assert!(shows_decoy(&bytes), "{kind:?}: getrandom was mended?");
                    assert!(!decoy.is_untouched());
                }
            }
            vec![]
        });
    }
}

/// What a hammering thread found.
struct Found {
    /// How often its descriptor had been closed by someone else.
    closed: u64,
    untouched: bool,
}

/// Calls `draw` while a thread puts decoys over a range of numbers, each for
/// an instant, and closes them. Whatever `draw` opens is in that range.
fn hammer(draw: impl Fn()) -> Found {
    let decoys = [Kind::Pipe, Kind::Udp, Kind::File].map(Decoy::new);
    let first = decoys.iter().map(Decoy::number).max().expect("three") + 20;
    for number in (3..first).filter(|&number| is_closed(number)) {
        decoys[0].take(number);
    }
    let stop = AtomicBool::new(false);
    let closed = thread::scope(|scope| {
        let hammer = scope.spawn(|| {
            let mut closed = 0;
            while !stop.load(Relaxed) {
                for number in first..first + 4 {
                    for decoy in &decoys {
                        decoy.take(number);
                    }
                    closed += u64::from(!decoys[2].stands_at(number));
                    // SAFETY: nobody relies on a number of the range.
                    unsafe { libc::close(number) };
                }
            }
            closed
        });
        draw();
        stop.store(true, Relaxed);
        hammer.join().expect("no panic")
    });
    Found {
        closed,
        untouched: decoys.iter().all(Decoy::is_untouched),
    }
}

fn hammered_nothing_is_consumed_emitted_or_closed() {
    let found = hammer(|| {
        let generator = Generator::with_source(Device);
        let mut ids = Vec::new();
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end || ids.len() <= 1000 {
            // Each call draws a seed.
            fork_safe_uuid::reseed();
            ids.extend(generator.try_new_v4());
        }
        assert!(!ids.iter().any(|id| shows_decoy(id.as_bytes())), "emitted");
        assert_all_good(&ids);
    });
    assert_eq!(found.closed, 0, "decoys were closed");
    assert!(found.untouched, "consumed");
}

/// The control: fstat(2), then read(2), under the same hammer.
fn hammered_a_check_before_the_read_is_not_enough() {
    let found = hammer(|| {
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end {
            let device = File::open("/dev/urandom").expect("the device");
            // The number is the hammer's to close.
            let number = device.into_raw_fd();
            for _ in 0..100 {
                // SAFETY: borrowed while it may be anything; that is the point.
                let device = unsafe { BorrowedFd::borrow_raw(number) };
                let mut bytes = [0; 16];
                if is_character_device(device)
                    // SAFETY: the kernel writes at most 16 bytes.
                    && unsafe { libc::read(number, bytes.as_mut_ptr().cast(), 16) } > 0
                    && shows_decoy(&bytes)
                {
                    return;
                }
            }
        }
        panic!("the hammer never hit");
    });
    assert!(!found.untouched);
}

fn is_character_device(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: zeros are a valid `stat`, and the pointer leads to it.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        libc::fstat(fd.as_raw_fd(), &raw mut stat) == 0
            && stat.st_mode & libc::S_IFMT == libc::S_IFCHR
    }
}

fn swapped_at_any_instruction_nothing_comes_out_or_is_closed() {
    guest::assert_passes("swapper", &[]);
}

fn without_the_proof_before_the_read_foreign_bytes_come_out() {
    // Nor after it, which alone still catches what came before.
    guest::assert_broken_by(
        "swapper",
        &["Tracking"],
        "shown",
        &[(
            "inode",
            "Ok(found) => Ok(found == self.identity),",
            "Ok(_) => Ok(true),",
        )],
    );
}

fn without_the_proof_after_the_read_foreign_bytes_come_out() {
    guest::assert_broken_by(
        "swapper",
        &["Tracking"],
        "shown",
        &[(
            "prove-after-read",
            "if !matches!(is_proven, Ok(true)) {",
            "if matches!(is_proven, Err(_)) {",
        )],
    );
}

/// At most instructions of a draw that opens one, while the program's own stands
/// at its number.
fn without_the_mark_the_programs_own_device_is_closed() {
    guest::assert_broken_by(
        "swapper",
        &["Foreign"],
        "closed",
        &[(
            "prove-before-close",
            "match (self.is_proven(), sys::is_marked(self.fd)) {",
            "match (self.is_proven(), Ok::<_, i32>(true)) {",
        )],
    );
}
