//! Compares the crate with a model, in a program that closes, replaces and opens descriptors and
//! forks, in a sandbox and under a limit. No descriptor of the program is read, written or closed.
//! At most one descriptor is added, and only if it is needed. All UUIDs are distinct. A call
//! fails if and only if no entropy source can be reached.
#![no_main]

use std::sync::OnceLock;

use arbitrary::Arbitrary;
use fork_safe_uuid::{Error, ErrorKind, Generator, Uuid};
use libfuzzer_sys::fuzz_target;

mod copies;
mod scene;

use copies::{Board, board};
use scene::{Decoys, Refusal, Seen, Thing, seen};

/// The program uses the numbers below this one.
const PROGRAM: usize = 32;

/// The model watches the numbers below this one.
const WATCHED: usize = PROGRAM + 16;

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Number {
    At(u8),
    /// The number that the tracked descriptor had last.
    Device,
}

#[derive(Arbitrary, Debug)]
enum Operation {
    Close(Number),
    CloseRange(u8, u8),
    Decoy(u8, Number),
    Copy(Number, Number),
    Open(Thing),
    /// Makes a child that continues with this number of operations, or with all if it is 0.
    Fork(u8),
    Refuse(Refusal),
    Limit(u8),
    Prepare,
    One,
    Many(u16),
    Unbuffered(u8),
    Reseed,
}

/// Whether a source can be reached.
#[derive(Clone, Copy)]
struct Can {
    /// It may be reachable.
    may: bool,
    /// It is certainly reachable.
    must: bool,
}

/// A process, and the state of the crate in it according to the model.
struct World {
    board: &'static Board,
    decoys: &'static Decoys,
    /// The descriptors of the program, by number.
    held: [Option<Seen>; WATCHED],
    /// The number of the crate's tracked descriptor.
    tracked: Option<usize>,
    /// The number that the tracked descriptor of this process had last.
    last: Option<usize>,
    refusal: Option<Refusal>,
    limit: u64,
    /// The thread has a key, with which it makes UUIDs without a source.
    keyed: bool,
    /// The vDSO may have a key.
    vdso: bool,
}

impl World {
    fn new(board: &'static Board, decoys: &'static Decoys) -> Self {
        // SAFETY: in a copy, whose report needs no descriptor. The decoys are above the range.
        unsafe { libc::close_range(3, Decoys::FIRST as u32 - 1, 0) };
        Self {
            board,
            decoys,
            held: std::array::from_fn(seen),
            tracked: None,
            last: None,
            refusal: None,
            limit: Decoys::END,
            keyed: false,
            vdso: false,
        }
    }

    /// Returns the number that an operation names.
    fn number(&self, number: Number) -> usize {
        match number {
            Number::At(number) => usize::from(number) % PROGRAM,
            Number::Device => self.last.unwrap_or(3).min(PROGRAM - 1),
        }
    }

    /// Notes what the program has at `number`, after the program has changed it.
    fn own(&mut self, number: usize) {
        self.held[number] = seen(number);
        self.tracked = self.tracked.filter(|&tracked| tracked != number);
    }

    /// Returns whether the device can be read: the tracked descriptor still exists, or there is a
    /// number for a new one. If another descriptor of the device has the tracked number, the
    /// answer depends on whether a parent or this process tracked it.
    fn device(&self) -> Can {
        let at = |is: fn(Seen) -> bool| {
            let stands = |number| seen(number).is_some_and(is);
            let free = (3..WATCHED).find(|&number| seen(number).is_none());
            self.last.is_some_and(stands) || (free.unwrap_or(WATCHED) as u64) < self.limit
        };
        Can {
            may: at(Seen::is_device),
            must: at(Seen::is_marked),
        }
    }

    /// Returns whether any source can be reached.
    fn source(&self) -> Can {
        let known = |can| Can {
            may: can,
            must: can,
        };
        match self.refusal {
            None => known(true),
            Some(Refusal::Broken) => known(false),
            Some(Refusal::Forbidden | Refusal::Missing) => self.device(),
        }
    }

    /// Calls the crate, and checks all numbers afterwards. `opens` says that the call may open the
    /// device.
    fn call<T>(&mut self, opens: bool, call: impl FnOnce() -> T) -> T {
        let before = self.tracked;
        let result = call();
        let mut tracked = None;
        for (number, held) in self.held.iter().enumerate() {
            let now = seen(number);
            if held.is_some() {
                // A duplicate of the crate's descriptor cannot be told from it.
                let is_same = now == *held || now.is_some_and(Seen::is_marked);
                assert!(is_same, "{number} is the program's: {held:?}, now {now:?}");
            } else if let Some(now) = now {
                assert_eq!(tracked.replace(number), None, "two descriptors");
                assert!(number >= 3 && now.is_as_opened(), "{now:?} at {number}");
            }
        }
        let refused = !matches!(self.refusal, None | Some(Refusal::Broken));
        assert!(
            tracked == before || before.is_none() && (opens || refused),
            "the device was at {before:?} and is at {tracked:?}"
        );
        self.tracked = tracked;
        self.last = tracked.or(self.last);
        result
    }

