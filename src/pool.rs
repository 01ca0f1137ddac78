//! Ready UUIDs, and the protocol that claims them.
//!
//! A [`Page`] in wiped memory holds the key and the slots. `state`, a word
//! beside it in ordinary memory, says how many slots are ready, or that a call
//! is under way. One call goes so:
//!
//! 1. `state` is [`BUSY`]? Then this call is nested, a signal handler's: serve
//!    it from the source and touch nothing.
//! 2. Set `state` to [`BUSY`].
//! 3. No slot ready? Refill: write `alive` **before** drawing the seed, then
//!    key and slots; if `alive` is not as written at the end, start over. A bulk
//!    request does so for each 4096 UUIDs.
//! 4. Copy the last slot out and zero it; of a request, as many as it asks for.
//! 5. Was one zero, or is `alive` no longer as written? Start over with an empty
//!    pool.
//! 6. Set `state` to the number of slots left.
//!
//! **Why a fork needs no check of its own.** The child's page is zeroed: there
//! is no key and no UUID in it. `state` still counts the parent's slots, and
//! the first of them that is asked for fails step 5.
//!
//! **Why the first of a child is the kernel's.** The step that starts over draws that
//! one UUID without a key, and the next call refills. Many children make only one,
//! and each page that they write is copied for them, which takes longer than the
//! call. No call that a fork may have cut in two begins so: it has no key to lose.
//!
//! **Why `state` is not in the page.** Wiped with it, it would let a child whose
//! handler generates refill the pool under the interrupted call, which would
//! then zero a slot of it and count as before.
//!
//! **Why `alive` is asked after the slot was copied.** A handler that forks in
//! between leaves both processes with the copy; only the child's page says that
//! it is the copy of another process's slot.
//!
//! **Why a slot may be zero.** A handler that comes between 1 and 2 makes its
//! UUIDs undisturbed, and the number that was read is out of date. But a slot is
//! zeroed as it is handed out and no UUID is zero, so one that is not zero was
//! never handed out, whatever the number says.
//!
//! **Why `alive` is asked before it is written.** Not the key tells whether
//! there is a key: a fork after it was read lets the child write the parent's
//! next key into its own page, and the parent's stream would go on in both.
//! `alive` as the kernel left it, 0, has a fresh seed drawn, whatever stands
//! there.
//!
//! **Why a bulk request tells a wipe from `reseed`.** Where it was forked in the
//! middle, the child makes all of it anew, for the parent returns the beginning,
//! too. After `reseed`, which another thread or a timer may call again and again,
//! it makes only the current 4096 anew; and when that has come [`PATIENCE`] times
//! in one request, the source serves the rest. So it ends, and no UUID that it
//! makes after `reseed` comes from a key before it.
//!
//! **Why `shape` is inside.** A bulk request may be given another form than that
//! of random UUIDs, in place. Asked before that, `alive` would leave a long
//! time in which a handler that forks has both processes return the same.
//!
//! What cannot be helped: a handler that forks after step 5 leaves both
//! processes with the one value that was made before the fork.
#![allow(unsafe_code)]

use core::cell::Cell;
use core::ptr;
use core::sync::atomic::{
    AtomicUsize,
    Ordering::{Relaxed, SeqCst},
    compiler_fence,
};

use uuid::Uuid;
use zeroize::Zeroize;

use crate::drbg::{self, Block, Key};
use crate::error::Error;
use crate::hedge::{self, Mixer};
use crate::source::{Served, Source};
use crate::sys;
use crate::wipe::{Borrower, Refusal};

mod page;

use page::{PAGES, Page, SEED_LIFE, SLOTS, V4};
pub(crate) use page::{mark_again, missed_reseeds, reseed};

/// A call is under way; or, for good, the pool was refused a page, or was left by
/// a source that panicked. The page is then nobody else's.
const BUSY: usize = usize::MAX;

/// So often `reseed` may come in the middle of one request before the source
/// serves the rest of it.
const PATIENCE: u32 = 8;

/// The shape of version 4, which the blocks have already.
pub(crate) fn as_it_is(_: &mut [Block]) {}

/// Why nothing was ready.
#[derive(Clone, Copy)]
pub(crate) enum Miss {
    /// Step 1 or 3: [`BUSY`], or none. Nothing is claimed.
    None,
    /// Step 5: claimed, and whoever gets this goes on from there.
    Claimed,
}

/// One thread's or one generator's ready bytes.
///
/// It has no destructor: registering one for a thread-local allocates. A
/// generator calls [`Pool::retire`].
pub(crate) struct Pool {
    /// How many slots are ready, or [`BUSY`]. Relaxed, as in [`Page`]; only the
    /// owning thread and its handlers come here.
    state: AtomicUsize,
    /// None as yet, or any more.
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

