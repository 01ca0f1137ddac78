//! Single, bulk, reseed, a failing source and nested calls, in any order: all
//! UUIDs are distinct, of version 4, and an error leaves Nil.
#![no_main]

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io;

use arbitrary::Arbitrary;
use fork_safe_uuid::source::{EntropySource, Kernel};
use fork_safe_uuid::{Error, Generator, Uuid};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Operation {
    One,
    Many(u16),
    Reseed,
    Fail(bool),
    Unbuffered,
    OfThread(u8),
    Anew,
}

thread_local! {
    static FAILS: Cell<bool> = const { Cell::new(false) };
    static NESTED: Cell<Option<Uuid>> = const { Cell::new(None) };
}

struct Source;

impl EntropySource for Source {
    fn fill(&self, dest: &mut [u8]) -> Result<(), Error> {
        // Inside a refill, as a signal handler would be.
        NESTED.set(Some(fork_safe_uuid::new_v4()));
        if FAILS.get() {
            return Err(io::Error::other("told to fail").into());
        }
        Kernel.fill(dest)
    }
}

fuzz_target!(|operations: Vec<Operation>| {
    let mut seen = BTreeSet::new();
    let mut see = |ids: &[Uuid]| {
        for id in ids {
            assert_eq!(id.get_version_num(), 4);
            assert!(seen.insert(*id), "{id} twice");
        }
    };
    let mut generator = Generator::with_source(Source);
    FAILS.set(false);
    for operation in operations {
        match operation {
            Operation::One => match generator.try_new_v4() {
                Ok(id) => see(&[id]),
                Err(_) => assert!(FAILS.get()),
            },
            Operation::Many(count) => {
                let mut ids = vec![Uuid::max(); usize::from(count) % 5000];
                match generator.try_fill_v4(&mut ids) {
                    Ok(()) => see(&ids),
                    Err(_) => assert!(FAILS.get() && ids.iter().all(Uuid::is_nil)),
                }
            }
            Operation::Reseed => fork_safe_uuid::reseed(),
            Operation::Fail(fails) => FAILS.set(fails),
            Operation::Unbuffered => see(&[Generator::unbuffered().new_v4()]),
            Operation::OfThread(count) => {
                let mut ids = vec![Uuid::nil(); usize::from(count)];
                fork_safe_uuid::fill_v4(&mut ids);
                see(&ids);
            }
            Operation::Anew => generator = Generator::with_source(Source),
        }
        if let Some(id) = NESTED.take() {
            see(&[id]);
        }
    }
});
