//! Ready UUIDs, and the protocol that claims them.
//!
//! A [`Page`] in wiped memory holds the key and the slots. `state`, a word in ordinary
//! memory, says how many slots are ready, or that a call is under way. A call takes these
//! steps:
//!
//! 1. If `state` is [`BUSY`], a signal handler has interrupted another call, or the pool has no
//!    page or no key. Draw from the source and change nothing.
//! 2. Set `state` to [`BUSY`].
//! 3. If too few slots are ready, refill: set `alive`, draw a seed if there is no key or it has
//!    made 4096 blocks, and make the next key and the slots. If `alive` has changed by then,
//!    start over. A bulk request does this for each 4096 UUIDs.
//! 4. Copy the requested number of slots, from the last one down, and zero them.
//! 5. If one of them was zero, or `alive` has changed, start over with an empty pool.
//! 6. Set `state` to the number of slots left.
//!
//! No step asks whether there was a fork. The kernel zeroes the child's page, so it has
//! neither a key nor a UUID. `state` still counts the parent's slots, and a call that copies
//! one of them starts over at step 5. The first single UUID of a child comes straight from the
//! kernel, and the next one refills.
//!
//! If a signal handler forks after step 5, both processes return the value that was made
//! before the fork.
#![allow(unsafe_code)]

use core::cell::Cell;
use core::sync::atomic::{
    AtomicUsize,
    Ordering::{Relaxed, SeqCst},
    compiler_fence,
};

use zeroize::Zeroize;

use crate::engine::drbg::{self, Key};
use crate::engine::hedge::{self, Mixer};
use crate::error::Error;
use crate::format::{Block, V4};
use crate::source::{Answered, Source};
use crate::sys;
use crate::wipe::{Borrower, Refusal};

mod page;
mod take;

use page::{BLOCKS_PER_SEED, PAGES, Page};
pub(crate) use page::{mark_again, missed_reseeds, reseed};
pub(crate) use take::{Miss, as_it_is, blocks_of, fill};

/// A call is under way, and only that call may use the page. A pool stays busy for good if
/// it was refused a page, or if its source panicked.
const BUSY: usize = usize::MAX;

/// How often `reseed` may interrupt one request. The rest of the request is then drawn from
/// the source.
const MAX_RESEEDS: u32 = 8;

/// The ready UUIDs of one thread or one generator.
///
/// It has no destructor; a generator calls [`Pool::retire`].
pub(crate) struct Pool {
    /// The number of ready slots, or [`BUSY`]. Relaxed, as the words of [`Page`]: only the
    /// owning thread and its handlers use it.
    state: AtomicUsize,
    /// `None` before the first refill, and after [`Pool::retire`].
    page: Cell<Option<&'static Page>>,
    borrower: Borrower,
}

impl Pool {
    pub(crate) const fn new() -> Self {
        Self {
            state: AtomicUsize::new(0),
            page: Cell::new(None),
            borrower: Borrower::Object,
        }
    }

    /// Returns a pool that has no slots. It draws each request from the source.
    pub(crate) const fn unbuffered() -> Self {
        Self {
            state: AtomicUsize::new(BUSY),
            ..Self::new()
        }
    }

    /// Returns a pool for a thread-local variable.
    pub(crate) const fn of_thread() -> Self {
        Self {
            borrower: Borrower::Thread,
            ..Self::new()
        }
    }

    // Inlined, because a fork in a call after the last look at `alive` leaves both with the UUID.
    #[inline]
    pub(crate) fn take_after_miss(&self, miss: Miss, source: Source<'_>) -> Result<Block, Error> {
        let mut block = [Block::default()];
        self.fill_after_miss(&mut block, miss, source, as_it_is)?;
        Ok(block[0])
    }

    /// Fills `dest` with UUIDs of version 4, which `shape` turns into the requested version.
    pub(crate) fn fill(
        &self,
        dest: &mut [Block],
        source: Source<'_>,
        shape: impl Fn(&mut [Block]),
    ) -> Result<(), Error> {
        match self.take_all(dest, &shape) {
            Ok(()) => Ok(()),
            Err(miss) => self.fill_after_miss(dest, miss, source, shape),
        }
    }

    pub(crate) fn fill_after_miss(
        &self,
        dest: &mut [Block],
        miss: Miss,
        source: Source<'_>,
        shape: impl Fn(&mut [Block]),
    ) -> Result<(), Error> {
        let ready = match miss {
            Miss::Claimed => match self.page.get() {
                Some(page) if dest.len() == 1 && page.is_wiped() && fill_by_call(dest, source) => {
                    shape(dest);
                    self.state.store(0, Relaxed);
                    return Ok(());
                }
                _ => 0,
            },
            Miss::Unclaimed => {
                // [P3 nested] This call interrupts one that is changing the page, or the pool has
                // no page or no key.
                let ready = self.state.load(Relaxed);
                if ready == BUSY {
                    return fill_stateless(dest, source, shape);
                }
                // [P3 claim-page] Without the claim, a handler would find the page alive before
                // its key is drawn.
                self.state.store(BUSY, Relaxed);
                compiler_fence(SeqCst);
                ready
            }
        };
        self.fill_claimed(dest, ready, source, shape)
    }

