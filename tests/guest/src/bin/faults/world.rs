//! The faults, and what each call is answered under them.

use libc::{EACCES, EINTR, EINVAL, EIO, EMFILE, ENOENT, ENOMEM, ENOSYS, ENOTTY, EPERM, ESPIPE};

/// A descriptor, by the order in which it was opened.
pub type Number = usize;

/// A number that was not opened here.
pub const STRANGER: Number = usize::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    Urandom,
    Random,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    Wiped,
    Vdso,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    Nonsense,
    WipeOnFork,
    DontDump,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Not of the crate: here one of its functions is called.
    Step(usize),
    Getrandom(usize),
    Lstat(Path),
    Open(Path),
    Fstat(Number),
    /// To a number of at least 3.
    Move(Number),
    EntropyCount(Number),
    Poll(Number),
    Pread(Number, usize),
    Close(Number),
    Mmap(Memory),
    Madvise(Advice),
    Munmap,
    /// Anything else, by its number.
    Other(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The kernel's own.
    Real,
    /// The call is not made.
    Return(i64),
    /// The kernel's own, of a request cut to this.
    AtMost(usize),
    /// The kernel's own with one field of the structure changed.
    Changed(Field),
    FewBits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Device,
    Inode,
    Type,
    DeviceNumber,
}

use Answer::{AtMost, Changed, FewBits, Real, Return};

fn fails(errno: i32) -> Answer {
    Return(-i64::from(errno))
}

fn fails_if(condition: bool, errno: i32) -> Answer {
    if condition { fails(errno) } else { Real }
}

/// A name, and the answer to the n-th call of the kind, counted from 0.
type Fault = (&'static str, fn(usize) -> Answer);

/// What there are faults of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Getrandom,
    Lstat,
    Open,
    Move,
    EntropyCount,
    LstatRandom,
    OpenRandom,
    Poll,
    Pread,
    Mmap,
    Madvise,
}

const OPEN_RETURNS_0: usize = 1;

impl Kind {
    fn of(call: Call) -> Option<Self> {
        Some(match call {
            Call::Getrandom(_) => Self::Getrandom,
            Call::Lstat(Path::Urandom) => Self::Lstat,
            Call::Lstat(Path::Random) => Self::LstatRandom,
            Call::Open(Path::Urandom) => Self::Open,
            Call::Open(Path::Random) => Self::OpenRandom,
            Call::Move(_) => Self::Move,
            Call::EntropyCount(_) => Self::EntropyCount,
            Call::Poll(_) => Self::Poll,
            Call::Pread(..) => Self::Pread,
            Call::Mmap(_) => Self::Mmap,
            Call::Madvise(_) => Self::Madvise,
            _ => return None,
        })
    }

