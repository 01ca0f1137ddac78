//! Memory in which all copies of a process keep the UUIDs that they make.

use std::ops::Range;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use fork_safe_uuid::Uuid;
use support::memory::map_shared;

/// Room for UUIDs. The kernel provides a page when it is first written.
pub struct Arena {
    room: *mut Uuid,
    capacity: usize,
    counts: &'static Counts,
}

/// Counters of all processes. Relaxed operations suffice, because a counter is read after the
/// processes that write it have ended.
#[derive(Default)]
pub struct Counts {
    claimed: AtomicUsize,
    pub processes: AtomicUsize,
    pub threads: AtomicUsize,
    pub depth: AtomicUsize,
}

// SAFETY: each place is claimed once, and only the thread that claimed it writes to it.
unsafe impl Sync for Arena {}

impl Arena {
    pub fn new(capacity: usize) -> Self {
        Self {
            room: map_shared(capacity * size_of::<Uuid>()).cast(),
            capacity,
            // SAFETY: zeros are valid counts, and the memory is never unmapped.
            counts: unsafe { &*map_shared(size_of::<Counts>()).cast() },
        }
    }

    pub fn counts(&self) -> &Counts {
        self.counts
    }

    fn places(&self, range: Range<usize>) -> &'static mut [Uuid] {
        // SAFETY: both callers pass a range inside the mapping that nothing else uses, and
        // any bytes are a UUID.
        unsafe { slice::from_raw_parts_mut(self.room.add(range.start), range.len()) }
    }

    /// Returns room for `count` UUIDs, which are still nil, or `None` if there is not enough.
    pub fn claim(&self, count: usize) -> Option<&'static mut [Uuid]> {
        let start = self.counts.claimed.fetch_add(count, Relaxed);
        let end = start + count;
        (end <= self.capacity).then(|| self.places(start..end))
    }

    /// Returns the UUIDs of all processes, which must have ended.
    pub fn into_ids(self) -> &'static mut [Uuid] {
        let claimed = self.counts.claimed.load(Relaxed);
        self.places(0..claimed.min(self.capacity))
    }
}

/// Sorts `ids`, and returns how many of them are equal to the one before.
pub fn duplicates(ids: &mut [Uuid]) -> usize {
    ids.sort_unstable();
    ids.windows(2).filter(|pair| pair[0] == pair[1]).count()
}
