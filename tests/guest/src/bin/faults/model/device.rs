//! The part of the model that concerns the devices.

use libc::EMFILE;

use super::{Model, Result, call, os, said, uninterrupted, wiped_memory};
use crate::call::{Answer, Call, Number, Path};
use crate::world::World;

/// How often a read is tried.
const ATTEMPTS: u32 = 64;

/// The entropy count at which the kernel's generator is initialised.
const ENOUGH: usize = 256;

impl Model {
    /// Reads until the descriptor is still there after the read.
    pub(super) fn keep(&mut self, world: &mut World) -> Result<()> {
        for _ in 0..ATTEMPTS {
            self.device(world, 1)?;
            if self.tracked.is_some_and(|number| is_own(world, number)) {
                return Ok(());
            }
        }
        Err(said(
            "/dev/urandom: openat(2): its descriptor cannot be kept, because this process shares \
             its memory with another one, or other threads close the descriptor",
        ))
    }

    pub(super) fn device(&mut self, world: &mut World, mut wanted: usize) -> Result<()> {
        while wanted > 0 {
            wanted -= self.read(world, wanted)?;
        }
        Ok(())
    }

    /// Proves the descriptor, reads, and proves it again. If a proof fails, it opens the
    /// device again.
    fn read(&mut self, world: &mut World, wanted: usize) -> Result<usize> {
        for _ in 0..ATTEMPTS {
            let Some((number, is_kept)) = self.check_out(world)? else {
                continue;
            };
            let read = uninterrupted(world, Call::Pread(number, wanted));
            if !is_own(world, number) {
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

    /// Returns a descriptor, and whether it is kept: the tracked one, or a new one, which
    /// takes the place of an inherited one. Returns `None` if a stranger took the number.
    fn check_out(&mut self, world: &mut World) -> Result<Option<(Number, bool)>> {
        let has_wiped = *self.has_wiped.get_or_insert_with(|| wiped_memory(world));
        if !has_wiped {
            // Each call asks for it again.
            self.has_wiped = None;
        }
        let is_record_own = self.is_marked || !has_wiped;
        if is_record_own
            && !self.is_foreign
            && let Some(number) = self.tracked
            && is_own(world, number)
        {
            return Ok(Some((number, true)));
        }
        let mut inherited = self.tracked.filter(|_| !is_record_own);
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
        if self.is_foreign && is_record_own {
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
        let is_proven = taken.is_none() || is_own(world, number);
        Ok(is_proven.then_some((number, true)))
    }

    /// Opens the device at a number of at least 3, and waits until it is initialised. Returns
    /// `None` if a stranger took the number meanwhile.
    fn open(&mut self, world: &mut World) -> Result<Option<Number>> {
        let Some(mut number) = open_node(world, Path::Urandom)? else {
            return Ok(None);
        };
        if world.is_at_0(number) {
            let moved = call(world, Call::Move(number)).map(|_| world.newest());
            close(world, number);
            number = moved.map_err(|errno| os("/dev/urandom: fcntl(2)", errno))?;
            if !is_own(world, number) {
                return Ok(None);
            }
        }
        let ready = self.wait_until_initialised(world, number);
        if !is_own(world, number) {
            return Ok(None);
        }
        if !matches!(ready, Ok(true)) {
            close(world, number);
        }
        ready.map(|ready| ready.then_some(number))
    }

    /// Asks the device whether it is initialised, and waits for it once in a process. Returns
    /// `false` if a stranger took the number of /dev/random.
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
}

/// Proves that the number still leads to the device.
pub(super) fn is_own(world: &mut World, number: Number) -> bool {
    world.answer(Call::Fstat(number)) == Answer::Real
}

/// Proves that the crate has opened this descriptor of the device.
fn is_marked(world: &mut World, number: Number) -> bool {
    is_own(world, number) && world.answer(Call::Flags(number)) == Answer::Real
}

/// Closes a descriptor after its own proof. The question whether the crate opened it may be
/// refused.
fn close(world: &mut World, number: Number) {
    let is_proven = is_own(world, number);
    let flags = world.answer(Call::Flags(number));
    if is_proven && flags != Answer::Return(0) {
        world.answer(Call::Close(number));
    }
}

/// Looks at the path, opens it, and proves the descriptor.
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
    Ok(is_own(world, number).then_some(number))
}
