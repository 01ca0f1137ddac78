//! What belongs to one process: the key and what it has made.

use core::cell::UnsafeCell;
use core::mem;
use core::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
    compiler_fence,
};

use zeroize::Zeroize;

use crate::drbg::{self, Block, Form};
use crate::error::Error;
use crate::hedge;
use crate::source::Source;
use crate::wipe::{Wiped, WipedSlab};

/// Slots of a page: what fits into 4 KiB with the key, and what a restored
/// snapshot of a virtual machine can repeat, for each thread.
///
/// A refill has a fixed cost of some 120 ns (key schedule, clock). On Zen 4 a
/// UUID takes 5.4 ns with 63 slots, 4.2 with 127 and 3.7 with 251, where the
/// `rand` crate's generator takes 8.0.
pub(super) const SLOTS: usize = 251;

/// Blocks that are made from one seed before the next is drawn: 64 KiB.
const SEED_LIFE: u64 = 4096;

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

/// The value of `alive` while there is a key.
pub(super) const ALIVE: u64 = 1;

/// A key and the slots that it filled, in wiped memory.
///
/// Handlers of the owning thread and the kernel's wipe come in at any
/// instruction: so the words are atomics, and between the steps stand compiler
/// fences, which is all that one thread needs to see its own stores in order.
/// Relaxed, because no other thread comes here but for one store of 0 to
/// `alive`, and a call that the program orders after `reseed` sees that.
#[repr(C, align(64))]
pub(super) struct Page {
    /// [`ALIVE`], or 0 where there is no key: in a new page, in a forked child,
    /// after `reseed`.
    pub(super) alive: AtomicU64,
    /// Blocks made since the last seed.
    age: AtomicU64,
    /// Touched by whoever has claimed the pool, and by nobody else.
    pub(super) secret: UnsafeCell<Secret>,
}

#[repr(C)]
pub(super) struct Secret {
    pub(super) key: Block,
    pub(super) slots: [Block; SLOTS],
}

// SAFETY: a page is lent to one pool, which is not `Sync`, and only that touches
// `secret`.
unsafe impl Sync for Page {}

// SAFETY: integers, for which zero is valid; no destructor.
unsafe impl Wiped for Page {}

impl Page {
    /// Whether the key, and what was made of it since it was seeded, is this
    /// process's and may be used.
    #[inline]
    pub(super) fn is_alive(&self) -> bool {
        self.alive.load(Relaxed) == ALIVE
    }

    /// Clears everything.
    pub(super) fn clear(&self, secret: &mut Secret) {
        self.alive.store(0, Relaxed);
        secret.key.zeroize();
        secret.slots.zeroize();
    }

    /// Makes sure that there is a key, and that it is not too old.
    pub(super) fn seed(
        &self,
        Secret { key, slots }: &mut Secret,
        source: Source<'_>,
    ) -> Result<(), Error> {
        let keyless = !self.is_alive();
        if keyless {
            self.alive.store(ALIVE, Relaxed);
        } else if self.age.load(Relaxed) < SEED_LIFE {
            return Ok(());
        }
        compiler_fence(SeqCst);
        let mut seed = Block::default();
        let drawn = source.draw(&mut seed);
        if keyless {
            if let Err(error) = drawn {
                self.alive.store(0, Relaxed);
                return Err(error);
            }
            // Of a key before `reseed`, or of a call that a fork cut in two.
            slots.zeroize();
        }
        if drawn.is_ok() {
            hedge::fold_into(&mut seed);
            drbg::fold(key, &mut seed);
        } else {
            // The chain is intact: as strong as before, only not renewed.
            MISSED_RESEEDS.fetch_add(1, Relaxed);
        }
        self.age.store(0, Relaxed);
        Ok(())
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
            while !dest.is_empty() {
                // Zero where the number is out of date; the others may be, too.
                let taken = slots[..ready].last_mut().map(mem::take);
                let Some(block) = taken.filter(|block| *block != Block::default()) else {
                    break;
                };
                ready -= 1;
                if let Some(first) = dest.split_off_first_mut() {
                    *first = block;
                }
            }
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

/// Takes the key from all pages of this process, whosever they are.
pub(crate) fn reseed() {
    for page in PAGES.iter() {
        page.alive.store(0, Relaxed);
    }
}

/// How many seeds could not be renewed.
pub(crate) fn missed_reseeds() -> u64 {
    MISSED_RESEEDS.load(Relaxed)
}
