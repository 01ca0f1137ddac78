//! Ready bytes, the protocol that claims them, and the refill.
//!
//! A [`Page`] in wiped memory holds the key and the ready slots; the claim is
//! the `busy` flag beside it, in ordinary memory. One call goes so:
//!
//! 1. `busy` set? Then this is a nested call, from a signal handler: serve it
//!    from the source and touch nothing.
//! 2. Set `busy`.
//! 3. No slot ready? Refill: write `alive` **before** drawing the seed, then
//!    key, slots, `ready`; if `alive` is not as written at the end, start over.
//! 4. Copy the last slot out, zero it, store `ready`.
//! 5. `alive` still as it was written? If not, start over with an empty pool.
//! 6. Clear `busy`.
//!
//! **Why a fork needs no check of its own.** The child's page is zeroed, and a
//! zeroed page is an empty pool without a key. Only a fork *inside* a call, by
//! a handler, can leave something in between; step 5 sees it.
//!
//! **Why `busy` is not in the page.** Wiped with it, it would let a child whose
//! handler generates refill the pool under the interrupted call, whose zeroing
//! and last store would then corrupt it.
//!
//! **Why step 5 comes after the last store.** A fork between the check and the
//! store would leave a `ready` that is not zero in a page that is: zero UUIDs.
//!
//! **Why `alive` is asked before it is written.** Not the key tells whether
//! there is a key: a fork after it was read lets the child write the parent's
//! next key into its own page, and the parent's stream would go on in both.
//! `alive` as the kernel left it, 0, drops whatever key stands there.
//!
//! What cannot be helped: a handler that forks after step 5 leaves both
//! processes with the one value that was made before the fork.
#![allow(unsafe_code)]

use core::cell::{Cell, UnsafeCell};
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
    compiler_fence,
};

use uuid::Uuid;
use zeroize::Zeroize;

use crate::drbg::{self, Block};
use crate::error::Error;
use crate::hedge;
use crate::source::{Served, Source};
use crate::sys;
use crate::wipe::Wiped;

/// Slots of a page: with the key, 64 blocks. What a restored snapshot of a
/// virtual machine can repeat, for each thread.
const SLOTS: usize = 63;

/// Blocks that are made from one seed before the next is drawn: 64 KiB.
const SEED_LIFE: u64 = 4096;

/// Which pools of this process may be used: those made since the last
/// [`reseed`]. Never 0, which is what a wiped page says.
///
/// Relaxed: a call that is ordered after `reseed` by the program sees its
/// value, and none other is promised anything.
static GENERATION: AtomicU64 = AtomicU64::new(1);

/// Seeds that could not be renewed while the key chain went on; see `status`.
/// Relaxed: only a count.
static MISSED_RESEEDS: AtomicU64 = AtomicU64::new(0);

/// What belongs to one process, in wiped memory.
///
/// Atomics, because handlers of the same thread and the kernel's wipe come in
/// at any instruction. Relaxed, because no other thread does: between the
/// steps stand compiler fences, which is all that one thread needs to see its
/// own stores in order.
#[repr(C, align(64))]
struct Page {
    /// The [`GENERATION`] in which the key was seeded; 0: there is no key.
    alive: AtomicU64,
    /// Slots that are ready: the first ones.
    ready: AtomicU64,
    /// Blocks made since the last seed.
    age: AtomicU64,
    /// The key, then the slots: one stretch for the refill.
    chain: UnsafeCell<[Cell128; 1 + SLOTS]>,
}

// SAFETY: `chain` is changed as a whole only in `refill`, by the one thread
// whose pool the page is; the other fields are atomics.
unsafe impl Sync for Page {}

/// A [`Block`] that may change at any instruction. Copied in two halves; a
/// wipe between them is found by step 5.
type Cell128 = [AtomicU64; 2];

// SAFETY: atomics, for which zero is valid; no destructor. What `refill` writes
// otherwise is worth nothing before step 5.
unsafe impl Wiped for Page {}

/// The page of every pool that has none: always empty, never written.
static EMPTY: Page = Page {
    alive: AtomicU64::new(0),
    ready: AtomicU64::new(0),
    age: AtomicU64::new(0),
    chain: UnsafeCell::new([const { [const { AtomicU64::new(0) }; 2] }; 1 + SLOTS]),
};

/// One thread's or one generator's ready bytes.
///
/// It has no destructor: registering one for a thread-local allocates. Whoever
/// owns it calls [`Pool::retire`].
pub(crate) struct Pool {
    /// Set while a call is under way, and for good once the pool is retired or
    /// refused, or a source panicked: the page is then nobody's, and the source
    /// serves. Relaxed, as in [`Page`]; only the owning thread and its handlers
    /// come here.
    busy: AtomicBool,
    page: Cell<&'static Page>,
    /// Whether the end of the calling thread retires it.
    ends_with_thread: bool,
}

