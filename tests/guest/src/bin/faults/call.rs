//! The system calls that the crate makes, and the answers to them.

/// A descriptor: how many were opened before it.
pub type Number = usize;

/// A descriptor that the process has not opened.
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
    /// A mark, not a call of the crate: here this program calls one of its functions.
    Step(usize),
    Getrandom(usize),
    /// Follows symbolic links.
    Stat(Path),
    /// Does not follow them.
    Lstat(Path),
    Open(Path),
    Fstat(Number),
    /// Reads the flags with which the descriptor was opened.
    Flags(Number),
    /// Duplicates the descriptor to a number of at least 3.
    Move(Number),
    /// Puts the first descriptor in the place of the second.
    Replace(Number, Number),
    EntropyCount(Number),
    Poll(Number),
    Pread(Number, usize),
    Close(Number),
    Mmap(Memory),
    Madvise(Advice),
    Munmap,
    /// Any other call, by its number.
    Other(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The kernel answers.
    Real,
    /// The kernel does not see the call, which returns this.
    Return(i64),
    /// The kernel answers a request for at most this many bytes.
    AtMost(usize),
    /// The kernel answers, and one field of its structure is changed.
    Changed(Field),
    /// The kernel answers, and the entropy count is changed to this.
    Bits(i32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Device,
    Inode,
    Type,
    DeviceNumber,
}
