//! What the processes of one input share: the UUIDs they made, what went wrong
//! in a copy, and the coverage that libFuzzer would not see there.

use std::arch::global_asm;
use std::panic;
use std::slice;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};

use fork_safe_uuid::Uuid;
use support::memory::map_shared;

/// UUIDs of one input; more are checked, but not remembered.
const UUIDS: usize = 32_768;

/// Copies of one input.
const COPIES: usize = 6;
const TEXT: usize = 1024;
const COUNTERS: usize = 1 << 18;

/// After so many seconds a copy hangs. It makes some thousand UUIDs at most.
const DEADLINE: u32 = 30;

/// Memory that all copies share. A copy runs while its parent waits, so no two
/// write at once, and relaxed will do.
pub struct Board {
    copies: AtomicUsize,
    used: AtomicUsize,
    uuids: [[AtomicU64; 2]; UUIDS],
    length: AtomicUsize,
    text: [AtomicU8; TEXT],
    coverage: [AtomicU8; COUNTERS],
}

// In assembly: a declaration of these names in Rust would rename those of the
// instrumentation, which then finds no counters.
global_asm!(
    ".pushsection .data.rel.ro, \"aw\"",
    ".balign 8",
    "bounds_of_counters:",
    ".quad __start___sancov_cntrs",
    ".quad __stop___sancov_cntrs",
    ".popsection",
);

unsafe extern "C" {
    #[link_name = "bounds_of_counters"]
    static BOUNDS: [*const AtomicU8; 2];
}

/// The counters of this process that libFuzzer reads after each input.
fn counters() -> &'static [AtomicU8] {
    // SAFETY: the linker puts the two around the section of the counters, which
    // instrumented code writes in the one thread that runs here.
    unsafe { slice::from_raw_parts(BOUNDS[0], BOUNDS[1].offset_from_unsigned(BOUNDS[0])) }
}

/// The board, cleared for an input. Called before anything is copied.
pub fn board() -> &'static Board {
    static BOARD: OnceLock<&Board> = OnceLock::new();
    let board = BOARD.get_or_init(|| {
        // SAFETY: zeros, which are valid atomics, aligned as a page, for ever.
        unsafe { &*map_shared(size_of::<Board>()).cast() }
    });
    board.copies.store(0, Relaxed);
    board.used.store(0, Relaxed);
    board.length.store(0, Relaxed);
    board
}

impl Board {
    /// Checks the form of `uuids` and remembers them.
    #[track_caller]
    pub fn add(&self, uuids: &[Uuid]) {
        for id in uuids {
            assert_eq!(id.get_version_num(), 4, "{id}");
            assert_eq!(id.as_bytes()[8] >> 6, 0b10, "{id}");
            let used = self.used.load(Relaxed);
            let Some(place) = self.uuids.get(used) else {
                return;
            };
            let (high, low) = id.as_u64_pair();
            place[0].store(high, Relaxed);
            place[1].store(low, Relaxed);
            self.used.store(used + 1, Relaxed);
        }
    }

    /// How many more are remembered, or 1.
    pub fn room(&self) -> usize {
        (UUIDS - self.used.load(Relaxed)).max(1)
    }

    /// Forks, and returns `true` in the child, which is to [`leave`](Self::leave).
    /// In the parent it waits until the child has left, and fails if it failed.
    /// Where there are copies enough, there is no child.
    pub fn fork(&'static self) -> bool {
        if self.copies.fetch_add(1, Relaxed) >= COPIES {
            return false;
        }
        // SAFETY: one thread; libFuzzer's other one holds no lock of ours.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork");
        if pid == 0 {
            // SAFETY: takes libFuzzer's handler away.
            unsafe {
                libc::signal(libc::SIGALRM, libc::SIG_DFL);
                libc::alarm(DEADLINE);
            }
            // libFuzzer's hook would write the input down in each copy.
            panic::set_hook(Box::new(|info| self.fail(&info.to_string())));
            return true;
        }
        let mut status = 0;
        // SAFETY: the pointer leads to an int.
        while unsafe { libc::waitpid(pid, &raw mut status, 0) } != pid {}
        let length = self.length.load(Relaxed);
        let text: Vec<_> = self.text[..length]
            .iter()
            .map(|b| b.load(Relaxed))
            .collect();
        assert!(
            status == 0,
            "a copy ended with status {status:#x} (0xe: it hung): {}",
            String::from_utf8_lossy(&text)
        );
        false
    }

    /// Ends a copy.
    pub fn leave(&self) -> ! {
        for (ours, shared) in counters().iter().zip(&self.coverage) {
            shared.fetch_max(ours.load(Relaxed), Relaxed);
        }
        // SAFETY: ends the process without its parent's destructors.
        unsafe { libc::_exit(0) }
    }

    /// The first to fail is the one that tells.
    fn fail(&self, text: &str) -> ! {
        if self.length.load(Relaxed) == 0 {
            for (place, byte) in self.text.iter().zip(text.bytes()) {
                place.store(byte, Relaxed);
            }
            self.length.store(text.len().min(TEXT), Relaxed);
        }
        // SAFETY: as above.
        unsafe { libc::_exit(101) }
    }

    /// At the end of an input: all UUIDs of all copies are distinct.
    pub fn conclude(&self) {
        for (ours, shared) in counters().iter().zip(&self.coverage) {
            ours.fetch_max(shared.swap(0, Relaxed), Relaxed);
        }
        let mut uuids: Vec<_> = self.uuids[..self.used.load(Relaxed)]
            .iter()
            .map(|[high, low]| Uuid::from_u64_pair(high.load(Relaxed), low.load(Relaxed)))
            .collect();
        uuids.sort_unstable();
        for pair in uuids.windows(2) {
            assert!(pair[0] != pair[1], "{} twice", pair[0]);
        }
    }
}
