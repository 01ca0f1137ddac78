//! What the crate does, in a few lines: which calls it makes, and what comes
//! out, for each answer of the kernel.

use fork_safe_uuid::ErrorKind;
use libc::{EINTR, EINVAL, EMFILE, ENOSYS, EPERM};

use crate::call::{Advice, Answer, Call, Memory, Number, Path};
use crate::world::World;

/// Names of what is called, one after the other, in a fresh process.
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

/// In this step wiped memory is zero, as in a forked child.
pub const WIPED: usize = 6;

/// In this step the process has another id, as a child of vfork(2).
pub const FOREIGN: usize = 7;

pub const UUID: &str = "a UUID";

/// How often a read is begun.
const ATTEMPTS: u32 = 64;

/// So many bits say that the kernel's generator is initialised.
const ENOUGH: usize = 256;

/// Why there is no entropy.
#[derive(Clone)]
struct Failure {
    text: String,
    errno: Option<i32>,
}

type Result<T> = std::result::Result<T, Failure>;

fn os(call: &str, errno: i32) -> Failure {
    let error = std::io::Error::from_raw_os_error(errno);
    Failure {
        text: format!("{call}: {error}"),
        errno: Some(errno),
    }
}

fn said(text: &str) -> Failure {
    Failure {
        text: text.into(),
        errno: None,
    }
}

/// What `error` is for the caller: its kind, its errno, its text.
pub fn error_line(kind: ErrorKind, errno: Option<i32>, text: &str) -> String {
    format!("{kind:?}, {errno:?}: {text}")
}

/// Memory of the process.
#[derive(Default)]
pub struct Model {
    has_vdso: bool,
    initialised: bool,
    /// There is wiped memory, and in it the mark that the record is this process's.
    has_wiped: Option<bool>,
    is_marked: bool,
    /// The descriptor in the record.
    tracked: Option<Number>,
    is_foreign: bool,
    /// Whether `prepare` opened the device, once it was called.
    prepared: Option<bool>,
    /// The thread's pool has memory, or was refused it for good; has UUIDs.
    pooled: Option<bool>,
    ready: bool,
    /// The vDSO's state has memory, or was refused it for good; has a key.
    vdso: Option<bool>,
    vdso_has_key: bool,
    served: &'static str,
}

impl Model {
    /// What each step returns; the calls are in the trace of `world`.
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

    /// The device is opened, whatever serves; if it cannot be, that is told unless
    /// nothing serves.
    fn prepare(&mut self, world: &mut World) -> std::result::Result<String, String> {
        let device = self.keep(world);
        self.prepared = Some(device.is_ok());
        self.pooled(world)?;
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
            match is_ours(world, number) {
                true => "descriptor N, opened by process P",
                false => "descriptor N was closed or replaced",
            },
        ))
    }

    /// Marks all memory again that is wiped: the vDSO's states, the record's mark,
    /// the pool.
    fn reseed(&mut self, world: &mut World) {
        self.ready = false;
        self.vdso_has_key = false;
        for memory in [self.vdso, self.has_wiped, self.pooled] {
            if memory == Some(true) {
                mark_wiped(world);
            }
        }
    }

    /// Reads until what was read from is still there.
    fn keep(&mut self, world: &mut World) -> Result<()> {
        for _ in 0..ATTEMPTS {
            self.device(world, 1)?;
            if self.tracked.is_some_and(|number| is_ours(world, number)) {
                return Ok(());
            }
        }
        Err(said(
            "/dev/urandom: openat(2): its descriptor cannot be kept, because this process shares \
             its memory with another one, or other threads close the descriptor",
        ))
    }

    /// A seed makes many UUIDs ready. Without wiped memory nothing is kept.
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

    /// Where the parent had UUIDs ready, the kernel serves the first one of a child,
    /// and the pool only what it refuses.
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

    /// From the vDSO, else as a seed is drawn.
    fn unbuffered(&mut self, world: &mut World) -> std::result::Result<(), String> {
        if self.vdso(world) {
            self.served = "kernel";
            return Ok(());
        }
        self.draw(world)
    }

    /// getrandom(2); where it is refused, and at each refusal anew, the device.
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

    fn device(&mut self, world: &mut World, mut wanted: usize) -> Result<()> {
        while wanted > 0 {
            wanted -= self.read(world, wanted)?;
        }
        Ok(())
    }

    /// Proven, read, proven again; whatever else it was is opened anew.
    fn read(&mut self, world: &mut World, wanted: usize) -> Result<usize> {
        for _ in 0..ATTEMPTS {
            let Some((number, is_kept)) = self.check_out(world)? else {
                continue;
            };
            let read = uninterrupted(world, Call::Pread(number, wanted));
            if !is_ours(world, number) {
                continue;
            }
            if !is_kept {
                close(world, number);
            }
            return match read {
                Ok(0) => Err(said("/dev/urandom: pread(2): a read returned no byte")),
                Ok(length) => Ok(length),
                Err(errno) => Err(os("/dev/urandom: pread(2)", errno)),
            };
        }
        Err(said(&format!(
            "/dev/urandom: pread(2): another descriptor was put at its number \
             {ATTEMPTS} times in a row"
        )))
    }

    /// The tracked descriptor, or a new one, which takes the place of an inherited
    /// one; or `None` where a stranger took the number.
    fn check_out(&mut self, world: &mut World) -> Result<Option<(Number, bool)>> {
        let has_wiped = *self.has_wiped.get_or_insert_with(|| wiped_memory(world));
        if !has_wiped {
            // Asked each time whether there is some.
            self.has_wiped = None;
        }
        let is_own = self.is_marked || !has_wiped;
        if is_own
            && !self.is_foreign
            && let Some(number) = self.tracked
            && is_ours(world, number)
        {
            return Ok(Some((number, true)));
        }
        let mut inherited = self.tracked.filter(|_| !is_own);
        let taken = inherited.filter(|&number| is_marked(world, number));
        let opened = self.open(world).or_else(|error| {
            inherited
                .take_if(|&mut number| error.errno == Some(EMFILE) && is_marked(world, number))
                .map(Some)
                .ok_or(error)
        });
        let Some(mut number) = opened? else {
            return Ok(None);
        };
        let taken = taken.and(inherited);
        if self.is_foreign && is_own {
            return Ok(Some((number, false)));
        }
        if let Some(inherited) = taken
            && is_marked(world, inherited)
        {
            if call(world, Call::Replace(number, inherited)).is_ok() {
                let replaced = world.newest();
                close(world, number);
                number = replaced;
            } else if is_marked(world, inherited) {
                world.answer(Call::Close(inherited));
            }
        }
        self.tracked = Some(number);
        self.is_marked = has_wiped;
        let is_proven = taken.is_none() || is_ours(world, number);
        Ok(is_proven.then_some((number, true)))
    }

    /// At a number of at least 3, and initialised; or `None` where a stranger
    /// took the number meanwhile.
    fn open(&mut self, world: &mut World) -> Result<Option<Number>> {
        let Some(mut number) = open_node(world, Path::Urandom)? else {
            return Ok(None);
        };
        if world.is_at_0(number) {
            let moved = call(world, Call::Move(number)).map(|_| world.newest());
            close(world, number);
            number = moved.map_err(|errno| os("/dev/urandom: fcntl(2)", errno))?;
            if !is_ours(world, number) {
                return Ok(None);
            }
        }
        let ready = self.wait_until_initialised(world, number);
        if !is_ours(world, number) {
            return Ok(None);
        }
        if !matches!(ready, Ok(true)) {
            close(world, number);
        }
        ready.map(|ready| ready.then_some(number))
    }

    /// Asked of the device, and once for the process waited for.
    fn wait_until_initialised(&mut self, world: &mut World, number: Number) -> Result<bool> {
        let bits = call(world, Call::EntropyCount(number)).unwrap_or(0);
        if bits < ENOUGH && !self.initialised {
            let Some(random) = open_node(world, Path::Random)? else {
                return Ok(false);
            };
            let waited = uninterrupted(world, Call::Poll(random));
            close(world, random);
            waited.map_err(|errno| os("/dev/random: ppoll(2)", errno))?;
        }
        self.initialised = true;
        Ok(true)
    }

    /// The first call maps a state, and the kernel's function fetches a key; if
    /// that fails, it makes the system call that it is there to save.
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

