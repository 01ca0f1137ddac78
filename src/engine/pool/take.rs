//! Requests that find enough slots ready.

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

/// Why nothing was ready.
#[derive(Clone, Copy)]
pub(crate) enum Miss {
    /// Step 1 or 3: the pool is [`BUSY`] or has too few slots. Nothing is claimed.
    Unclaimed,
    /// Step 5: the page is claimed, and the caller refills it.
    Claimed,
}

/// Leaves the blocks in the shape of version 4.
pub(crate) fn as_it_is(_: &mut [Block]) {}

impl Pool {
    /// Claims `count` ready slots, which are those from the returned number on.
    #[inline(always)]
    fn claim(&self, count: usize) -> Result<(usize, &'static Page), Miss> {
        // [P2 claim-survives] `state` is not in the page, where a fork would end the claim: a
        // handler in the child could refill the page, and the interrupted call would find it
        // alive.
        //
        // `left` is greater than any count if too few are ready or `state` is BUSY.
        let left = self.state.load(Relaxed).wrapping_sub(count);
        if left > SLOTS - count {
            return Err(Miss::Unclaimed);
        }
        // [P3 claim-slot] Before the slot is copied: a handler would take the same one.
        self.state.store(BUSY, Relaxed);
        compiler_fence(SeqCst);
        // SAFETY: a pool without a page never has a slot ready.
        Ok((left, unsafe { self.page.get().unwrap_unchecked() }))
    }

    /// Ends the claim with `left` slots, if the page is still alive.
    #[inline(always)]
    fn release(&self, page: &Page, left: usize) -> Result<(), Miss> {
        // [P2 alive-after-copy] A handler that forks before this leaves both processes
        // with the copy. Only the child's page says that it is another process's.
        if !page.is_alive() {
            return Err(Miss::Claimed);
        }
        compiler_fence(SeqCst);
        // [P2 release-last] If the claim ended before `alive` is asked, a handler that forks
        // could refill the page in the child, and this call would find it alive.
        self.state.store(left, Relaxed);
        Ok(())
    }

    /// Returns a UUID if one is ready.
    ///
    /// It is a number, which two registers hold; an array inside a `Result` goes through
    /// memory.
    #[inline]
    pub(crate) fn take(&self) -> Result<u128, Miss> {
        let (last, page) = self.claim(1)?;
        // SAFETY: claimed, and lent to this pool.
        let slot = unsafe { &mut (*page.secret.get()).slots[last] };
        let bits = u128::from_ne_bytes(*slot);
        // [P3 zero-slot] A handler that came before the claim made its UUIDs undisturbed,
        // so `last` may be out of date. But a slot is zeroed as it is handed out, and no
        // UUID is zero: a slot that is not zero was never handed out.
        //
        // A zero is not written again: the kernel would copy the page for a forked child.
        if bits == 0 {
            return Err(Miss::Claimed);
        }
        *slot = Block::default();
        compiler_fence(SeqCst);
        self.release(page, last)?;
        Ok(bits)
    }

    /// Fills `dest` if as many are ready.
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
        // SAFETY: claimed, and lent to this pool.
        let slots = unsafe { &mut (&mut (*page.secret.get()).slots)[left..] };
        for (to, slot) in dest.iter_mut().zip(slots) {
            // [P3 zero-in-request] A slot that is zero was handed out, as in `take`.
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

/// Overwrites all of `dest` by `fill`, or with Nil where that fails.
pub(crate) fn fill(
    dest: &mut [Uuid],
    fill: impl FnOnce(&mut [Block]) -> Result<(), Error>,
) -> Result<(), Error> {
    if dest.is_empty() {
        return Ok(());
    }
    let filled = fill(blocks_of(dest));
    if filled.is_err() {
        // Half a request is none, and may be raw bytes of a source.
        dest.fill(Uuid::nil());
    }
    filled
}