impl Pool {
    pub(crate) const fn new() -> Self {
        Self {
            busy: AtomicBool::new(false),
            page: Cell::new(&EMPTY),
            ends_with_thread: false,
        }
    }

    /// A pool in a thread-local variable.
    pub(crate) const fn of_thread() -> Self {
        Self {
            ends_with_thread: true,
            ..Self::new()
        }
    }

    /// Returns 16 bytes.
    #[inline]
    pub(crate) fn take(&self, source: Source<'_>) -> Result<Block, Error> {
        if self.busy.load(Relaxed) {
            return take_stateless(source);
        }
        self.busy.store(true, Relaxed);
        compiler_fence(SeqCst);
        let page = self.page.get();
        // With none ready this is no index either.
        let last = page.ready.load(Relaxed).wrapping_sub(1);
        if let Some(slot) = page.slots().get(last as usize) {
            let block = hand_out(slot);
            page.ready.store(last, Relaxed);
            compiler_fence(SeqCst);
            if page.alive.load(Relaxed) == GENERATION.load(Relaxed) {
                compiler_fence(SeqCst);
                self.busy.store(false, Relaxed);
                return Ok(block);
            }
        }
        self.take_refilled(source)
    }

    #[cold]
    #[inline(never)]
    fn take_refilled(&self, source: Source<'_>) -> Result<Block, Error> {
        let mut block = [Block::default()];
        self.fill_claimed(&mut block, source)?;
        Ok(block[0])
    }

    /// Fills `dest`. The whole request is one claim: after a fork in the middle
    /// the child makes all of it anew.
    pub(crate) fn fill(&self, dest: &mut [Block], source: Source<'_>) -> Result<(), Error> {
        if self.busy.load(Relaxed) {
            return fill_stateless(dest, source);
        }
        self.busy.store(true, Relaxed);
        compiler_fence(SeqCst);
        self.fill_claimed(dest, source)
    }

    /// Fills `dest` with `busy` set, and clears it.
    ///
    /// If the source panics, `busy` stays set: the page may be without a key.
    fn fill_claimed(&self, dest: &mut [Block], source: Source<'_>) -> Result<(), Error> {
        sys::keeping_errno(|| {
            let Some(page) = self.page_or_map() else {
                // `busy` stays set: not asked again at each call.
                return fill_stateless(dest, source);
            };
            let filled = loop {
                if let Err(error) = page.seed(source) {
                    break Err(error);
                }
                page.make(dest);
                compiler_fence(SeqCst);
                if page.alive.load(Relaxed) == GENERATION.load(Relaxed) {
                    break Ok(());
                }
            };
            compiler_fence(SeqCst);
            self.busy.store(false, Relaxed);
            filled
        })
    }

    fn page_or_map(&self) -> Option<&'static Page> {
        if self.is_mapped() {
            return Some(self.page.get());
        }
        let page = Page::map()?;
        if self.ends_with_thread {
            /// # Safety
            ///
            /// `pool` is a thread-local of the ending thread.
            unsafe extern "C" fn retire(pool: *mut c_void) {
                // SAFETY: set below by this thread, whose variables outlive
                // the destructors of its keys; no call is under way any more.
                unsafe { (*pool.cast::<Pool>()).retire_shared() };
            }
            if !sys::at_thread_exit(retire, ptr::from_ref(self).cast_mut().cast()) {
                // SAFETY: mapped above and shown to nobody.
                unsafe { page.unmap() };
                return None;
            }
        }
        self.page.set(page);
        Some(page)
    }

    /// Whether there is a page to keep ready bytes in.
    pub(crate) fn is_mapped(&self) -> bool {
        !ptr::eq(self.page.get(), &EMPTY)
    }

    /// Gives the page back; whatever is asked of the pool later, the source
    /// serves.
    pub(crate) fn retire(&mut self) {
        // SAFETY: borrowed mutably, so no call is under way.
        unsafe { self.retire_shared() };
    }

    /// # Safety
    ///
    /// No call is under way, other than a handler's.
    unsafe fn retire_shared(&self) {
        // In this order: a handler that comes in between must neither find the
        // page that is being unmapped nor map another.
        self.busy.store(true, Relaxed);
        compiler_fence(SeqCst);
        let page = self.page.replace(&EMPTY);
        compiler_fence(SeqCst);
        if !ptr::eq(page, &EMPTY) {
            // SAFETY: it came from `map`, and only this pool referred to it.
            unsafe { page.unmap() };
        }
    }
}