    /// A pool that never has anything: the source serves each request.
    pub(crate) const fn none() -> Self {
        Self {
            state: AtomicUsize::new(BUSY),
            ..Self::new()
        }
    }

    /// A pool in a thread-local variable.
    pub(crate) const fn of_thread() -> Self {
        Self {
            borrower: Borrower::Thread,
            ..Self::new()
        }
    }

    /// Claims `count` ready slots, which are those from the returned number on:
    /// steps 1 and 2.
    #[inline(always)]
    fn claim(&self, count: usize) -> Result<(usize, &'static Page), Miss> {
        // More than there can be where too few are ready, and where it is BUSY.
        let left = self.state.load(Relaxed).wrapping_sub(count);
        if left > SLOTS - count {
            return Err(Miss::None);
        }
        self.state.store(BUSY, Relaxed);
        compiler_fence(SeqCst);
        // SAFETY: a pool without a page never has a slot ready.
        Ok((left, unsafe { self.page.get().unwrap_unchecked() }))
    }

    /// Ends the claim with `left` slots: steps 5 and 6.
    #[inline(always)]
    fn release(&self, page: &Page, left: usize) -> Result<(), Miss> {
        if !page.is_alive() {
            return Err(Miss::Claimed);
        }
        compiler_fence(SeqCst);
        self.state.store(left, Relaxed);
        Ok(())
    }

    /// Returns a UUID if one is ready: steps 1 to 6 without a refill.
    ///
    /// As a number, for which two registers do; an array inside a `Result`
    /// goes through memory.
    #[inline]
    pub(crate) fn take(&self) -> Result<u128, Miss> {
        let (last, page) = self.claim(1)?;
        // SAFETY: claimed, and lent to this pool.
        let slot = unsafe { &mut (*page.secret.get()).slots[last] };
        let bits = u128::from_ne_bytes(*slot);
        // Not written where it is zero: a forked child, which was given other memory
        // in this place, would be given another page for it.
        if bits == 0 {
            return Err(Miss::Claimed);
        }
        *slot = Block::default();
        compiler_fence(SeqCst);
        self.release(page, last)?;
        Ok(bits)
    }

    /// Returns the UUID that [`Pool::take`] did not have.
    pub(crate) fn take_missed(&self, miss: Miss, source: Source<'_>) -> Result<Block, Error> {
        let mut block = [Block::default()];
        self.fill_missed(&mut block, miss, source, as_it_is)?;
        Ok(block[0])
    }

    /// Fills `dest` if so many are ready: steps 1 to 6 without a refill. `shape` makes
    /// of them what was asked for.
    #[inline]
    pub(crate) fn take_all(
        &self,
        dest: &mut [Block],
        shape: impl Fn(&mut [Block]),
    ) -> Result<(), Miss> {
        if dest.is_empty() || dest.len() > SLOTS {
            return Err(Miss::None);
        }
        let (left, page) = self.claim(dest.len())?;
        // SAFETY: claimed, and lent to this pool.
        let slots = unsafe { &mut (&mut (*page.secret.get()).slots)[left..] };
        for (to, slot) in dest.iter_mut().zip(slots) {
            if !page::move_out(slot, to) {
                return Err(Miss::Claimed);
            }
        }
        shape(dest);
        compiler_fence(SeqCst);
        self.release(page, left)
    }

    /// Fills `dest` with UUIDs of version 4, of which `shape` makes what was
    /// asked for. The whole request is one claim: after a fork in the middle the
    /// child makes all of it anew.
    pub(crate) fn fill(
        &self,
        dest: &mut [Block],
        source: Source<'_>,
        shape: impl Fn(&mut [Block]),
    ) -> Result<(), Error> {
        match self.take_all(dest, &shape) {
            Ok(()) => Ok(()),
            Err(miss) => self.fill_missed(dest, miss, source, shape),
        }
    }

