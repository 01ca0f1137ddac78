//! Memory that all copies of a process share, for what they make.

use std::ops::Range;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use fork_safe_uuid::Uuid;
use support::memory::map_shared;

/// Room for UUIDs; a page is there when it is written.
pub struct Arena {
    room: *mut Uuid,
    capacity: usize,
    counts: &'static Counts,
}

/// Relaxed: they are read when the processes that write them have ended.
#[derive(Default)]
pub struct Counts {
    claimed: AtomicUsize,
    pub processes: AtomicUsize,
    pub threads: AtomicUsize,
    pub depth: AtomicUsize,
}

// SAFETY: each place is claimed once, by whoever writes it.
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
        // SAFETY: inside the mapping, as both callers see to; any bytes are a
        // UUID, and nobody else has this range.
        unsafe { slice::from_raw_parts_mut(self.room.add(range.start), range.len()) }
    }

    /// Room for `count`, nil as yet, or `None` where there is no more.
    pub fn claim(&self, count: usize) -> Option<&'static mut [Uuid]> {
        let start = self.counts.claimed.fetch_add(count, Relaxed);
        let end = start + count;
        (end <= self.capacity).then(|| self.places(start..end))
    }

    /// All that was made, when nobody makes more.
    pub fn into_ids(self) -> &'static mut [Uuid] {
        let claimed = self.counts.claimed.load(Relaxed);
        self.places(0..claimed.min(self.capacity))
    }
}

/// How many of `ids`, which are sorted for it, stand there a second time.
pub fn duplicates(ids: &mut [Uuid]) -> usize {
    ids.sort_unstable();
    ids.windows(2).filter(|pair| pair[0] == pair[1]).count()
}