impl Page {
    /// Makes sure that there is a key, and that it is not too old.
    fn seed(&self, source: Source<'_>) -> Result<(), Error> {
        let generation = GENERATION.load(Relaxed);
        let keyless = self.alive.load(Relaxed) != generation;
        if keyless {
            self.ready.store(0, Relaxed);
            self.alive.store(generation, Relaxed);
        } else if self.age.load(Relaxed) < SEED_LIFE {
            return Ok(());
        }
        compiler_fence(SeqCst);
        let mut seed = Block::default();
        match source.draw(&mut seed) {
            Ok(_) => {
                hedge::fold_into(&mut seed);
                let mut key = if keyless {
                    Block::default()
                } else {
                    self.key()
                };
                drbg::fold(&mut key, &mut seed);
                self.set_key(&key);
                key.zeroize();
            }
            Err(error) if keyless => {
                self.alive.store(0, Relaxed);
                return Err(error);
            }
            // The chain is intact: as strong as before, only not renewed.
            Err(_) => {
                MISSED_RESEEDS.fetch_add(1, Relaxed);
            }
        }
        self.age.store(0, Relaxed);
        Ok(())
    }

    /// Fills `dest` from the slots and the key. Worth nothing unless `alive`
    /// is found unchanged afterwards.
    fn make(&self, mut dest: &mut [Block]) {
        loop {
            let ready = self.ready.load(Relaxed).min(SLOTS as u64) as usize;
            let taken = ready.min(dest.len());
            let left = ready - taken;
            let (now, later) = dest.split_at_mut(taken);
            for (block, slot) in now.iter_mut().zip(&self.slots()[left..ready]) {
                *block = hand_out(slot);
            }
            self.ready.store(left as u64, Relaxed);
            dest = later;
            if dest.is_empty() {
                return;
            }
            let made = dest.len().max(SLOTS) as u64;
            self.age.store(self.age.load(Relaxed) + made, Relaxed);
            if dest.len() >= SLOTS {
                let mut key = self.key();
                drbg::generate(&mut key, hedge::nonce(), dest);
                self.set_key(&key);
                key.zeroize();
                return;
            }
            self.refill();
        }
    }

    fn refill(&self) {
        let nonce = hedge::nonce();
        // SAFETY: two u64 are laid out as the 16 bytes of a block; no reference
        // to the chain is alive here, and `busy` keeps handlers out.
        let chain = unsafe { &mut *self.chain.get().cast::<[Block; 1 + SLOTS]>() };
        drbg::refill(chain, nonce);
        compiler_fence(SeqCst);
        self.ready.store(SLOTS as u64, Relaxed);
    }

    #[inline]
    fn chain(&self) -> &[Cell128; 1 + SLOTS] {
        // SAFETY: `refill` alone makes a mutable reference to it, which ends
        // there.
        unsafe { &*self.chain.get() }
    }

    #[inline]
    fn slots(&self) -> &[Cell128; SLOTS] {
        let [_, slots @ ..] = self.chain();
        slots
    }

    fn key(&self) -> Block {
        read(&self.chain()[0])
    }

    fn set_key(&self, key: &Block) {
        write(&self.chain()[0], key);
    }
}

#[inline]
fn hand_out(slot: &Cell128) -> Block {
    let block = read(slot);
    write(slot, &Block::default());
    block
}

#[inline]
fn read(cell: &Cell128) -> Block {
    let mut block = Block::default();
    for (bytes, half) in block.as_chunks_mut().0.iter_mut().zip(cell) {
        *bytes = half.load(Relaxed).to_ne_bytes();
    }
    block
}

#[inline]
fn write(cell: &Cell128, block: &Block) {
    for (bytes, half) in block.as_chunks().0.iter().zip(cell) {
        half.store(u64::from_ne_bytes(*bytes), Relaxed);
    }
}

/// Fills `dest` from the source, and keeps nothing.
///
/// What the kernel gives is handed out as it is. What comes from a descriptor
/// or from the program's own source is only ever a key.
#[cold]
#[inline(never)]
pub(crate) fn fill_stateless(dest: &mut [Block], source: Source<'_>) -> Result<(), Error> {
    sys::keeping_errno(|| {
        if source.draw(dest.as_flattened_mut())? == Served::Kernel {
            return Ok(());
        }
        if let Some(&first) = dest.first() {
            let mut key = first;
            hedge::fold_into(&mut key);
            drbg::generate(&mut key, hedge::nonce(), dest);
            key.zeroize();
        }
        Ok(())
    })
}

/// [`fill_stateless`] for one block.
pub(crate) fn take_stateless(source: Source<'_>) -> Result<Block, Error> {
    let mut block = [Block::default()];
    fill_stateless(&mut block, source)?;
    Ok(block[0])
}

/// The bytes of `uuids`, to be filled in place.
pub(crate) fn blocks_of(uuids: &mut [Uuid]) -> &mut [Block] {
    // SAFETY: `Uuid` is `repr(transparent)` over `uuid::Bytes`, which is
    // `Block`, as its documentation guarantees; any bytes are a valid `Uuid`.
    unsafe { &mut *(ptr::from_mut(uuids) as *mut [Block]) }
}

/// Sees to it that no pool of this process is used again as it is now.
pub(crate) fn reseed() {
    GENERATION.fetch_add(1, Relaxed);
}

/// How many seeds could not be renewed.
pub(crate) fn missed_reseeds() -> u64 {
    MISSED_RESEEDS.load(Relaxed)
}
