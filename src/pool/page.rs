//! What belongs to one process: the key and what it has made.

use core::cell::UnsafeCell;
use core::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
    compiler_fence,
};

use zeroize::Zeroize;

use crate::drbg::{self, Block, Form, Key};
use crate::error::Error;
use crate::hedge;
use crate::source::Source;
use crate::wipe::{Lent, Wiped, WipedSlab};

/// Slots of a page: what fits into 4 KiB with the key, and what two
/// machines that start from one snapshot repeat at most, for each thread.
///
/// A refill takes some 430 ns on Zen 3, of which 180 do not depend on how many slots
/// there are (key schedule, clock, hardware number, a share of the seed).
pub(super) const SLOTS: usize = 251;

/// Blocks that are made from one seed before the next is drawn, 64 KiB; and so
/// many at the most are made of one key, in a bulk request.
pub(super) const SEED_LIFE: usize = 4096;

/// A UUID of version 4: byte 6 begins with 4, byte 8 with binary 10 (RFC 9562
/// sections 4.1, 4.2, 5.4). Slots have it, so that no call need set it.
pub(super) const V4: Form = {
    const fn bytes(byte_6: u8, byte_8: u8, others: u8) -> Block {
        let mut bytes = [others; 16];
        bytes[6] = byte_6;
        bytes[8] = byte_8;
        bytes
    }
    Form {
        keep: bytes(0x0f, 0x3f, 0xff),
        set: bytes(0x40, 0x80, 0x00),
    }
};

/// Seeds that could not be renewed while the key chain went on; see `status`.
/// Relaxed: only a count.
static MISSED_RESEEDS: AtomicU64 = AtomicU64::new(0);

/// All pages of this process: 16,384, after which a thread goes unbuffered.
pub(super) static PAGES: WipedSlab<Page, 256> = WipedSlab::new();

/// What `alive` says: as the kernel left it, in a new page or in a forked child;
/// that there is a key; that it is a key from before `reseed`.
pub(super) const WIPED: u64 = 0;
const ALIVE: u64 = 1;
const STALE: u64 = 2;

/// A key and the slots that it filled, in wiped memory.
///
/// Handlers of the owning thread and the kernel's wipe come in at any
/// instruction: so the words are atomics, and between the steps stand compiler
/// fences, which is all that one thread needs to see its own stores in order.
/// Relaxed, because no other thread comes here but for [`STALE`] in `alive`, and a
/// call that the program orders after `reseed` sees that.
#[repr(C, align(64))]
pub(super) struct Page {
    alive: AtomicU64,
    /// Blocks made since the last seed.
    age: AtomicU64,
    /// Touched by whoever has claimed the pool, and by nobody else.
    pub(super) secret: UnsafeCell<Secret>,
}

#[repr(C)]
pub(super) struct Secret {
    pub(super) key: Key,
    pub(super) slots: [Block; SLOTS],
}

// SAFETY: a page is lent to one pool, which is not `Sync`, and only that touches
// `secret`.
unsafe impl Sync for Page {}

// SAFETY: integers, for which zero is valid; no destructor.
unsafe impl Wiped for Page {}

const _: () = assert!(size_of::<Page>() == 4096, "a page of memory each");

impl Lent for Page {
    unsafe fn clear(&self) {
        self.alive.store(WIPED, Relaxed);
        // SAFETY: the caller says that nobody uses the page.
        let secret = unsafe { &mut *self.secret.get() };
        secret.key.zeroize();
        secret.slots.fill(Block::default());
    }
}

impl Page {
    /// Whether the key, and what was made of it since it was seeded, is this
    /// process's and may be used.
    #[inline]
    pub(super) fn is_alive(&self) -> bool {
        self.alive.load(Relaxed) == ALIVE
    }

    /// Whether the kernel has wiped it, since there was a key in it.
    pub(super) fn is_wiped(&self) -> bool {
        self.alive.load(Relaxed) == WIPED
    }

    /// Makes sure that there is a key, and that it is not too old. Returns
    /// whether the page was wiped.
    pub(super) fn seed(
        &self,
        Secret { key, slots }: &mut Secret,
        source: Source<'_>,
    ) -> Result<bool, Error> {
        // Exchanged, not stored: a fork in between must be seen.
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
        let keyless = found != ALIVE;
        if !keyless && self.age.load(Relaxed) < SEED_LIFE as u64 {
            return Ok(false);
        }
        compiler_fence(SeqCst);
        let mut seed = Block::default();
        let drawn = source.draw(&mut seed);
        if keyless {
            if let Err(error) = drawn {
                self.alive.store(WIPED, Relaxed);
                return Err(error);
            }
            // Of a key before `reseed`, or of a call that a fork cut in two.
            slots.fill(Block::default());
        }
        if drawn.is_ok() {
            hedge::fold_into(&mut seed);
            drbg::fold(key, &mut seed);
        } else {
            // The chain is intact: as strong as before, only not renewed.
            MISSED_RESEEDS.fetch_add(1, Relaxed);
        }
        self.age.store(0, Relaxed);
        Ok(found == WIPED)
    }

    /// Fills `dest` from the first `ready` slots and the key, and returns how
    /// many are ready then. Worth nothing unless the page is alive afterwards.
    pub(super) fn make(
        &self,
        Secret { key, slots }: &mut Secret,
        mut ready: usize,
        mut dest: &mut [Block],
    ) -> usize {
        loop {
            let mut moved = 0;
            for (to, slot) in dest.iter_mut().zip(slots[..ready].iter_mut().rev()) {
                // Zero where the number is out of date; the others may be, too.
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

/// Moves a UUID out of its slot, which is zero afterwards, and returns whether there
/// was one.
#[inline(always)]
pub(super) fn move_out(slot: &mut Block, to: &mut Block) -> bool {
    // A number, for which two registers do; a block would go through memory.
    let bits = u128::from_ne_bytes(*slot);
    if bits != 0 {
        *slot = Block::default();
        *to = bits.to_ne_bytes();
    }
    bits != 0
}

/// Marks the keys of all pages of this process as old, whosever they are. A page
/// that was wiped stays so: the call that a fork cut in two must see it.
pub(crate) fn reseed() {
    for page in PAGES.iter() {
        // Asked first: an exchange would make memory of a page that nobody used.
        if page.is_alive() {
            let _ = page.alive.compare_exchange(ALIVE, STALE, Relaxed, Relaxed);
        }
    }
}

/// Marks the memory of all pages again.
pub(crate) fn mark_again() {
    PAGES.mark_again();
}

/// How many seeds could not be renewed.
pub(crate) fn missed_reseeds() -> u64 {
    MISSED_RESEEDS.load(Relaxed)
}
