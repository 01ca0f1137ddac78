//! How each kind of UUID is made. The calling thread is a maker, and so is each generator.

use uuid::Uuid;

use crate::clock::Reading;
use crate::clock::order::{self, Order};
use crate::engine::pool::{self, Miss, Pool};
use crate::error::{self, Error};
use crate::format::{Block, v7};
use crate::source::Source;

/// A pool, an order, a clock and a source, and how UUIDs are made of them.
///
/// The parts are lent to closures, because a thread-local variable can only be lent. On the fast
/// path the closures return no [`Error`], because it would be returned through memory.
pub(crate) trait Maker {
    fn with_pool<T>(&self, call: impl FnOnce(&Pool) -> T) -> T;

    fn with_order<T>(&self, call: impl FnOnce(&Order) -> T) -> T;

    fn now(&self) -> Result<Reading, Error>;

    fn source(&self) -> Source<'_>;

    #[inline]
    #[track_caller]
    fn make_v4(&self) -> Uuid {
        match self.with_pool(Pool::take) {
            Ok(bits) => Uuid::from_bytes(bits.to_ne_bytes()),
            Err(miss) => error::or_panic(self.make_after_miss(miss)),
        }
    }

    #[inline]
    fn try_make_v4(&self) -> Result<Uuid, Error> {
        match self.with_pool(Pool::take) {
            Ok(bits) => Ok(Uuid::from_bytes(bits.to_ne_bytes())),
            Err(miss) => self.make_after_miss(miss),
        }
    }

    #[cold]
    #[inline(never)]
    fn make_after_miss(&self, miss: Miss) -> Result<Uuid, Error> {
        self.with_pool(|pool| pool.take_after_miss(miss, self.source()))
            .map(Uuid::from_bytes)
    }

    #[inline]
    fn try_make_all_v4(&self, dest: &mut [Uuid]) -> Result<(), Error> {
        match self.with_pool(|pool| pool.take_all(pool::blocks_of(dest), pool::as_it_is)) {
            Ok(()) => Ok(()),
            Err(miss) => self.fill_after_miss(dest, miss),
        }
    }

    #[cold]
    #[inline(never)]
    fn fill_after_miss(&self, dest: &mut [Uuid], miss: Miss) -> Result<(), Error> {
        pool::fill(dest, |blocks| {
            self.with_pool(|pool| pool.fill_after_miss(blocks, miss, self.source(), pool::as_it_is))
        })
    }

    // Otherwise the UUID would be returned through memory, which takes 4 ns of 40 on Zen 3.
    #[inline(always)]
    #[track_caller]
    fn make_v7(&self) -> Uuid {
        let word = error::or_panic(self.next_word(1));
        v7::uuid(word, self.make_v4())
    }

    #[inline]
    fn try_make_v7(&self) -> Result<Uuid, Error> {
        let word = self.next_word(1)?;
        // The random bits are made last, so that parent and child have different bits after a
        // fork before them.
        Ok(v7::uuid(word, self.try_make_v4()?))
    }

    fn try_make_all_v7(&self, dest: &mut [Uuid]) -> Result<(), Error> {
        pool::fill(dest, |blocks| {
            let first = self.next_word(blocks.len())?;
            let shape = |blocks: &mut [Block]| v7::shape(blocks, first);
            self.with_pool(|pool| pool.fill(blocks, self.source(), shape))
        })
    }

    #[inline(always)]
    fn next_word(&self, len: usize) -> Result<u64, Error> {
        let count = order::words_for(len);
        order::word(self.now()?, |now| {
            self.with_order(|order| order.next(now, count))
        })
    }
}
