//! A model of the crate: the calls that it makes and the results that it returns, for each
//! answer of the kernel.

use fork_safe_uuid::ErrorKind;
use libc::{EINTR, EINVAL, EMFILE, ENOSYS, EPERM};

use crate::call::{Advice, Answer, Call, Memory, Number};
use crate::world::World;

mod device;

use device::is_own;

/// The steps that a fresh process makes, one after the other.
pub const STEPS: [&str; 8] = [
    "try_new_v4",
    "try_new_v4 again",
    "unbuffered",
    "prepare",
    "unbuffered again",
    "reseed and try_new_v4",
    "try_new_v4 in wiped memory",
    "try_new_v4 as another process",
];

/// Before this step all wiped memory becomes zero, as in a forked child.
pub const WIPED: usize = 6;

/// In this step the process has another id, like a child of vfork(2).
pub const FOREIGN: usize = 7;

pub const UUID: &str = "a UUID";

/// Why there is no entropy.
#[derive(Clone)]
struct Failure {
    text: String,
    errno: Option<i32>,
}

type Result<T> = std::result::Result<T, Failure>;

fn os(call: &str, errno: i32) -> Failure {
    Failure {
        text: format!("{call}: {}", support::text_of(errno)),
        errno: Some(errno),
    }
}

fn said(text: &str) -> Failure {
    Failure {
        text: text.into(),
        errno: None,
    }
}

/// Returns an error as a line of the report.
pub fn error_line(kind: ErrorKind, errno: Option<i32>, text: &str) -> String {
    format!("{kind:?}, {errno:?}: {text}")
}

/// The state of the process.
#[derive(Default)]
pub struct Model {
    has_vdso: bool,
    initialised: bool,
    /// Whether the record has wiped memory, once it was asked for.
    has_wiped: Option<bool>,
    /// Whether that memory has the mark that the record is this process's.
    is_marked: bool,
    /// The descriptor in the record.
    tracked: Option<Number>,
    is_foreign: bool,
    /// Whether `prepare` opened the device, once it was called.
    prepared: Option<bool>,
    /// Whether the thread's pool has memory, once it was asked for.
    pooled: Option<bool>,
    /// Whether the pool has UUIDs.
    ready: bool,
    /// Whether the vDSO's state has memory, once it was asked for.
    vdso: Option<bool>,
    vdso_has_key: bool,
    /// Whether the clock sequence and the node have memory, which `prepare` maps.
    gregorian: bool,
    /// The source of the last seed, as a status calls it.
    served: &'static str,
}

impl Model {
    /// Returns the result of each step. The trace of `world` then has the calls.
    pub fn run(world: &mut World, has_vdso: bool) -> Vec<String> {
        let mut model = Self {
            has_vdso,
            ..Self::default()
        };
        let outcomes = (0..STEPS.len()).map(|step| {
            world.answer(Call::Step(step));
            let made = match step {
                0 | 1 => model.pooled(world).map(|()| UUID.into()),
                2 | 4 => model.unbuffered(world).map(|()| UUID.into()),
                3 => model.prepare(world),
                WIPED => {
                    if model.has_wiped == Some(true) {
                        model.is_marked = false;
                    }
                    model.first_of_a_child(world).map(|()| UUID.into())
                }
                _ => {
                    model.is_foreign = step == FOREIGN;
                    model.reseed(world);
                    model.pooled(world).map(|()| UUID.into())
                }
            };
            made.unwrap_or_else(|line| line)
        });
        outcomes.collect()
    }

    /// Opens the device, whether or not getrandom(2) works. If the device cannot be opened,
    /// it returns that error, unless there is no source at all.
    fn prepare(&mut self, world: &mut World) -> std::result::Result<String, String> {
        let device = self.keep(world);
        self.prepared = Some(device.is_ok());
        self.pooled(world)?;
        // The thread has asked for the vDSO's state before.
        self.gregorian = wiped_memory(world);
        if let Err(device) = device {
            let advice = match advice(&device) {
                Some("") => "free a descriptor or raise the limit",
                Some(advice) => advice,
                None => "a sandbox that refuses getrandom(2) would leave no source",
            };
            let text = format!("no device in reserve: {}; {advice}", device.text);
            return Err(error_line(ErrorKind::Device, device.errno, &text));
        }
        let number = self.tracked.expect("the device was opened");
        Ok(format!(
            "source: {}; pooled: {}; device: {}; missed reseeds: 0; clock steps: 0",
            self.served,
            match self.pooled {
                Some(true) => "yes",
                _ => "no",
            },
            match is_own(world, number) {
                true => "descriptor N, opened by process P",
                false => "descriptor N was closed or replaced",
            },
        ))
    }

    /// Discards the keys, and marks all wiped memory again: the vDSO's states, the record's
    /// mark, the pool, the clock sequence and the node.
    fn reseed(&mut self, world: &mut World) {
        self.ready = false;
        self.vdso_has_key = false;
        let gregorian = Some(self.gregorian);
        for memory in [self.vdso, self.has_wiped, self.pooled, gregorian] {
            if memory == Some(true) {
                mark_wiped(world);
            }
        }
    }

    /// Makes a UUID by the pool. A seed makes many UUIDs ready. Without wiped memory the pool
    /// keeps nothing.
    fn pooled(&mut self, world: &mut World) -> std::result::Result<(), String> {
        if self.ready {
            return Ok(());
        }
        if !*self.pooled.get_or_insert_with(|| wiped_memory(world)) {
            return self.unbuffered(world);
        }
        self.draw(world)?;
        self.ready = true;
        Ok(())
    }

