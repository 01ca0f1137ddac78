//! A daemon closes all descriptors, and other files take their numbers.

use std::os::fd::RawFd;

use fork_safe_uuid::Generator;
use support::decoy::{Decoy, KINDS, Kind, shows_decoy};
use support::descriptors::{close_all, device_number, is_closed};
use support::harness::step;
use support::process::{fork, in_copy};
use support::sandbox::refuse_getrandom;
use support::uuids::{assert_all_good, make};

/// The numbers that a decoy takes after all descriptors were closed. The crate's is among
/// them.
const TAKEN: std::ops::Range<RawFd> = 0..40;

/// Calls `before`, closes all descriptors as a daemon does, and puts a decoy at each low
/// number.
fn daemonize(kind: Kind, before: impl FnOnce()) -> Decoy {
    refuse_getrandom();
    before();
    let number = device_number().expect("a descriptor of the device");
    assert!(TAKEN.contains(&number));
    close_all();
    let decoy = Decoy::new(kind);
    // The decoy itself has some of the lowest numbers.
    for number in TAKEN.filter(|&number| is_closed(number)) {
        decoy.take(number);
    }
    assert!(decoy.stands_at(number), "{kind:?} did not take {number}");
    decoy
}

pub fn closed_and_retaken_nothing_is_consumed_emitted_or_closed() {
    for kind in KINDS {
        step(format_args!("{kind:?} takes the numbers"));
        in_copy(fork, || {
            let mut ids = vec![];
            let decoy = daemonize(kind, || {
                ids = make(1000);
                assert!(fork_safe_uuid::status().device_is_open());
            });
            assert!(!fork_safe_uuid::status().device_is_open());
            let standing: Vec<_> = TAKEN.filter(|&number| decoy.stands_at(number)).collect();
            assert!(standing.len() > 30);
            ids.extend(make(50_000));
            let unbuffered = Generator::unbuffered();
            ids.extend((0..1000).map(|_| unbuffered.new_v4()));
            assert!(device_number().is_some_and(|number| !TAKEN.contains(&number)));
            assert!(
                !ids.iter().any(|id| shows_decoy(id.as_bytes())),
                "a UUID has bytes of {kind:?}"
            );
            for number in standing {
                assert!(decoy.stands_at(number), "{kind:?} at {number} was closed");
            }
            assert!(decoy.is_untouched(), "{kind:?} was read");
            assert_all_good(&ids);
            vec![]
        });
    }
}

/// Returns whether the `getrandom` crate opens the device where getrandom(2) is refused. On
/// riscv64 it returns an error instead, because each kernel there has the call.
pub fn getrandom_opens_the_device() -> bool {
    !cfg!(target_arch = "riscv64")
}

/// The control: the `getrandom` crate keeps the number of its descriptor in a static.
pub fn closed_and_retaken_getrandom_reads_foreign_bytes() {
    for kind in KINDS {
        in_copy(fork, || {
            let mut bytes = [0; 16];
            let decoy = daemonize(kind, || getrandom::fill(&mut bytes).expect("the device"));
            let result = getrandom::fill(&mut bytes);
            match kind {
                // It reads eight bytes, which are no text, and then fails.
                Kind::Event => assert!(!decoy.is_untouched(), "getrandom was mended?"),
                _ => {
                    result.expect("bytes");
                    assert!(shows_decoy(&bytes), "{kind:?}: getrandom was mended?");
                    assert!(!decoy.is_untouched());
                }
            }
            vec![]
        });
    }
}
