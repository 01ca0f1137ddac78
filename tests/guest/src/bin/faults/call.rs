//! The calls that the crate makes, and what they can be answered.

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
    /// Through symbolic links, and not.
    Stat(Path),
    Lstat(Path),
    Open(Path),
    Fstat(Number),
    /// The flags that it was opened with.
    Flags(Number),
    /// To a number of at least 3.
    Move(Number),
    /// The first takes the place of the second.
    Replace(Number, Number),
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
    /// The kernel's own with this entropy count.
    Bits(i32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Device,
    Inode,
    Type,
    DeviceNumber,
}