    /// Fills `dest` from the claimed page, of which `ready` slots are ready, and ends the
    /// claim. If the source panics, the pool stays busy: the page may have no key.
    fn fill_claimed(
        &self,
        dest: &mut [Block],
        mut ready: usize,
        source: Source<'_>,
        shape: impl Fn(&mut [Block]),
    ) -> Result<(), Error> {
        sys::keeping_errno(|| {
            let page = match self.page_or_lend() {
                Ok(page) => page,
                // The pool stays busy, so that later calls do not ask again.
                Err(Refusal::NoMemory) => return fill_stateless(dest, source, shape),
                Err(Refusal::UnknownThread) => {
                    let filled = fill_stateless(dest, source, shape);
                    self.state.store(ready, Relaxed);
                    return filled;
                }
            };
            let filled = fill_from_page(page, dest, &mut ready, source, shape);
            compiler_fence(SeqCst);
            self.state.store(ready, Relaxed);
            filled
        })
    }

    fn page_or_lend(&self) -> Result<&'static Page, Refusal> {
        if let Some(page) = self.page.get() {
            return Ok(page);
        }
        // [P3 no-destructor] No destructor returns the page when the thread ends. Registering
        // one would allocate memory and take the libc's locks, and the libc would keep its
        // address after this library is unloaded.
        let page = PAGES.lend(self.borrower)?;
        // The mixer's key is made now, so that a forked child need not write it.
        Mixer::new();
        self.page.set(Some(page));
        Ok(page)
    }

    pub(crate) fn has_page(&self) -> bool {
        self.page.get().is_some()
    }

    /// Gives the page back. Each later request is drawn from the source.
    pub(crate) fn retire(&mut self) {
        self.state.store(BUSY, Relaxed);
        if let Some(page) = self.page.take() {
            // SAFETY: with `&mut self` no call is under way, and the pool has lost the page.
            unsafe { PAGES.take_back(page) };
        }
    }
}

fn fill_from_page(
    page: &Page,
    dest: &mut [Block],
    ready: &mut usize,
    source: Source<'_>,
    shape: impl Fn(&mut [Block]),
) -> Result<(), Error> {
    // SAFETY: the caller has claimed its pool, to which alone the page is lent.
    let secret = unsafe { &mut *page.secret.get() };
    let mut reseeds = 0;
    'request: loop {
        let mut done = 0;
        while done < dest.len() {
            let was_wiped = page.seed(secret, source)?;
            // [P2 start-over] If there was a fork between two seeds, the parent also returns the
            // blocks that were made before the fork.
            if was_wiped && done != 0 {
                continue 'request;
            }
            let end = dest.len().min(done + BLOCKS_PER_SEED);
            *ready = page.make(secret, *ready, &mut dest[done..end]);
            compiler_fence(SeqCst);
            // [P2 alive-after-refill] If a handler forked before this, parent and child both have
            // the new blocks. Only the child's page is wiped.
            if page.is_alive() {
                done = end;
            } else if page.is_wiped() {
                continue 'request;
            } else if reseeds == MAX_RESEEDS {
                fill_stateless(&mut dest[done..], source, as_it_is)?;
                done = dest.len();
            } else {
                // `reseed` was called while these blocks were made, so they are made again.
                reseeds += 1;
            }
        }
        // [P2 shape-first] Before `alive` is read for the last time: shaping takes long, and if a
        // handler forked meanwhile, both processes would return the same UUIDs.
        shape(dest);
        compiler_fence(SeqCst);
        if !page.is_wiped() {
            return Ok(());
        }
    }
}

/// Fills `dest` from the source, and keeps nothing.
#[cold]
#[inline(never)]
fn fill_stateless(
    dest: &mut [Block],
    source: Source<'_>,
    shape: impl Fn(&mut [Block]),
) -> Result<(), Error> {
    sys::keeping_errno(|| {
        let mixer = Mixer::new();
        let mut seed = Block::default();
        if source.draw_output(dest.as_flattened_mut(), &mut seed)? == Answered::Kernel {
            mix_into(dest, &mixer);
        } else {
            // [P1 key-only] Bytes from a descriptor or from the program's own source become a
            // key and are never output.
            hedge::fold_into(&mut seed);
            let mut key = Key::default();
            drbg::xor_and_clear(&mut key, &mut seed);
            // Each 4096 blocks have their own nonce, so cloned machines repeat no more than these.
            for (blocks, count) in dest.chunks_mut(BLOCKS_PER_SEED).zip(0..) {
                drbg::generate(&mut key, hedge::nonce(count), V4, blocks);
            }
            key.zeroize();
        }
        shape(dest);
        Ok(())
    })
}

/// Fills `dest` by the system call alone, or returns `false`.
///
/// It makes the first UUID of a forked child. Many children make only one UUID, and the
/// kernel must copy each page that they write to (of the pool, of the vDSO's state, of the
/// libc), which takes longer than the call.
fn fill_by_call(dest: &mut [Block], source: Source<'_>) -> bool {
    let mixer = Mixer::new();
    let is_filled = source.draw_by_call(dest.as_flattened_mut());
    if is_filled {
        mix_into(dest, &mixer);
    }
    is_filled
}

fn mix_into(dest: &mut [Block], mixer: &Mixer) {
    for block in dest {
        // [P5 hardware-in-output] The kernel of a clone may return the same bytes.
        mixer.mix_into(block);
        V4.apply(block);
    }
}
