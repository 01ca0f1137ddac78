//! Another descriptor stands at our number: after a daemon closed all, or put
//! there by a thread while we read.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use fork_safe_uuid::Generator;
use fork_safe_uuid::source::Device;

use crate::guest::{self, on_x86_64};
use crate::scene::{
    Decoy, KINDS, Kind, assert_all_good, close_all, device_number, fork, in_copy, is_closed, make,
    refuse_getrandom, shows_decoy,
};

crate::scenarios![
    closed_and_retaken_nothing_is_consumed_emitted_or_closed,
    closed_and_retaken_getrandom_reads_foreign_bytes,
    the_programs_own_device_that_cannot_be_read_is_passed_over,
    hammered_nothing_is_consumed_emitted_or_closed,
    hammered_a_check_before_the_read_is_not_enough,
    swapped_at_any_instruction_nothing_comes_out_or_is_closed {
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
        &[],
        &[(
            "source/device.rs",
            "sys::identity_of(self.fd) == Ok(self.identity)",
            "self.fd >= 0",
        )],
    );
}

fn without_the_proof_after_the_read_foreign_bytes_come_out() {
    guest::assert_broken_by(
        "swapper",
        &[],
        &[(
            "source/device.rs",
            "if device.is_proven() {\n            if !kept",
            "if device.fd >= 0 {\n            if !kept",
        )],
    );
}
