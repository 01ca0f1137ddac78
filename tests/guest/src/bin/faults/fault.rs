//! The faults of each kind of call.

use libc::{
    EACCES, EBUSY, EINTR, EINVAL, EIO, EMFILE, ENOENT, ENOMEM, ENOSYS, ENOTTY, EPERM, ESPIPE,
};

use crate::call::Answer::{self, AtMost, Bits, Changed, Real, Return};
use crate::call::{Call, Field, Path};

fn fails(errno: i32) -> Answer {
    Return(-i64::from(errno))
}

fn fails_if(condition: bool, errno: i32) -> Answer {
    if condition { fails(errno) } else { Real }
}

/// A name, and the answer to the n-th call of the kind. The first call is number 0.
pub type Fault = (&'static str, fn(usize) -> Answer);

/// A kind of call that has faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Getrandom,
    Stat,
    Open,
    Flags,
    Move,
    Replace,
    EntropyCount,
    StatRandom,
    OpenRandom,
    Poll,
    Pread,
    Mmap,
    Madvise,
}

pub const OPEN_RETURNS_0: usize = 1;

impl Kind {
    pub fn of(call: Call) -> Option<Self> {
        Some(match call {
            Call::Getrandom(_) => Self::Getrandom,
            Call::Stat(Path::Urandom) => Self::Stat,
            Call::Stat(Path::Random) => Self::StatRandom,
            Call::Flags(_) => Self::Flags,
            Call::Replace(..) => Self::Replace,
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

    /// Returns the faults. The first one is that the calls work.
    pub fn faults(self) -> &'static [Fault] {
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
            Self::Flags => &[
                ("works", |_| Real),
                ("not the crate's", |_| Return(0)),
                ("EPERM", |_| fails(EPERM)),
            ],
            Self::Replace => &[("works", |_| Real), ("EBUSY", |_| fails(EBUSY))],
            Self::Stat => &[
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
                ("EMFILE the second time", |n| fails_if(n == 1, EMFILE)),
                ("EINTR once", |n| fails_if(n == 0, EINTR)),
            ],
            Self::Move => &[("works", |_| Real), ("EMFILE", |_| fails(EMFILE))],
            Self::EntropyCount => &[
                ("works", |_| Bits(256)),
                ("ENOTTY", |_| fails(ENOTTY)),
                ("few bits", |_| Bits(255)),
            ],
            Self::StatRandom => &[("works", |_| Real), ("ENOENT", |_| fails(ENOENT))],
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
                // It is the third piece of advice on each mapping.
                ("EINVAL for DONTDUMP", |n| fails_if(n % 3 == 2, EINVAL)),
            ],
        }
    }
}

/// What fstat answers if a stranger has taken the number: a file that differs from the
/// device in one field, or no file.
pub const INSTEAD: [Answer; 5] = [
    Changed(Field::Inode),
    Changed(Field::Type),
    Return(-libc::EBADF as i64),
    Changed(Field::Device),
    Changed(Field::DeviceNumber),
];