    /// Makes the first UUID of a child. If the parent had UUIDs ready, the kernel makes it.
    /// The pool is only used if the kernel refuses.
    fn first_of_a_child(&mut self, world: &mut World) -> std::result::Result<(), String> {
        if self.ready && self.pooled == Some(true) {
            self.ready = false;
            if getrandom(world, 16).is_ok() {
                self.served = "kernel";
                return Ok(());
            }
        }
        self.pooled(world)
    }

    /// Makes a UUID by the vDSO, or as a seed is drawn.
    fn unbuffered(&mut self, world: &mut World) -> std::result::Result<(), String> {
        if self.vdso(world) {
            self.served = "kernel";
            return Ok(());
        }
        self.draw(world)
    }

    /// Draws by getrandom(2), and by the device each time that getrandom(2) is refused.
    fn draw(&mut self, world: &mut World) -> std::result::Result<(), String> {
        let errno = match getrandom(world, 16) {
            Ok(()) => {
                self.served = "kernel";
                return Ok(());
            }
            Err(errno) => errno,
        };
        let kernel = match errno {
            Some(errno) => os("getrandom(2)", errno),
            None => said("getrandom(2): a read returned no byte"),
        };
        if !matches!(errno, Some(ENOSYS | EPERM)) {
            let text = format!("no entropy source: {}", kernel.text);
            return Err(error_line(ErrorKind::Kernel, kernel.errno, &text));
        }
        self.device(world, 16).map_err(|device| {
            let prepared = self.prepared.filter(|_| !self.is_foreign);
            let advice = match (advice(&device), prepared) {
                (Some(""), None) => {
                    "free a descriptor, raise the limit, or call prepare() before it is reached"
                }
                (Some(""), Some(_)) => "free a descriptor or raise the limit",
                (Some(advice), _) => advice,
                (None, None) => {
                    "call prepare() in this process before it enters a chroot or sandbox"
                }
                (None, Some(_)) if device.errno.is_some() && device.text.contains("pread(2)") => {
                    "allow this call in the sandbox"
                }
                (None, Some(false)) => {
                    "prepare() failed in this process: look at the error that it returned"
                }
                (None, Some(true)) => {
                    "the descriptor that prepare() opened is gone: \
                     close no descriptors that you did not open"
                }
            };
            let text = format!(
                "no entropy source: {}; {}; {advice}",
                kernel.text, device.text
            );
            error_line(ErrorKind::NoSource, device.errno, &text)
        })?;
        self.served = "device";
        Ok(())
    }

    /// Draws by the vDSO, and returns whether it could. The first call maps a state, and the
    /// kernel's function draws a key. If that fails, the function makes the system call for
    /// the caller's bytes.
    fn vdso(&mut self, world: &mut World) -> bool {
        let mapped = |world: &mut World| call(world, Call::Mmap(Memory::Vdso)).is_ok();
        if !self.has_vdso || !*self.vdso.get_or_insert_with(|| mapped(world)) {
            return false;
        }
        let mut wanted = 16;
        while wanted > 0 && !self.vdso_has_key {
            if call(world, Call::Getrandom(32)) == Ok(32) {
                self.vdso_has_key = true;
            } else {
                match call(world, Call::Getrandom(wanted)) {
                    Ok(length @ 1..) => wanted -= length,
                    _ => return false,
                }
            }
        }
        true
    }
}

/// Returns the result of a call: a length, a number of bits, or 0.
fn call(world: &mut World, call: Call) -> std::result::Result<usize, i32> {
    match (world.answer(call), call) {
        (Answer::Return(result), _) => usize::try_from(result).map_err(|_| -result as i32),
        (Answer::AtMost(most), Call::Getrandom(wanted) | Call::Pread(_, wanted)) => {
            Ok(wanted.min(most))
        }
        (_, Call::Getrandom(wanted) | Call::Pread(_, wanted)) => Ok(wanted),
        (Answer::Bits(bits), _) => Ok(bits as usize),
        (Answer::Real, Call::Madvise(Advice::Nonsense)) => Err(EINVAL),
        _ => Ok(0),
    }
}

/// Returns the result of a call that is made again after each signal.
fn uninterrupted(world: &mut World, made: Call) -> std::result::Result<usize, i32> {
    loop {
        let result = call(world, made);
        if result != Err(EINTR) {
            return result;
        }
    }
}

/// Draws all bytes. The error is an errno, or `None` if a call returned no byte.
fn getrandom(world: &mut World, mut wanted: usize) -> std::result::Result<(), Option<i32>> {
    while wanted > 0 {
        match uninterrupted(world, Call::Getrandom(wanted)).map_err(Some)? {
            0 => return Err(None),
            length => wanted -= length,
        }
    }
    Ok(())
}

/// Maps wiped memory, and returns whether the kernel has it. A kernel that accepts advice
/// which does not exist is not believed.
fn wiped_memory(world: &mut World) -> bool {
    if call(world, Call::Mmap(Memory::Wiped)).is_err() {
        return false;
    }
    if call(world, Call::Madvise(Advice::Nonsense)).is_ok() || !mark_wiped(world) {
        world.answer(Call::Munmap);
        return false;
    }
    true
}

/// Marks memory as wiped, and as not dumped if that succeeds.
fn mark_wiped(world: &mut World) -> bool {
    let is_marked = call(world, Call::Madvise(Advice::WipeOnFork)).is_ok();
    if is_marked {
        world.answer(Call::Madvise(Advice::DontDump));
    }
    is_marked
}

/// Returns the advice to the user, or an empty text if it depends on whether `prepare` was
/// called.
fn advice(device: &Failure) -> Option<&'static str> {
    match device.errno {
        Some(EMFILE) => Some(""),
        None if device.text.contains("another descriptor") => {
            Some("let no other thread close descriptors that it did not open")
        }
        _ => None,
    }
}
