//! The record of the tracked descriptor: its number, the process that opened it,
//! and the device and inode that it was opened on.
//!
//! The record is in ordinary memory. Beside it, in wiped memory, a mark says that
//! the record is this process's own:
//!
//! | mark | process in the record | what it means |
//! | --- | --- | --- |
//! | set | this one | the descriptor is used, once it is proven |
//! | set, or there is no wiped memory | another one | memory is shared with that process (vfork, `CLONE_VM`), or was copied and not wiped (a restored process, an emulator): neither the record nor its descriptor is changed, except by `prepare` in a process that shares no memory |
//! | wiped | any | this is a forked child: it opens a descriptor of its own, and puts it in the place of the inherited one |
//!
//! One word holds number, process and a version. A call that changes the record claims
//! the word first and publishes it last, each by an exchange; other calls do not use the
//! record meanwhile. If two threads open the device at once, one tracks its descriptor,
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

/// Acquire and release where it is exchanged, and fences, so that `dev` and `ino`,
/// which are Relaxed, belong to it.
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

/// Not 0 where the record is this process's own.
static MARK: WipedCell<AtomicU64> = WipedCell::new();

/// From the top: a version of 20 bits, a process of 22, as Linux has at most 2^22,
/// whether a call is changing the record, and a number of 21 bits, 0 for none.
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

    /// The number is that whose place is taken, for a child that is forked meanwhile and for
    /// another thread that finds its own descriptor there. If no place is taken, it is 0: two
    /// threads may have opened the device at the lost number and at another one, and each
    /// closes a descriptor that it cannot track.
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

/// What the record says to this process.
#[derive(Clone, Copy)]
pub(super) enum Tracked {
    /// This process's own descriptor, not yet proven.
    Own(Opened, Seen),
    /// None of this process's own, and the inherited descriptor, not yet proven.
    None(Option<Opened>, Seen),
    /// It is another process's.
    Foreign(Seen),
    /// A call is changing it.
    Claimed,
}

/// The record as it was seen: it is replaced only if it is still the same.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    word: Word,
    mark: Option<&'static AtomicU64>,
}

impl PartialEq for Seen {
    /// Each record has its own version.
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
    }
}

/// What a descriptor is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Draw,
    /// A later draw, in a sandbox.
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
    // [P1 mark-tells] A forked child must not use or close its parent's descriptor as its
    // own.
    if mark.is_some_and(|mark| mark.load(Relaxed) == 0) {
        return Tracked::None(recorded, seen);
    }
    // [P1 process-tells] The memory is shared with that process, or was copied unwiped.
    match recorded {
        None if !word.is_claimed() => Tracked::None(None, seen),
        Some(opened) if is_own => Tracked::Own(opened, seen),
        _ => Tracked::Foreign(seen),
    }
}

/// Tracks `opened` in place of what was seen, and of the `inherited` descriptor.
/// Returns whether its number is tracked: not where another thread was first.
pub(super) fn track(opened: &mut Opened, seen: Seen, inherited: Option<Opened>) -> bool {
    // More than any system allows by default; and the word has no room for it.
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
        // A thread that sees a field of the new record must see the claim.
        fence(Release);
        // [P1 take-place] Otherwise each generation of children would leave one more
        // descriptor open.
        if let Some(inherited) = inherited {
            opened.take_place_of(inherited);
        }
        // Before the process is asked for: a handler that forks in between leaves a child
        // whose mark is wiped, and one that forks earlier a child that records its own process.
        if let Some(mark) = seen.mark {
            mark.store(1, Relaxed);
        }
        RECORD.dev.store(opened.identity.dev, Relaxed);
        RECORD.ino.store(opened.identity.ino, Relaxed);
        exchange(claimed, claimed.next(opened.fd))
    };
    // A handler may have forked in the middle, and the child's draw may have put its own
    // descriptor at this number, or another thread is about to: this call must not close it.
    is_published || Word(RECORD.word.load(Acquire)).fd() == opened.fd
}

/// The state of the tracked descriptor, for `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrackedDevice {
    /// This process tracks no descriptor: it has not needed one since it began or
    /// was forked, or a thread is opening it.
    None,
    /// This process tracks a descriptor, and it is still the device.
    Open {
        /// The descriptor's number. A program that closes all descriptors which it
        /// did not open may leave this one open.
        number: i32,
        /// The process that opened it: this one.
        process: u32,
    },
    /// The number leads elsewhere, is closed, or cannot be proven any more. The next
    /// use opens the device again.
    Lost {
        /// The number that the descriptor had.
        number: i32,
    },
    /// The record belongs to another process, whose memory this one shares (a
    /// child of vfork(2)) or got unwiped (a restored process). Each use opens and
    /// closes a descriptor.
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
