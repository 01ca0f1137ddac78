//! The record of the tracked descriptor: its number, the process that opened it,
//! and the device and inode that it was opened on.
//!
//! The record is in ordinary memory. A mark in wiped memory says that this process made the
//! record:
//!
//! | mark | process in the record | what it means |
//! | --- | --- | --- |
//! | set | this one | the descriptor is proven and used |
//! | set, or there is no wiped memory | another one | this process shares its memory with that one (vfork, `CLONE_VM`), or the memory was copied and not wiped (a restored process, an emulator): neither the record nor its descriptor is changed, except by `prepare` in a process that shares no memory |
//! | wiped | any | this is a forked child: it opens its own descriptor, and puts it in the place of the inherited one |
//!
//! One word holds number, process and a version. A call that changes the record claims
//! the word first and publishes it last, each with an atomic exchange; other calls do not use
//! the record meanwhile. If two threads open the device at once, one tracks its descriptor,
//! and the other one closes its own.

use core::ffi::c_int;
use core::fmt;
use core::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
    fence,
};

use super::node::Opened;
use crate::sys::{self, Identity};
use crate::wipe::WipedCell;

/// `word` is exchanged with acquire and release, and fences stand beside it, so that `dev` and
/// `ino`, which are Relaxed, belong to it.
struct Record {
    word: AtomicU64,
    dev: AtomicU64,
    ino: AtomicU64,
}

static RECORD: Record = Record {
    word: AtomicU64::new(0),
    dev: AtomicU64::new(0),
    ino: AtomicU64::new(0),
};

/// The mark: not 0 if this process made the record.
static MARK: WipedCell<AtomicU64> = WipedCell::new();

/// From the top: a version of 20 bits, a process of 22 bits (Linux has at most 2^22), a bit
/// that says whether a call is changing the record, and a descriptor's number of 21 bits, or 0
/// for none.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Word(u64);

impl Word {
    const FD_BITS: u32 = 21;
    const CLAIMED: u64 = 1 << Self::FD_BITS;
    const PROCESS_SHIFT: u32 = Self::FD_BITS + 1;
    const PROCESS_MASK: u64 = (1 << 22) - 1;
    const VERSION_SHIFT: u32 = Self::PROCESS_SHIFT + 22;

    fn next(self, fd: c_int) -> Self {
        let version = (self.0 >> Self::VERSION_SHIFT) + 1;
        let process = u64::from(sys::pid()) & Self::PROCESS_MASK;
        Self(version << Self::VERSION_SHIFT | process << Self::PROCESS_SHIFT | fd as u64)
    }

    /// Returns the word of a call that is changing the record.
    ///
    /// Its number is the one whose place is taken. A child that is forked meanwhile needs it,
    /// and so does another thread that finds its own descriptor there. If no place is taken,
    /// the number is 0: two threads may have opened the device, one of them at the lost number,
    /// and each closes a descriptor that it cannot track.
    fn claimed_for(self, inherited: Option<Opened>) -> Self {
        let number = inherited.map_or(0, |inherited| inherited.fd);
        Self(self.next(number).0 | Self::CLAIMED)
    }

    fn is_claimed(self) -> bool {
        self.0 & Self::CLAIMED != 0
    }

    fn fd(self) -> c_int {
        (self.0 & (Self::CLAIMED - 1)) as c_int
    }

    fn process(self) -> u32 {
        (self.0 >> Self::PROCESS_SHIFT & Self::PROCESS_MASK) as u32
    }

    fn is_of_this_process(self) -> bool {
        u64::from(self.process()) == u64::from(sys::pid()) & Self::PROCESS_MASK
    }
}

/// The meaning of the record for this process.
#[derive(Clone, Copy)]
pub(super) enum Tracked {
    /// This process's own descriptor, not yet proven.
    Own(Opened, Seen),
    /// This process has none. The inherited descriptor, if any, is not yet proven.
    None(Option<Opened>, Seen),
    /// The record is another process's.
    Foreign(Seen),
    /// A call is changing the record.
    Claimed,
}

/// The record as a call saw it. It is replaced only if it is still the same.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    word: Word,
    mark: Option<&'static AtomicU64>,
}

impl PartialEq for Seen {
    /// Compares only the words, because each record has its own version.
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
    }
}

/// The purpose for which a descriptor is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Draw,
    /// `prepare`, for a later draw in a sandbox.
    Prepare,
}

pub(in crate::source) fn mark_again() {
    MARK.mark_again();
}

/// Reads the record, for a use that may replace it.
pub(super) fn look() -> Tracked {
    look_with(MARK.get_or_map())
}

/// Returns whether a call is changing the record.
pub(super) fn is_claimed() -> bool {
    matches!(look_with(MARK.get()), Tracked::Claimed)
}

