//! What [`status`](crate::status) reports, as values and as a line for a log.

use core::fmt;

use crate::clock;
use crate::engine::hardware;
use crate::engine::pool;
use crate::source::{self, Answered, TrackedDevice};
use crate::sys;

/// The entropy source in use, and what the calling thread has ready.
/// [`status`](crate::status) and [`prepare`](crate::prepare) return it.
///
/// `Display` writes one line for a log.
///
/// # Examples
///
/// ```
/// let status = fork_safe_uuid::prepare()?;
/// if !status.pooled() {
///     println!("each UUID costs a system call: {status}");
/// }
/// # Ok::<(), fork_safe_uuid::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    source: Option<SystemSource>,
    pooled: bool,
    device: TrackedDevice,
    hardware_random: bool,
    missed_reseeds: u64,
    clock_steps: u64,
}

/// An entropy source of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SystemSource {
    /// getrandom(2), or the system's own call elsewhere.
    Kernel,
    /// /dev/urandom, by the tracked descriptor.
    Device,
}

impl Status {
    pub(crate) fn new(pooled: bool) -> Self {
        Self {
            source: match source::last_answered() {
                Some(Answered::Kernel) => Some(SystemSource::Kernel),
                Some(Answered::Device) => Some(SystemSource::Device),
                _ => None,
            },
            pooled,
            device: source::tracked(),
            hardware_random: sys::keeping_errno(hardware::works),
            missed_reseeds: pool::missed_reseeds(),
            clock_steps: clock::steps(),
        }
    }

    /// Returns the system's source that answered the last draw, or `None` before the first one. A
    /// forked child starts with its parent's answer.
    #[must_use]
    pub fn source(&self) -> Option<SystemSource> {
        self.source
    }

    /// Returns whether the calling thread has a pool. It has one from its first UUID on,
    /// unless the memory was refused; then each UUID is drawn from the source.
    #[must_use]
    pub fn pooled(&self) -> bool {
        self.pooled
    }

    /// Returns the descriptor of /dev/urandom that this process tracks, or why it
    /// has none.
    ///
    /// # Examples
    ///
    /// ```
    /// use fork_safe_uuid::source::TrackedDevice;
    ///
    /// if let TrackedDevice::Open { number, .. } = fork_safe_uuid::status().device() {
    ///     println!("do not close {number}");
    /// }
    /// ```
    #[must_use]
    pub fn device(&self) -> TrackedDevice {
        self.device
    }

    /// Returns whether this process tracks a descriptor of /dev/urandom that still leads
    /// there.
    #[must_use]
    pub fn device_is_open(&self) -> bool {
        matches!(self.device, TrackedDevice::Open { .. })
    }

    /// Returns whether the processor's random numbers (RDRAND on x86, RNDR on 64-bit
    /// Arm) are mixed in. With them, the UUIDs of a cloned virtual machine differ from its
    /// original's even if the kernel does not know that it was cloned.
    ///
    /// It returns `false` if the instruction returns the same number each time, as on some
    /// processors.
    ///
    /// # Examples
    ///
    /// ```
    /// if !fork_safe_uuid::status().hardware_random() {
    ///     println!("clones of this machine need reseed()");
    /// }
    /// ```
    #[must_use]
    pub fn hardware_random(&self) -> bool {
        self.hardware_random
    }

    /// Returns how often this process could not draw a new seed and continued with the key
    /// that it had.
    #[must_use]
    pub fn missed_reseeds(&self) -> u64 {
        self.missed_reseeds
    }

    /// Returns how often timestamps went back, because the clock was more than 10 s behind
    /// the last one.
    ///
    /// It counts the steps of each thread's and each generator's version 7, and those of
    /// versions 6 and 1, which the process has in common. A loop that runs ahead of the clock
    /// makes such steps, too ([`now_v1`](crate::now_v1)). A forked child continues its
    /// parent's count.
    #[must_use]
    pub fn clock_steps(&self) -> u64 {
        self.clock_steps
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "source: {}; pooled: {}; device: {}; hardware: {}; missed reseeds: {}; clock steps: {}",
            match self.source {
                Some(SystemSource::Kernel) => "kernel",
                Some(SystemSource::Device) => "device",
                None => "not asked yet",
            },
            if self.pooled { "yes" } else { "no" },
            self.device,
            if self.hardware_random { "yes" } else { "no" },
            self.missed_reseeds,
            self.clock_steps,
        )
    }
}