    /// All that may befall the calls; the first is nothing.
    fn faults(self) -> &'static [Fault] {
        match self {
            Self::Getrandom => &[
                ("works", |_| Real),
                ("ENOSYS", |_| fails(ENOSYS)),
                ("EPERM", |_| fails(EPERM)),
                ("EINTR once", |n| fails_if(n < 1, EINTR)),
                ("EINTR twice", |n| fails_if(n < 2, EINTR)),
                ("short once", |n| if n == 0 { AtMost(7) } else { Real }),
                ("short once, then EPERM", |n| {
                    if n == 0 { AtMost(7) } else { fails(EPERM) }
                }),
                ("later EPERM", |n| fails_if(n > 0, EPERM)),
                ("later ENOSYS", |n| fails_if(n > 0, ENOSYS)),
                ("EPERM once", |n| fails_if(n == 0, EPERM)),
                ("EIO", |_| fails(EIO)),
                ("no byte", |_| Return(0)),
            ],
            Self::Lstat => &[
                ("works", |_| Real),
                ("ENOENT", |_| fails(ENOENT)),
                ("EACCES", |_| fails(EACCES)),
                ("ENOENT once", |n| fails_if(n == 0, ENOENT)),
                ("a file", |_| Changed(Field::Type)),
                ("another device", |_| Changed(Field::DeviceNumber)),
            ],
            Self::Open => &[
                ("works", |_| Real),
                ("returns 0", |_| Real),
                ("EACCES", |_| fails(EACCES)),
                ("ENOENT", |_| fails(ENOENT)),
                ("EMFILE", |_| fails(EMFILE)),
                ("EMFILE once", |n| fails_if(n == 0, EMFILE)),
                ("EINTR once", |n| fails_if(n == 0, EINTR)),
            ],
            Self::Move => &[("works", |_| Real), ("EMFILE", |_| fails(EMFILE))],
            Self::EntropyCount => &[
                ("works", |_| Real),
                ("ENOTTY", |_| fails(ENOTTY)),
                ("few bits", |_| FewBits),
            ],
            Self::LstatRandom => &[("works", |_| Real), ("ENOENT", |_| fails(ENOENT))],
            Self::OpenRandom => &[("works", |_| Real), ("EMFILE", |_| fails(EMFILE))],
            Self::Poll => &[
                ("works", |_| Real),
                ("EINTR once", |n| fails_if(n == 0, EINTR)),
                ("EINVAL", |_| fails(EINVAL)),
            ],
            Self::Pread => &[
                ("works", |_| Real),
                ("ESPIPE", |_| fails(ESPIPE)),
                ("EINTR once", |n| fails_if(n == 0, EINTR)),
                ("short once", |n| if n == 0 { AtMost(7) } else { Real }),
                ("no byte", |_| Return(0)),
            ],
            Self::Mmap => &[("works", |_| Real), ("ENOMEM", |_| fails(ENOMEM))],
            Self::Madvise => &[
                ("works", |_| Real),
                ("EINVAL", |_| fails(EINVAL)),
                ("accepts anything", |_| Return(0)),
            ],
        }
    }
}

/// What stands at a number instead, just before an fstat: with each field that
/// tells it from the device, or nothing at all.
const INSTEAD: [Answer; 5] = [
    Changed(Field::Inode),
    Changed(Field::Type),
    Return(-libc::EBADF as i64),
    Changed(Field::Device),
    Changed(Field::DeviceNumber),
];

/// Where there is a choice of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Vdso,
    /// All calls of a kind.
    Kind(Kind),
    /// The n-th fstat.
    Proof(usize),
}

/// One choice: of `of`, which have names.
#[derive(Clone, Copy)]
struct Choice {
    place: Place,
    taken: usize,
    of: usize,
}

struct Opened {
    /// What fstat answers.
    identity: Answer,
    is_0: bool,
}

/// A combination of faults, and how far a process has come in it.
///
/// A choice is made when the call is reached for the first time. So there is no
/// combination with a fault that nobody meets, and none is met twice.
#[derive(Default)]
pub struct World {
    choices: Vec<Choice>,
    /// The model has been here; a process that goes elsewhere meets no fault
    /// there.
    decided: bool,
    /// Calls so far, by kind.
    counts: [usize; Kind::Madvise as usize + 1],
    proofs: usize,
    opened: Vec<Opened>,
    pub trace: Vec<(Call, Answer)>,
}

impl World {
    /// Goes to the next combination of at most so many faults, or returns
    /// `false` after the last one.
    pub fn next(&mut self, most: usize) -> bool {
        while let Some(mut last) = self.choices.pop() {
            last.taken += 1;
            if last.taken < last.of && self.faults() < most {
                self.choices.push(last);
                self.restart();
                self.decided = false;
                return true;
            }
        }
        false
    }

    /// Begins anew, with the same faults.
    pub fn restart(&mut self) {
        *self = Self {
            choices: std::mem::take(&mut self.choices),
            decided: true,
            ..Self::default()
        };
    }

