//! What the functions return on every system.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use fork_safe_uuid::source::{EntropySource, Kernel};
use fork_safe_uuid::{Error, ErrorKind, Generator, Uuid};

support::scenarios![
    every_length_is_filled_with_distinct_version_4,
    threads_make_distinct_uuids,
    reseeding_while_threads_generate_and_end_repeats_nothing,
    a_failing_source_is_an_error_and_the_next_call_tries_again,
    a_sources_error_prints_its_text_once_in_a_chain,
    a_failing_reseed_is_counted_and_the_key_stays_in_use,
    a_panicking_source_leaves_a_working_generator,
    a_generator_with_another_source_discards_what_is_ready,
    an_unbuffered_generator_draws_each_uuid_from_its_source,
    a_constant_source_gives_distinct_uuids_that_do_not_show_it,
    without_a_pool_uuids_do_not_show_a_constant_source,
    fast_rng_switched_on_elsewhere_changes_nothing,
    debug_shows_no_secret,
];

#[track_caller]
fn assert_distinct_v4(ids: &[Uuid]) {
    assert!(ids.iter().all(|id| id.get_version_num() == 4));
    assert!(
        ids.iter()
            .all(|id| id.get_variant() == uuid::Variant::RFC4122)
    );
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

/// A source that succeeds, fails or panics as a scenario tells it, and counts the requests.
#[derive(Clone, Default)]
struct Told {
    /// What the next requests do: 0 succeeds, 1 fails, and 2 panics.
    fails: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl EntropySource for Told {
    fn fill(&self, dest: &mut [u8]) -> Result<(), Error> {
        self.asked.fetch_add(1, Relaxed);
        match self.fails.load(Relaxed) {
            0 => Kernel.fill(dest),
            1 => Err(Error::custom("the dice are lost")),
            _ => panic!("the dice exploded"),
        }
    }
}

fn every_length_is_filled_with_distinct_version_4() {
    let mut all = Vec::new();
    let mut fill = |length| {
        let mut ids = vec![Uuid::nil(); length];
        fork_safe_uuid::fill_v4(&mut ids);
        all.extend(ids);
    };
    (0..200).for_each(&mut fill);
    // A segment of the keystream has 4096 UUIDs.
    [4095, 4096, 4097, 10_000].into_iter().for_each(&mut fill);
    for unbuffered in [Generator::unbuffered(), Generator::new()] {
        let mut ids = [Uuid::nil(); 100];
        unbuffered.fill_v4(&mut ids);
        all.extend(ids);
        all.extend((0..100).map(|_| unbuffered.new_v4()));
    }
    assert_distinct_v4(&all);
}

fn threads_make_distinct_uuids() {
    let threads: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(|| {
                (0..10_000)
                    .map(|_| fork_safe_uuid::new_v4())
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let ids = threads
        .into_iter()
        .flat_map(|thread| thread.join().expect("no panic"));
    assert_distinct_v4(&ids.collect::<Vec<_>>());
}

/// A page passes from a thread that ends to another one, while `reseed` writes to all pages.
/// Data races, which a race detector would report, are most likely here.
fn reseeding_while_threads_generate_and_end_repeats_nothing() {
    let make = || {
        let generator = Generator::new();
        let pair = || [fork_safe_uuid::new_v4(), generator.new_v4()];
        (0..500).flat_map(|_| pair()).collect::<Vec<_>>()
    };
    let ids = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..20)
                        .flat_map(|_| scope.spawn(make).join().expect("no panic"))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        while !makers.iter().all(|maker| maker.is_finished()) {
            fork_safe_uuid::reseed();
        }
        let ids = makers
            .into_iter()
            .flat_map(|maker| maker.join().expect("no panic"));
        ids.collect::<Vec<_>>()
    });
    assert_distinct_v4(&ids);
}

fn a_failing_source_is_an_error_and_the_next_call_tries_again() {
    let source = Told::default();
    let generator = Generator::new().with_source(source.clone());
    source.fails.store(1, Relaxed);
    let error = generator.try_new_v4().expect_err("no entropy");
    assert_eq!(error.kind(), ErrorKind::Custom);
    assert_eq!(error.to_string(), "no entropy source: the dice are lost");
    let mut ids = [Uuid::max(); 5];
    assert!(generator.try_fill_v4(&mut ids).is_err());
    assert_eq!(ids, [Uuid::nil(); 5]);
    let panic = catch_unwind(AssertUnwindSafe(|| generator.new_v4())).expect_err("a panic");
    assert_eq!(
        panic.downcast_ref::<String>().expect("a text"),
        &error.to_string()
    );
    source.fails.store(0, Relaxed);
    assert_distinct_v4(&(0..1000).map(|_| generator.new_v4()).collect::<Vec<_>>());
}

/// Error reporters print an error and then each of its sources.
fn a_sources_error_prints_its_text_once_in_a_chain() {
    let io = std::io::Error::from_raw_os_error(5);
    let text = io.to_string();
    for error in [
        Error::custom(io),
        Error::custom(std::io::Error::other(text.clone())),
    ] {
        let mut chain = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            chain += &format!(": {inner}");
            source = inner.source();
        }
        assert_eq!(chain, format!("no entropy source: {text}"));
    }
    let io = std::io::Error::from_raw_os_error(5);
    assert_eq!(Error::custom(io).raw_os_error(), Some(5));
}