fn look_with(mark: Option<&'static AtomicU64>) -> Tracked {
    let word = Word(RECORD.word.load(Acquire));
    let opened = Opened {
        fd: word.fd(),
        identity: Identity {
            dev: RECORD.dev.load(Relaxed),
            ino: RECORD.ino.load(Relaxed),
            rdev: Some(sys::URANDOM),
            is_link: false,
        },
    };
    fence(Acquire);
    let is_own = word.is_of_this_process();
    if RECORD.word.load(Relaxed) != word.0 || word.is_claimed() && is_own {
        return Tracked::Claimed;
    }
    let seen = Seen { word, mark };
    let recorded = (opened.fd != 0).then_some(opened);
    // [P1 mark-tells] A forked child must not use or close its parent's descriptor as if it
    // were its own.
    if mark.is_some_and(|mark| mark.load(Relaxed) == 0) {
        return Tracked::None(recorded, seen);
    }
    // [P1 process-tells] If the process is another one, it shares this memory, or the memory
    // was copied and not wiped.
    match recorded {
        None if !word.is_claimed() => Tracked::None(None, seen),
        Some(opened) if is_own => Tracked::Own(opened, seen),
        _ => Tracked::Foreign(seen),
    }
}

/// Replaces the record that was `seen` by `opened`, which takes the place of the `inherited`
/// descriptor. Returns whether its number is tracked, which it is not if another thread was
/// first.
pub(super) fn track(opened: &mut Opened, seen: Seen, inherited: Option<Opened>) -> bool {
    // The word has no room for such a number, which is more than any system allows by default.
    if opened.fd >= Word::CLAIMED as c_int {
        return false;
    }
    let claimed = seen.word.claimed_for(inherited);
    let exchange = |from: Word, to: Word| {
        RECORD
            .word
            .compare_exchange(from.0, to.0, AcqRel, Relaxed)
            .is_ok()
    };
    let is_published = exchange(seen.word, claimed) && {
        // A thread that sees a field of the new record must also see the claim.
        fence(Release);
        // [P1 take-place] If the inherited descriptor stayed open, each generation of children
        // would have one more.
        if let Some(inherited) = inherited {
            opened.take_place_of(inherited);
        }
        // Before the process is asked for: if a handler forks in between, the child's mark is
        // wiped, and if it forks earlier, the child records its own process.
        if let Some(mark) = seen.mark {
            mark.store(1, Relaxed);
        }
        RECORD.dev.store(opened.identity.dev, Relaxed);
        RECORD.ino.store(opened.identity.ino, Relaxed);
        exchange(claimed, claimed.next(opened.fd))
    };
    // If a handler forked in the middle, the child's draw may have put its own descriptor at
    // this number, or another thread may be about to do so. Then this call must not close it.
    is_published || Word(RECORD.word.load(Acquire)).fd() == opened.fd
}

/// The state of the tracked descriptor, for `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrackedDevice {
    /// This process tracks no descriptor: it has not needed one since it began or
    /// was forked, or a thread is opening one.
    None,
    /// This process tracks a descriptor, and it is still the device.
    Open {
        /// The descriptor's number. A program that closes all descriptors which it
        /// did not open may leave this one open.
        number: i32,
        /// The process that opened it, which is this one.
        process: u32,
    },
    /// The descriptor was closed, another file has its number, or it cannot be proven any
    /// more. The next use opens the device again.
    Lost {
        /// The number that the descriptor had.
        number: i32,
    },
    /// The record belongs to another process. This process shares that one's memory (a child
    /// of vfork(2)), or has a copy of it that was not wiped (a restored process). Each use opens
    /// and closes a descriptor.
    OtherProcess {
        /// The process in the record.
        process: u32,
    },
}

impl fmt::Display for TrackedDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("not open"),
            Self::Open { number, process } => {
                write!(f, "descriptor {number}, opened by process {process}")
            }
            Self::Lost { number } => write!(f, "descriptor {number} was closed or replaced"),
            Self::OtherProcess { process } => {
                write!(f, "not open: the record is that of process {process}")
            }
        }
    }
}

pub(crate) fn tracked() -> TrackedDevice {
    match look_with(MARK.get()) {
        Tracked::None(..) | Tracked::Claimed => TrackedDevice::None,
        Tracked::Own(opened, _) if matches!(opened.is_proven(), Ok(true)) => TrackedDevice::Open {
            number: opened.fd,
            process: sys::pid(),
        },
        Tracked::Own(opened, _) => TrackedDevice::Lost { number: opened.fd },
        Tracked::Foreign(seen) => TrackedDevice::OtherProcess {
            process: seen.word.process(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(fd: c_int) -> Opened {
        let none = Identity {
            dev: 0,
            ino: 0,
            rdev: None,
            is_link: false,
        };
        Opened { fd, identity: none }
    }

    #[test]
    fn a_claim_names_the_number_whose_place_is_taken_and_no_other() {
        let lost = Word(0).next(7);
        assert_eq!(lost.claimed_for(None).fd(), 0);
        assert_eq!(lost.claimed_for(Some(opened(7))).fd(), 7);
        for claimed in [lost.claimed_for(None), lost.claimed_for(Some(opened(7)))] {
            assert!(claimed.is_claimed() && claimed.is_of_this_process());
            assert!(claimed != lost && !claimed.next(8).is_claimed());
        }
    }
}