    fn faults(&self) -> usize {
        let choices = self.choices.iter();
        choices.filter(|choice| choice.taken > 0).count()
    }

    /// The faults, for a report.
    pub fn describe(&self) -> String {
        let choices = self.choices.iter().filter(|choice| choice.taken > 0);
        let names = choices.map(|&Choice { place, taken, .. }| match place {
            Place::Kind(kind) => {
                let fault = kind.faults()[taken].0;
                format!("{kind:?} {fault}")
            }
            Place::Vdso => "vDSO".into(),
            Place::Proof(n) if taken == 2 => format!("stranger at each proof from {n}"),
            Place::Proof(n) => format!("{:?} at proof {n}", instead(n)),
        });
        names.collect::<Vec<_>>().join(", ")
    }

    fn choose(&mut self, place: Place, of: usize) -> usize {
        if let Some(choice) = self.choices.iter().find(|choice| choice.place == place) {
            return choice.taken;
        }
        if !self.decided {
            let taken = 0;
            self.choices.push(Choice { place, taken, of });
        }
        0
    }

    fn chosen(&self, place: Place) -> usize {
        let mut choices = self.choices.iter();
        choices
            .find(|choice| choice.place == place)
            .map_or(0, |choice| choice.taken)
    }

    /// Whether the process finds getrandom in the vDSO, if the kernel has it.
    pub fn has_vdso(&mut self, kernel_has_it: bool) -> bool {
        self.choose(Place::Vdso, 1 + usize::from(kernel_has_it)) == 1
    }

    /// Whether the process has no descriptor 0 to begin with.
    pub fn is_0_free(&self) -> bool {
        self.chosen(Place::Kind(Kind::Open)) == OPEN_RETURNS_0
    }

    /// What `call`, which the process makes now, is answered.
    pub fn answer(&mut self, call: Call) -> Answer {
        let answer = match call {
            Call::Fstat(number) => self.proof(number),
            _ => Kind::of(call).map_or(Real, |kind| self.fault(kind)),
        };
        if matches!(call, Call::Open(_) | Call::Move(_)) && answer == Real {
            let is_0 = matches!(call, Call::Open(_))
                && self.is_0_free()
                && !self.opened.iter().any(|opened| opened.is_0);
            self.opened.push(Opened {
                identity: Real,
                is_0,
            });
        }
        if let Call::Close(number) = call
            && let Some(opened) = self.opened.get_mut(number)
        {
            opened.is_0 = false;
        }
        self.trace.push((call, answer));
        answer
    }

    /// The descriptor that the last call opened.
    pub fn newest(&self) -> Number {
        self.opened.len() - 1
    }

    pub fn is_at_0(&self, number: Number) -> bool {
        self.opened[number].is_0
    }

    fn fault(&mut self, kind: Kind) -> Answer {
        let faults = kind.faults();
        let taken = self.choose(Place::Kind(kind), faults.len());
        let count = &mut self.counts[kind as usize];
        *count += 1;
        faults[taken].1(*count - 1)
    }

    /// Once, or at each proof from the first, a stranger has taken the number
    /// just now; and there it stays.
    fn proof(&mut self, number: Number) -> Answer {
        let n = self.proofs;
        self.proofs += 1;
        let Some(opened) = self.opened.get(number) else {
            return Real;
        };
        if opened.identity != Real {
            return opened.identity;
        }
        let before = self.choices.iter().find_map(|choice| match choice.place {
            Place::Proof(at) if at < n && choice.taken > 0 => Some(choice.taken),
            _ => None,
        });
        let taken = match before {
            Some(1) => 0,
            Some(always) => always,
            None => self.choose(Place::Proof(n), if n == 0 { 3 } else { 2 }),
        };
        if taken > 0 {
            self.opened[number].identity = instead(n);
        }
        self.opened[number].identity
    }
}

fn instead(n: usize) -> Answer {
    INSTEAD[n % INSTEAD.len()]
}