    /// Checks the UUIDs that were made, which must be possible, or the error.
    fn made(&self, made: Result<&[Uuid], &Error>, can: bool) {
        match made {
            Ok(uuids) => {
                assert!(can, "UUIDs without a source");
                self.board.add(uuids);
                for id in uuids {
                    assert!(!scene::shows_decoy(id.as_bytes()), "{id} is a decoy's");
                }
            }
            Err(error) => {
                let kind = match self.refusal {
                    Some(Refusal::Broken) => ErrorKind::Kernel,
                    _ => ErrorKind::NoSource,
                };
                assert_eq!(error.kind(), kind, "{error}");
            }
        }
    }

    /// Makes several UUIDs at once.
    fn fill(&mut self, count: usize, unbuffered: bool) {
        let source = self.source();
        let count = count.min(self.board.room());
        let mut uuids = vec![Uuid::max(); count];
        let made = self.call(false, || {
            if unbuffered {
                Generator::unbuffered().try_fill_v4(&mut uuids)
            } else {
                fork_safe_uuid::try_fill_v4(&mut uuids)
            }
        });
        if count == 0 {
            return assert!(made.is_ok());
        }
        if unbuffered {
            assert!(made.is_ok() || !source.must, "{made:?}");
            self.made(made.as_ref().map(|()| &uuids[..]), source.may || self.vdso);
            self.vdso |= made.is_ok() && self.refusal.is_none();
        } else {
            assert!(made.is_ok() || !source.must && !self.keyed, "{made:?}");
            self.made(made.as_ref().map(|()| &uuids[..]), source.may || self.keyed);
            self.keyed = made.is_ok();
        }
        assert!(made.is_ok() || uuids.iter().all(Uuid::is_nil));
    }

    /// Makes one UUID.
    fn one(&mut self) {
        let source = self.source();
        let made = self.call(false, fork_safe_uuid::try_new_v4);
        assert!(made.is_ok() || !source.must && !self.keyed, "{made:?}");
        self.made(
            made.as_ref().map(std::slice::from_ref),
            source.may || self.keyed,
        );
        self.keyed = made.is_ok();
    }

    fn prepare(&mut self) {
        let (source, device) = (self.source(), self.device());
        let status = self.call(true, fork_safe_uuid::prepare);
        // An error of the kind `Device` means that nothing else failed.
        let made = match &status {
            Ok(status) => {
                assert!(status.device_is_open() && device.may, "{status}");
                true
            }
            Err(error) if error.kind() == ErrorKind::Device => {
                assert!(!device.must, "{error}");
                true
            }
            Err(error) => {
                assert!(!source.must && !self.keyed, "{error}");
                false
            }
        };
        assert!(!made || source.may || self.keyed);
        self.keyed = made;
    }

    fn run(&mut self, operations: &[Operation]) {
        for (index, operation) in operations.iter().enumerate() {
            match *operation {
                Operation::Close(number) => {
                    let number = self.number(number);
                    scene::close(number);
                    self.own(number);
                }
                Operation::CloseRange(first, last) => {
                    let first = self.number(Number::At(first));
                    for number in first..=self.number(Number::At(last)) {
                        scene::close(number);
                        self.own(number);
                    }
                }
                Operation::Decoy(kind, number) => {
                    let number = self.number(number);
                    if scene::copy(self.decoys.number(kind), number) {
                        self.own(number);
                    }
                }
                Operation::Copy(from, to) => {
                    let (from, to) = (self.number(from), self.number(to));
                    if from != to && scene::copy(from, to) {
                        self.own(to);
                    }
                }
                Operation::Open(thing) => {
                    if let Some(number) = thing.open(PROGRAM) {
                        self.own(number);
                    }
                }
                Operation::Fork(count) => {
                    if self.board.fork() {
                        // The keys of the parent are wiped in the child.
                        (self.keyed, self.vdso) = (false, false);
                        let rest = &operations[index + 1..];
                        let count = match count {
                            0 => rest.len(),
                            _ => rest.len().min(count.into()),
                        };
                        self.run(&rest[..count]);
                        self.board.leave();
                    }
                }
                Operation::Refuse(refusal) => {
                    refusal.begin();
                    self.refusal = Some(refusal);
                }
                Operation::Limit(limit) => {
                    self.limit = match limit {
                        0..64 => limit.into(),
                        _ => Decoys::END,
                    };
                    scene::limit(self.limit);
                }
                Operation::Prepare => self.prepare(),
                Operation::One => self.one(),
                Operation::Many(count) => self.fill(usize::from(count) % 4500, false),
                Operation::Unbuffered(count) => self.fill(count.into(), true),
                Operation::Reseed => {
                    self.call(false, fork_safe_uuid::reseed);
                    self.keyed = false;
                }
            }
        }
    }
}

fuzz_target!(|operations: Vec<Operation>| {
    static DECOYS: OnceLock<Decoys> = OnceLock::new();
    let decoys = DECOYS.get_or_init(Decoys::new);
    let board = board();
    if board.fork() {
        World::new(board, decoys).run(&operations);
        board.leave();
    }
    board.conclude();
    decoys.assert_untouched();
});
