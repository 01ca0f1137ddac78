//! The fast path: requests for which enough slots are ready.

use core::ptr;
use core::sync::atomic::{
    Ordering::{Relaxed, SeqCst},
    compiler_fence,
};

use uuid::Uuid;

use super::page::{self, Page, SLOTS};
use super::{BUSY, Pool};
use crate::error::Error;
use crate::format::Block;

/// The reason why the fast path could not serve a request.
#[derive(Clone, Copy)]
pub(crate) enum Miss {
    /// The pool is [`BUSY`] (step 1) or has too few slots (step 3). Nothing is claimed.
    Unclaimed,
    /// A slot was zero, or the page is not alive (step 5). The page is claimed, and the caller
    /// refills it.
    Claimed,
}

/// Leaves the blocks in the shape of version 4.
pub(crate) fn as_it_is(_: &mut [Block]) {}

impl Pool {
    /// Claims `count` ready slots, and returns the index of the first one.
    #[inline(always)]
    fn claim(&self, count: usize) -> Result<(usize, &'static Page), Miss> {
        // [P2 claim-survives] `state` is not in the page, where a fork would end the claim: a
        // handler in the child could refill the page, and the interrupted call would find it
        // alive.
        //
        // If too few slots are ready or `state` is BUSY, `left` is greater than any number of
        // slots.
        let left = self.state.load(Relaxed).wrapping_sub(count);
        if left > SLOTS - count {
            return Err(Miss::Unclaimed);
        }
        // [P3 claim-slot] Before the slot is copied, because a handler would take the same one.
        self.state.store(BUSY, Relaxed);
        compiler_fence(SeqCst);
        // SAFETY: a slot is ready only if the pool has a page.
        Ok((left, unsafe { self.page.get().unwrap_unchecked() }))
    }

    /// Ends the claim with `left` slots, if the page is still alive.
    #[inline(always)]
    fn release(&self, page: &Page, left: usize) -> Result<(), Miss> {
        // [P2 alive-after-copy] If a handler forked before this, both processes have the copy.
        // Only in the child, the page says so.
        if !page.is_alive() {
            return Err(Miss::Claimed);
        }
        compiler_fence(SeqCst);
        // [P2 release-last] After `alive` is read: if the claim had ended before, a handler
        // could fork and refill the page in the child, and this call would find it alive.
        self.state.store(left, Relaxed);
        Ok(())
    }

    /// Returns a UUID if one is ready.
    ///
    /// The result is a u128, which two registers hold; an array inside a `Result` would go
    /// through memory.
    #[inline]
    pub(crate) fn take(&self) -> Result<u128, Miss> {
        let (last, page) = self.claim(1)?;
        // SAFETY: the page is lent to this pool, which is claimed.
        let slot = unsafe { &mut (*page.secret.get()).slots[last] };
        let bits = u128::from_ne_bytes(*slot);
        // [P3 zero-slot] If a handler came just before the claim, it took UUIDs from the pool,
        // and `last` is out of date. But a slot is zeroed when it is handed out, and no UUID is
        // zero, so a slot that is not zero was never handed out.
        //
        // A zero is not written again, because the kernel would copy the page for a forked
        // child.
        if bits == 0 {
            return Err(Miss::Claimed);
        }
        *slot = Block::default();
        compiler_fence(SeqCst);
        self.release(page, last)?;
        Ok(bits)
    }

    /// Fills `dest` if enough slots are ready.
    #[inline]
    pub(crate) fn take_all(
        &self,
        dest: &mut [Block],
        shape: impl Fn(&mut [Block]),
    ) -> Result<(), Miss> {
        if dest.is_empty() || dest.len() > SLOTS {
            return Err(Miss::Unclaimed);
        }
        let (left, page) = self.claim(dest.len())?;
        // SAFETY: the page is lent to this pool, which is claimed.
        let slots = unsafe { &mut (&mut (*page.secret.get()).slots)[left..] };
        for (to, slot) in dest.iter_mut().zip(slots) {
            // [P3 zero-in-request] A slot that is zero was handed out, as `take` explains.
            if !page::move_out(slot, to) {
                return Err(Miss::Claimed);
            }
        }
        shape(dest);
        compiler_fence(SeqCst);
        self.release(page, left)
    }
}

pub(crate) fn blocks_of(uuids: &mut [Uuid]) -> &mut [Block] {
    // SAFETY: `Uuid` is `repr(transparent)` over `uuid::Bytes`, which is
    // `Block`, as its documentation guarantees; any bytes are a valid `Uuid`.
    unsafe { &mut *(ptr::from_mut(uuids) as *mut [Block]) }
}

/// Fills `dest` by calling `fill`, and overwrites all of it with Nil if that fails.
pub(crate) fn fill(
    dest: &mut [Uuid],
    fill: impl FnOnce(&mut [Block]) -> Result<(), Error>,
) -> Result<(), Error> {
    if dest.is_empty() {
        return Ok(());
    }
    let filled = fill(blocks_of(dest));
    if filled.is_err() {
        // What `fill` left may be raw bytes of a source.
        dest.fill(Uuid::nil());
    }
    filled
}