fn a_failing_reseed_is_counted_and_the_key_stays_in_use() {
    let source = Told::default();
    let generator = Generator::new().with_source(source.clone());
    let mut ids = vec![generator.new_v4()];
    source.fails.store(1, Relaxed);
    ids.extend((0..50_000).map(|_| generator.new_v4()));
    assert_distinct_v4(&ids);
    let asked = source.asked.load(Relaxed);
    // A seed is drawn for each 64 KiB of the 50,000 UUIDs.
    assert!((10..20).contains(&asked), "{asked}");
    assert_eq!(
        fork_safe_uuid::status().missed_reseeds(),
        asked as u64 - 1,
        "the first one succeeded"
    );
    // After an explicit reseed, the old key must not be used again.
    fork_safe_uuid::reseed();
    assert!(generator.try_new_v4().is_err());
}

fn a_panicking_source_leaves_a_working_generator() {
    let source = Told::default();
    let generator = Generator::new().with_source(source.clone());
    source.fails.store(2, Relaxed);
    for _ in 0..3 {
        assert!(catch_unwind(AssertUnwindSafe(|| generator.new_v4())).is_err());
    }
    source.fails.store(0, Relaxed);
    assert_distinct_v4(&(0..1000).map(|_| generator.new_v4()).collect::<Vec<_>>());
}

fn a_generator_with_another_source_discards_what_is_ready() {
    let (first, second) = (Told::default(), Told::default());
    let asked = || [&first, &second].map(|source| source.asked.load(Relaxed));
    let mut generator = Generator::new().with_source(first.clone());
    let mut ids = vec![generator.new_v4(), generator.new_v4()];
    assert_eq!(asked(), [1, 0], "the second UUID was ready");
    generator = generator.with_source(second.clone());
    ids.extend([generator.new_v4(), generator.new_v4()]);
    assert_eq!(asked(), [1, 1]);
    assert_distinct_v4(&ids);
}

fn an_unbuffered_generator_draws_each_uuid_from_its_source() {
    let source = Told::default();
    let generator = Generator::unbuffered().with_source(source.clone());
    let ids: Vec<_> = (0..3).map(|_| generator.new_v4()).collect();
    assert_eq!(source.asked.load(Relaxed), 3);
    assert_distinct_v4(&ids);
}

fn a_constant_source_gives_distinct_uuids_that_do_not_show_it() {
    struct Constant;
    impl EntropySource for Constant {
        fn fill(&self, dest: &mut [u8]) -> Result<(), Error> {
            dest.fill(b'x');
            Ok(())
        }
    }
    // These UUIDs are not secure, but the hedge makes generators differ even so.
    let ids: Vec<_> = (0..100)
        .flat_map(|_| {
            let generator = Generator::new().with_source(Constant);
            [generator.new_v4(), generator.new_v4()]
        })
        .collect();
    assert_distinct_v4(&ids);
    assert!(
        !ids.iter()
            .any(|id| id.as_bytes().windows(3).any(|part| part == b"xxx"))
    );
}

fn without_a_pool_uuids_do_not_show_a_constant_source() {
    /// The panic leaves the pool claimed, so that each later call asks the source.
    struct PanicsOnce(Told);
    impl EntropySource for PanicsOnce {
        fn fill(&self, dest: &mut [u8]) -> Result<(), Error> {
            assert!(self.0.asked.fetch_add(1, Relaxed) > 0, "the first time");
            dest.fill(b'x');
            Ok(())
        }
    }
    let told = Told::default();
    let generator = Generator::new().with_source(PanicsOnce(told.clone()));
    assert!(catch_unwind(AssertUnwindSafe(|| generator.new_v4())).is_err());
    let mut ids: Vec<_> = (0..100).map(|_| generator.new_v4()).collect();
    let mut many = [Uuid::nil(); 100];
    generator.fill_v4(&mut many);
    ids.extend(many);
    assert_eq!(told.asked.load(Relaxed), 102, "a request for each call");
    assert_distinct_v4(&ids);
    let shows = |id: &Uuid| id.as_bytes().windows(3).any(|part| part == b"xxx");
    assert!(!ids.iter().any(shows));
}

fn fast_rng_switched_on_elsewhere_changes_nothing() {
    // This build enables `fast-rng`, by which `uuid` draws from the generator of `rand`. The
    // next number of that generator stays the same, so that this crate drew nothing from it.
    assert_distinct_v4(
        &(0..1000)
            .map(|_| fork_safe_uuid::new_v4())
            .collect::<Vec<_>>(),
    );
    #[cfg(target_os = "linux")]
    {
        use support::process::{fork, in_copy};
        use support::uuids::make;
        let _ = rand::random::<u128>();
        let child = in_copy(fork, || {
            make(1000);
            vec![Uuid::from_u128(rand::random())]
        });
        assert_eq!(child[0].as_u128(), rand::random::<u128>());
    }
}

fn debug_shows_no_secret() {
    let generator = Generator::new();
    let _ = generator.new_v4();
    assert_eq!(format!("{generator:?}"), "Generator { .. }");
}
