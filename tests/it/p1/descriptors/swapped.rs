//! Another thread puts files at the descriptor's number during a read.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use fork_safe_uuid::Generator;
use fork_safe_uuid::source::Device;
use support::decoy::{Decoy, Kind, shows_decoy};
use support::descriptors::is_closed;
use support::harness::{step, takes_all_turns, turns};
use support::uuids::assert_all_good;

use crate::guest;

/// What the thread that puts decoys found.
struct Found {
    /// How often another thread had closed a decoy.
    closed: u64,
    untouched: bool,
}

/// Calls `draw` while another thread puts decoys at a range of numbers, each for an instant,
/// and closes them. All descriptors that `draw` opens are in that range. `draw` gets the count
/// of the decoys.
fn hammer(draw: impl Fn(&AtomicUsize)) -> Found {
    let decoys = [Kind::Pipe, Kind::Udp, Kind::File].map(Decoy::new);
    let first = decoys.iter().map(Decoy::number).max().expect("three") + 20;
    for number in (3..first).filter(|&number| is_closed(number)) {
        decoys[0].take(number);
    }
    let (stop, put) = (AtomicBool::new(false), AtomicUsize::new(0));
    let closed = thread::scope(|scope| {
        let hammer = scope.spawn(|| {
            let mut closed = 0;
            while !stop.load(Relaxed) {
                for number in first..first + 4 {
                    for decoy in &decoys {
                        decoy.take(number);
                    }
                    put.fetch_add(decoys.len(), Relaxed);
                    closed += u64::from(!decoys[2].stands_at(number));
                    // SAFETY: `draw` must expect that another thread closes these numbers.
                    unsafe { libc::close(number) };
                }
            }
            closed
        });
        draw(&put);
        stop.store(true, Relaxed);
        hammer.join().expect("no panic")
    });
    Found {
        closed,
        untouched: decoys.iter().all(Decoy::is_untouched),
    }
}

pub fn hammered_nothing_is_consumed_emitted_or_closed() {
    let found = hammer(|put| {
        let generator = Generator::new().with_source(Device);
        let mut ids = Vec::new();
        for attempt in 0.. {
            if attempt % 1000 == 0 {
                step(format_args!("attempt {attempt}, {put:?} decoys"));
            }
            if put.load(Relaxed) > turns(3_000_000) && ids.len() > 1000 {
                break;
            }
            // After this, the next call draws a seed.
            fork_safe_uuid::reseed();
            ids.extend(generator.try_new_v4());
        }
        assert!(
            !ids.iter().any(|id| shows_decoy(id.as_bytes())),
            "a UUID has bytes of a decoy"
        );
        assert_all_good(&ids);
    });
    assert_eq!(found.closed, 0, "decoys were closed");
    assert!(found.untouched, "a decoy was read");
}

/// The control calls fstat(2), and then read(2), while the other thread puts decoys.
pub fn hammered_a_check_before_the_read_is_not_enough() {
    let found = hammer(|put| {
        for attempt in 0..1_000_000 {
            if attempt % 1000 == 0 {
                step(format_args!("attempt {attempt}, {put:?} decoys"));
            }
            let device = File::open("/dev/urandom").expect("the device");
            // The other thread closes the number.
            let number = device.into_raw_fd();
            for _ in 0..100 {
                // SAFETY: the call works with any file. That the descriptor may be another one
                // is what this control shows.
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
        panic!("no decoy came between the check and the read");
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

pub fn swapped_at_any_instruction_nothing_comes_out_or_is_closed() {
    let stride = if takes_all_turns() { "1" } else { "17" };
    guest::assert_passes("swapper", &[stride]);
}

/// The change leaves the proof after the read out, too, because that one also finds a file
/// that took the number before the read.
pub fn without_the_proof_before_the_read_foreign_bytes_come_out() {
    guest::assert_broken_by(
        "swapper",
        &["1", "Tracking"],
        "shown",
        &[(
            "inode",
            "Ok(found) => Ok(found == self.identity),",
            "Ok(_) => Ok(true),",
        )],
    );
}

pub fn without_the_proof_after_the_read_foreign_bytes_come_out() {
    guest::assert_broken_by(
        "swapper",
        &["1", "Tracking"],
        "shown",
        &[(
            "prove-after-read",
            "if !matches!(is_proven, Ok(true)) {",
            "if matches!(is_proven, Err(_)) {",
        )],
    );
}

/// In a process that may not use the record, each draw opens and closes a descriptor. Without
/// the mark it closes the program's descriptor of the device instead, at most of its
/// instructions.
pub fn without_the_mark_the_programs_own_device_is_closed() {
    guest::assert_broken_by(
        "swapper",
        &["1", "Foreign"],
        "closed",
        &[(
            "prove-before-close",
            "match (self.is_proven(), sys::is_marked(self.fd)) {",
            "match (self.is_proven(), Ok::<_, i32>(true)) {",
        )],
    );
}
