//! What [`status`](crate::status) reports, as values and as a line for a log.

use core::fmt;

use crate::clock;
use crate::engine::hardware;
use crate::engine::pool;
use crate::source::{self, Served, TrackedDevice};
use crate::sys;

/// Which entropy source is in use, and what the calling thread has ready.
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
            source: match source::last_served() {
                Some(Served::Kernel) => Some(SystemSource::Kernel),
                Some(Served::Device) => Some(SystemSource::Device),
                _ => None,
            },
            pooled,
            device: source::tracked(),
            hardware_random: sys::keeping_errno(hardware::serves),
            missed_reseeds: pool::missed_reseeds(),
            clock_steps: clock::steps(),
        }
    }

    /// Returns the source that answered the last draw, in this process or, before
    /// its first, in the one that it was forked from; `None` before any.
    #[must_use]
    pub fn source(&self) -> Option<SystemSource> {
        self.source
    }

    /// Returns whether the calling thread has UUIDs ready, as it has from its first one
    /// on. If not, each UUID is drawn from the source.
    #[must_use]
    pub fn pooled(&self) -> bool {
        self.pooled
    }

    /// Returns the descriptor of /dev/urandom that this process tracks, or why it
    /// has none.
    #[must_use]
    pub fn device(&self) -> TrackedDevice {
        self.device
    }

    /// Returns whether this process has a descriptor of /dev/urandom that it tracks,
    /// and that is still what it was.
    #[must_use]
    pub fn device_is_open(&self) -> bool {
        matches!(self.device, TrackedDevice::Open { .. })
    }

    /// Returns whether the processor's random numbers (RDRAND on x86, RNDR on 64-bit
    /// Arm) are mixed in, so that UUIDs of a cloned virtual machine differ from its
    /// original's even if the kernel does not know that it was cloned.
    ///
    /// It also returns `false` where the instruction returns the same number again and
    /// again, as on some processors.
    #[must_use]
    pub fn hardware_random(&self) -> bool {
        self.hardware_random
    }

    /// Returns how often this process could not renew a seed and kept using the key that
    /// it had.
    #[must_use]
    pub fn missed_reseeds(&self) -> u64 {
        self.missed_reseeds
    }

    /// Returns how often a clock was found more than 10 s behind the last timestamp, and
    /// was followed.
    ///
    /// For version 7, each thread and each generator counts with its own clock. Versions
    /// 6 and 1 count together. A forked child continues its parent's count. A loop that
    /// runs ahead of the clock with versions 6 and 1 is counted too, as
    /// [`now_v1`](crate::now_v1) says.
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