    /// Fills `dest` with what [`Pool::take_all`] did not have.
    pub(crate) fn fill_missed(
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
            Miss::None => {
                let ready = self.state.load(Relaxed);
                if ready == BUSY {
                    return fill_stateless(dest, source, shape);
                }
                self.state.store(BUSY, Relaxed);
                compiler_fence(SeqCst);
                ready
            }
        };
        self.fill_claimed(dest, ready, source, shape)
    }

    /// Goes on from step 3, with `ready` slots to begin with.
    ///
    /// If the source panics, the pool stays busy: the page may be without a key.
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
                // Stays busy: not asked again at each call.
                Err(Refusal::None) => return fill_stateless(dest, source, shape),
                Err(Refusal::NotAtHome) => {
                    let filled = fill_stateless(dest, source, shape);
                    self.state.store(ready, Relaxed);
                    return filled;
                }
            };
            let filled = fill_by(page, dest, &mut ready, source, shape);
            compiler_fence(SeqCst);
            self.state.store(ready, Relaxed);
            filled
        })
    }

    fn page_or_lend(&self) -> Result<&'static Page, Refusal> {
        if let Some(page) = self.page.get() {
            return Ok(page);
        }
        let page = PAGES.lend(self.borrower)?;
        // Makes its key now, so that a forked child need not write it.
        Mixer::new();
        self.page.set(Some(page));
        Ok(page)
    }

    /// Whether there is a page to keep ready bytes in.
    pub(crate) fn has_page(&self) -> bool {
        self.page.get().is_some()
    }

    /// Gives the page back; whatever is asked of the pool later, the source
    /// serves.
    pub(crate) fn retire(&mut self) {
        self.state.store(BUSY, Relaxed);
        if let Some(page) = self.page.take() {
            // SAFETY: borrowed mutably, so no call is under way, and the pool
            // has forgotten the page.
            unsafe { PAGES.take_back(page) };
        }
    }
}

/// Fills `dest` from the page that the caller has claimed, of which `ready` slots
/// are ready.
fn fill_by(
    page: &Page,
    dest: &mut [Block],
    ready: &mut usize,
    source: Source<'_>,
    shape: impl Fn(&mut [Block]),
) -> Result<(), Error> {
    // SAFETY: claimed, and lent to the caller's pool.
    let secret = unsafe { &mut *page.secret.get() };
    let mut patience = PATIENCE;
    'request: loop {
        let mut done = 0;
        while done < dest.len() {
            let was_wiped = page.seed(secret, source)?;
            if was_wiped && done != 0 {
                continue 'request;
            }
            let end = dest.len().min(done + SEED_LIFE);
            *ready = page.make(secret, *ready, &mut dest[done..end]);
            compiler_fence(SeqCst);
            if page.is_alive() {
                done = end;
            } else if page.is_wiped() {
                continue 'request;
            } else if patience == 0 {
                fill_stateless(&mut dest[done..], source, as_it_is)?;
                done = dest.len();
            } else {
                patience -= 1;
            }
        }
        shape(dest);
        compiler_fence(SeqCst);
        if !page.is_wiped() {
            return Ok(());
        }
    }
}

/// Fills `dest` from the source, and keeps nothing.
///
/// What the kernel gives is handed out with hardware numbers mixed in. What comes
/// from a descriptor or from the program's own source is only ever a key.
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
        if source.draw_output(dest.as_flattened_mut(), &mut seed)? == Served::Kernel {
            mix_into(dest, &mixer);
        } else {
            hedge::fold_into(&mut seed);
            let mut key = Key::default();
            drbg::fold(&mut key, &mut seed);
            // Each with a nonce of its own, as in a pool: so many are the same in
            // machines that are cloned meanwhile.
            for (blocks, count) in dest.chunks_mut(SEED_LIFE).zip(0..) {
                drbg::generate(&mut key, hedge::nonce(count), V4, blocks);
            }
            key.zeroize();
        }
        shape(dest);
        Ok(())
    })
}

/// Fills `dest` by the system call alone, or returns false.
///
/// For the first UUID of a forked child, which may need no other. There each page
/// of memory that is touched costs more than the call: the pool, the vDSO's state,
/// the libc.
fn fill_by_call(dest: &mut [Block], source: Source<'_>) -> bool {
    let mixer = Mixer::new();
    let is_filled = source.draw_by_call(dest.as_flattened_mut());
    if is_filled {
        mix_into(dest, &mixer);
    }
    is_filled
}

/// Makes UUIDs of the kernel's bytes.
fn mix_into(dest: &mut [Block], mixer: &Mixer) {
    for block in dest {
        mixer.mix_into(block);
        V4.give(block);
    }
}

/// The bytes of `uuids`, to be filled in place.
pub(crate) fn blocks_of(uuids: &mut [Uuid]) -> &mut [Block] {
    // SAFETY: `Uuid` is `repr(transparent)` over `uuid::Bytes`, which is
    // `Block`, as its documentation guarantees; any bytes are a valid `Uuid`.
    unsafe { &mut *(ptr::from_mut(uuids) as *mut [Block]) }
}
