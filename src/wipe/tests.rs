use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use super::*;

impl Lent for AtomicU64 {
    unsafe fn clear(&self) {
        self.store(0, Relaxed);
    }
}

type Slab = WipedSlab<AtomicU64, 8>;

const THREADS: usize = 150;

/// Lends a value to each of 150 threads at once, and returns the values' addresses.
fn lend_to_threads(slab: &Slab) -> BTreeSet<usize> {
    let all_have = Barrier::new(THREADS);
    let borrow = || {
        let value = slab.lend(Borrower::Thread).ok().expect("a value");
        assert_eq!(value.swap(1, Relaxed), 0, "not cleared");
        all_have.wait();
        (
            ptr::from_ref(value).addr(),
            Caller::new().expect("a thread"),
        )
    };
    let all = thread::scope(|scope| {
        let threads = [(); THREADS].map(|()| scope.spawn(borrow));
        threads.map(|thread| thread.join().expect("no panic"))
    });
    // The kernel may still know a thread when `join` has returned.
    for (_, borrower) in &all {
        while !sys::is_gone(borrower.process, borrower.thread) {
            thread::yield_now();
        }
    }
    all.map(|(value, _)| value).into()
}

#[test]
fn a_threads_value_is_lent_again_only_after_the_thread_has_ended() {
    let slab = Slab::new();
    if slab.lend(Borrower::Object).is_err() {
        return; // There is no wiped memory here.
    }
    let mut all = BTreeSet::new();
    for _ in 0..20 {
        let values = lend_to_threads(&slab);
        assert_eq!(values.len(), THREADS);
        all.extend(values);
    }
    // There were 3000 threads, 150 at once.
    assert!(all.len() <= 3 * GROUP, "{}", all.len());
}

#[test]
fn an_objects_value_is_lent_again_only_after_it_was_taken_back() {
    let slab = Slab::new();
    let Ok(first) = slab.lend(Borrower::Object) else {
        return;
    };
    let others: Vec<_> = (1..8 * GROUP)
        .map(|_| slab.lend(Borrower::Object).ok().expect("a value"))
        .collect();
    assert!(!others.iter().any(|other| ptr::eq(*other, first)));
    assert!(slab.lend(Borrower::Object).err() == Some(Refusal::NoMemory));
    first.store(1, Relaxed);
    // SAFETY: the borrower does not use it afterwards.
    unsafe { slab.take_back(first) };
    let again = slab.lend(Borrower::Object).ok().expect("a value");
    assert!(ptr::eq(again, first));
    assert_eq!(again.load(Relaxed), 0);
}
