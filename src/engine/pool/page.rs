//! The page that the kernel wipes at fork: the key, and the UUIDs that it has made.

use core::cell::UnsafeCell;
use core::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
    compiler_fence,
};

use zeroize::Zeroize;

use crate::engine::drbg::{self, Key};
use crate::engine::hedge;
use crate::error::Error;
use crate::format::{Block, V4};
use crate::source::Source;
use crate::wipe::{Lent, Wiped, WipedSlab};

/// The number of slots that fit into 4 KiB beside the key. Two clones repeat as many UUIDs of
/// each thread.
///
/// A refill takes some 430 ns on Zen 3, of which 180 ns do not depend on the number of slots
/// (key schedule, clock, hardware number, a share of the seed).
pub(super) const SLOTS: usize = 251;

/// The number of blocks, 64 KiB in all, that are made before the next seed is drawn. A bulk
/// request makes at most as many with one key.
pub(super) const BLOCKS_PER_SEED: usize = 4096;

/// The number of seeds that could not be drawn while there was a key. Relaxed: it is only a
/// count.
static MISSED_RESEEDS: AtomicU64 = AtomicU64::new(0);

/// All pages of this process: 16,384. Further threads have no pool.
pub(super) static PAGES: WipedSlab<Page, 256> = WipedSlab::new();

/// `alive` as the kernel leaves it in a new page and in a forked child.
pub(super) const WIPED: u64 = 0;
/// There is a key.
const ALIVE: u64 = 1;
/// There is a key from before `reseed`.
const STALE: u64 = 2;

/// A key and the slots that it filled, in wiped memory.
///
/// The kernel's wipe and the owning thread's handlers can interrupt a call at any instruction,
/// so the words are atomics, and compiler fences separate the steps. Relaxed, because another
/// thread only stores [`STALE`], and a call that the program orders after `reseed` sees it.
#[repr(C, align(64))]
pub(super) struct Page {
    alive: AtomicU64,
    /// The number of blocks made since the last seed.
    age: AtomicU64,
    /// Only the call that has claimed the pool uses this.
    pub(super) secret: UnsafeCell<Secret>,
}

#[repr(C)]
pub(super) struct Secret {
    pub(super) key: Key,
    pub(super) slots: [Block; SLOTS],
}

// SAFETY: a page is lent to one pool, which is not `Sync`, and only this pool uses `secret`.
unsafe impl Sync for Page {}

// SAFETY: it has only integers, for which zero is valid, and no destructor.
unsafe impl Wiped for Page {}

const _: () = assert!(size_of::<Page>() == 4096, "a page of memory each");

impl Lent for Page {
    unsafe fn clear(&self) {
        self.alive.store(WIPED, Relaxed);
        // SAFETY: the caller promises that no call uses the page.
        let secret = unsafe { &mut *self.secret.get() };
        secret.key.zeroize();
        secret.slots.fill(Block::default());
    }
}

impl Page {
    /// Returns whether the key and its slots are this process's and may be used.
    #[inline]
    pub(super) fn is_alive(&self) -> bool {
        self.alive.load(Relaxed) == ALIVE
    }

    /// Returns whether the kernel has wiped the page, or it never had a key.
    pub(super) fn is_wiped(&self) -> bool {
        self.alive.load(Relaxed) == WIPED
    }

    /// Draws a key if there is none, or folds a new seed into a key that is old. Returns
    /// whether the page was wiped.
    pub(super) fn seed(
        &self,
        Secret { key, slots }: &mut Secret,
        source: Source<'_>,
    ) -> Result<bool, Error> {
        // [P2 alive-first] Before the draw: if there is a fork in between, the child's page
        // says 0, and the child draws its own seed. Exchanged, so that a fork just before is
        // seen.
        let found = loop {
            let found = self.alive.load(Relaxed);
            if found == ALIVE
                || self
                    .alive
                    .compare_exchange(found, ALIVE, Relaxed, Relaxed)
                    .is_ok()
            {
                break found;
            }
        };
        // [P2 alive-tells] `alive` says whether there is a key, not the key itself. If a
        // handler forks inside a refill, the child writes the parent's next key into its own
        // page, and both would continue that stream.
        let keyless = found != ALIVE;
        if !keyless && self.age.load(Relaxed) < BLOCKS_PER_SEED as u64 {
            return Ok(false);
        }
        compiler_fence(SeqCst);
        let mut seed = Block::default();
        let drawn = source.draw(&mut seed);
        if keyless {
            if let Err(error) = drawn {
                // [P4 alive-back] There is still no key, and the next call must draw one.
                self.alive.store(WIPED, Relaxed);
                return Err(error);
            }
            // [P2 clear-slots] They were made with a key that `reseed` discarded, or with the
            // parent's key if a handler forked inside the refill.
            slots.fill(Block::default());
        }
        if drawn.is_ok() {
            hedge::fold_into(&mut seed);
            drbg::xor_and_clear(key, &mut seed);
        } else {
            // The old key is as strong as before.
            MISSED_RESEEDS.fetch_add(1, Relaxed);
        }
        self.age.store(0, Relaxed);
        Ok(found == WIPED)
    }

    /// Fills `dest` from the first `ready` slots and the key, and returns how many slots are
    /// ready then. `dest` may be used only if the page is alive afterwards.
    pub(super) fn make(
        &self,
        Secret { key, slots }: &mut Secret,
        mut ready: usize,
        mut dest: &mut [Block],
    ) -> usize {
        loop {
            let mut moved = 0;
            for (to, slot) in dest.iter_mut().zip(slots[..ready].iter_mut().rev()) {
                // If the slot is zero, `ready` is out of date, and other slots may be zero, too.
                if !move_out(slot, to) {
                    break;
                }
                moved += 1;
            }
            ready -= moved;
            dest = &mut dest[moved..];
            if dest.is_empty() {
                return ready;
            }
            let age = self.age.load(Relaxed);
            let made = dest.len().max(SLOTS) as u64;
            self.age.store(age + made, Relaxed);
            let nonce = hedge::nonce(age as u32);
            if dest.len() >= SLOTS {
                drbg::generate(key, nonce, V4, dest);
                return 0;
            }
            drbg::generate(key, nonce, V4, slots);
            ready = SLOTS;
        }
    }
}

/// Moves a UUID out of its slot, and returns whether there was one.
#[inline(always)]
pub(super) fn move_out(slot: &mut Block, to: &mut Block) -> bool {
    // A u128 is held in two registers; a block would go through memory.
    let bits = u128::from_ne_bytes(*slot);
    // [P3 zero-moved] The slot is zero afterwards, as in `Pool::take`.
    if bits != 0 {
        *slot = Block::default();
        *to = bits.to_ne_bytes();
    }
    bits != 0
}

/// Marks the keys of all pages of this process as stale. A wiped page stays wiped, because the
/// call that a fork interrupted must still see that.
pub(crate) fn reseed() {
    for page in PAGES.iter() {
        // Read first: an exchange would make the kernel provide memory for a page that was
        // never used.
        if page.is_alive() {
            let _ = page.alive.compare_exchange(ALIVE, STALE, Relaxed, Relaxed);
        }
    }
}

pub(crate) fn mark_again() {
    PAGES.mark_again();
}

pub(crate) fn missed_reseeds() -> u64 {
    MISSED_RESEEDS.load(Relaxed)
}
