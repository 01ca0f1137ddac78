//! Memory that the processes of one input share: the UUIDs that they made, the error of a copy,
//! and the coverage of the copies, which libFuzzer would not see.

use std::arch::global_asm;
use std::panic;
use std::slice;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};

use fork_safe_uuid::Uuid;
use support::memory::map_shared;

/// How many UUIDs of one input are remembered. More are checked, but not compared.
const UUIDS: usize = 32_768;

/// How many copies an input may make.
const COPIES: usize = 6;
/// The size of the error text.
const TEXT: usize = 1024;
/// The largest number of coverage counters.
const COUNTERS: usize = 1 << 18;

/// The seconds after which a copy counts as hung. It makes a few thousand UUIDs at most.
const DEADLINE: u32 = 30;

/// Memory that all copies share. A parent waits while its copy runs, so no two processes write
/// at once, and relaxed atomics are enough.
pub struct Board {
    copies: AtomicUsize,
    used: AtomicUsize,
    uuids: [[AtomicU64; 2]; UUIDS],
    length: AtomicUsize,
    text: [AtomicU8; TEXT],
    coverage: [AtomicU8; COUNTERS],
}

// In assembly: if Rust code declared these names, those of the instrumentation would be renamed,
// and it would find no counters.
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

/// Returns the counters of this process, which libFuzzer reads after each input.
fn counters() -> &'static [AtomicU8] {
    // SAFETY: the linker puts the two symbols around the section of the counters. Only this
    // thread runs the instrumented code that writes them.
    unsafe { slice::from_raw_parts(BOUNDS[0], BOUNDS[1].offset_from_unsigned(BOUNDS[0])) }
}

/// Clears the board for an input, and returns it. It is called before any copy is made.
pub fn board() -> &'static Board {
    static BOARD: OnceLock<&Board> = OnceLock::new();
    let board = BOARD.get_or_init(|| {
        // SAFETY: the memory is aligned to a page, zeroed, which is valid for atomics, and never
        // unmapped.
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

    /// Returns how many more UUIDs can be remembered, but at least 1.
    pub fn room(&self) -> usize {
        (UUIDS - self.used.load(Relaxed)).max(1)
    }

    /// Forks, and returns `true` in the child, which must call [`leave`](Self::leave). The
    /// parent waits until the child has ended, and panics if the child failed. If there are
    /// enough copies already, no child is made.
    pub fn fork(&'static self) -> bool {
        if self.copies.fetch_add(1, Relaxed) >= COPIES {
            return false;
        }
        // SAFETY: only this thread makes UUIDs, and libFuzzer's other thread holds no lock that
        // the child takes.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork");
        if pid == 0 {
            // SAFETY: removes libFuzzer's handler.
            unsafe {
                libc::signal(libc::SIGALRM, libc::SIG_DFL);
                libc::alarm(DEADLINE);
            }
            // libFuzzer's hook would write the input to a file in each copy.
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
            "a copy ended with status {status:#x} (0xe if it hung): {}",
            String::from_utf8_lossy(&text)
        );
        false
    }

    /// Ends a copy, after it has noted its coverage.
    pub fn leave(&self) -> ! {
        for (ours, shared) in counters().iter().zip(&self.coverage) {
            shared.fetch_max(ours.load(Relaxed), Relaxed);
        }
        // SAFETY: ends the process without its parent's destructors.
        unsafe { libc::_exit(0) }
    }

    /// Ends a copy that failed, and keeps the text of the first one.
    fn fail(&self, text: &str) -> ! {
        if self.length.load(Relaxed) == 0 {
            for (place, byte) in self.text.iter().zip(text.bytes()) {
                place.store(byte, Relaxed);
            }
            self.length.store(text.len().min(TEXT), Relaxed);
        }
        // SAFETY: ends the process without its parent's destructors.
        unsafe { libc::_exit(101) }
    }

    /// Asserts that all UUIDs of all copies are distinct, and adds the coverage of the copies to
    /// that of this process.
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