/// The result of a call: a length, a number of bits, or 0.
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

/// The same, made again after each signal.
fn uninterrupted(world: &mut World, made: Call) -> std::result::Result<usize, i32> {
    loop {
        let result = call(world, made);
        if result != Err(EINTR) {
            return result;
        }
    }
}

/// All of it, or an errno, or no byte.
fn getrandom(world: &mut World, mut wanted: usize) -> std::result::Result<(), Option<i32>> {
    while wanted > 0 {
        match uninterrupted(world, Call::Getrandom(wanted)).map_err(Some)? {
            0 => return Err(None),
            length => wanted -= length,
        }
    }
    Ok(())
}

/// Only from a kernel that wipes, and refuses advice that does not exist.
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

/// What is not to be wiped may be dumped.
fn mark_wiped(world: &mut World) -> bool {
    let is_marked = call(world, Call::Madvise(Advice::WipeOnFork)).is_ok();
    if is_marked {
        world.answer(Call::Madvise(Advice::DontDump));
    }
    is_marked
}

fn is_ours(world: &mut World, number: Number) -> bool {
    world.answer(Call::Fstat(number)) == Answer::Real
}

/// The device, and opened by the crate.
fn is_marked(world: &mut World, number: Number) -> bool {
    is_ours(world, number) && world.answer(Call::Flags(number)) == Answer::Real
}

/// Never without a proof of its own. Whether it is the crate's may be refused.
fn close(world: &mut World, number: Number) {
    let is_ours = is_ours(world, number);
    let flags = world.answer(Call::Flags(number));
    if is_ours && flags != Answer::Return(0) {
        world.answer(Call::Close(number));
    }
}

/// Looked at, opened, proven.
fn open_node(world: &mut World, path: Path) -> Result<Option<Number>> {
    let name = match path {
        Path::Urandom => "/dev/urandom",
        Path::Random => "/dev/random",
    };
    match world.answer(Call::Stat(path)) {
        Answer::Real => {}
        Answer::Return(result) => return Err(os(&format!("{name}: statx(2)"), -result as i32)),
        _ => {
            world.answer(Call::Lstat(path));
            return Err(said(&format!("{name}: is not the kernel's {name}")));
        }
    }
    uninterrupted(world, Call::Open(path))
        .map_err(|errno| os(&format!("{name}: openat(2)"), errno))?;
    let number = world.newest();
    Ok(is_ours(world, number).then_some(number))
}

/// What to do, whether `prepare` was called or not; empty where it depends on that.
fn advice(device: &Failure) -> Option<&'static str> {
    match device.errno {
        Some(EMFILE) => Some(""),
        None if device.text.contains("another descriptor") => {
            Some("let no other thread close descriptors that it did not open")
        }
        _ => None,
    }
}
