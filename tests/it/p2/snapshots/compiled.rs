//! The search of `memory to-come` in programs that were compiled in other ways, with each cipher.
//!
//! What a compiler leaves on the stack depends on its options and on the processor.

use std::process::Command;

use support::harness::takes_all_turns;

use crate::guest::rows::Rows;
use crate::guest::{self, Change, RELEASE, Way};

const fn of_level(name: &'static str, profile: &'static [&'static str]) -> Way<'static> {
    Way {
        name,
        profile,
        flags: &[],
    }
}

/// Those in which copies were left while the compiler had the cipher's loop in its hands.
const THREE: [Way<'static>; 3] = [
    RELEASE,
    Way {
        name: "opt-level 3 without unrolling",
        profile: &[],
        flags: &["-C llvm-args=-unroll-threshold=0"],
    },
    of_level("opt-level s, fat LTO", SMALL),
];

const OTHERS: [Way<'static>; 6] = [
    of_level("opt-level 0", &["opt-level=0"]),
    of_level("opt-level 1", &["opt-level=1"]),
    of_level("opt-level 2", &["opt-level=2"]),
    of_level("opt-level s", &["opt-level='s'"]),
    of_level("opt-level z", &["opt-level='z'"]),
    Way {
        name: "opt-level s, fat LTO, target-cpu=native",
        profile: SMALL,
        flags: &["-C target-cpu=native"],
    },
];

const SMALL: &[&str] = &["opt-level='s'", "lto='fat'", "codegen-units=1"];

/// The ciphers by their names in `src`, and the values of `CIPHER` that choose them.
const CIPHERS: [(&str, &str); 4] = [
    ("VAES-512", "any"),
    ("VAES-256", "vaes256"),
    ("AES-NI", "aes"),
    ("ChaCha8", "chacha"),
];

/// Lets a program choose the cipher when it runs, so that each way is compiled once, and print
/// which one it uses.
const BY_ENVIRONMENT: [Change; 3] = [
    (
        "engine/drbg.rs",
        "cfg!(fork_safe_uuid_backend = ",
        "is_chosen(",
    ),
    (
        "engine/drbg.rs",
        "#[cold]\nfn find()",
        "fn is_chosen(name: &str) -> bool {
            std::env::var_os(\"CIPHER\").is_some_and(|chosen| chosen == name)
         }

         #[cold]
         fn find()",
    ),
    (
        "engine/drbg.rs",
        "    place.unwrap_or(AES.len()) + 1",
        "   let place = place.unwrap_or(AES.len());
            println!(\"cipher={:?}\", AES.get(place).unwrap_or(&CHACHA).name);
            place + 1",
    ),
];

fn search(ways: &[Way]) {
    for way in ways {
        let [memory] = guest::build_changed_in(way, ["memory"], &BY_ENVIRONMENT);
        for (cipher, choice) in CIPHERS {
            let output = guest::run_by(Command::new(&memory).arg("to-come").env("CIPHER", choice));
            let text = guest::text(&output);
            println!("{}:\n{text}", way.name);
            let rows = Rows::read(&text);
            if rows.values("cipher") != [cipher] {
                println!("NOT TRIED: {cipher}, which this processor lacks");
                continue;
            }
            assert!(rows.count("parents_in_parent") > 0, "what is there");
            // ChaCha8 is code of another crate. Its remains on the stack are cleared to a depth
            // that was measured, and those in registers are left.
            if cipher != "ChaCha8" {
                assert!(output.status.success(), "{}:\n{text}", way.name);
            } else if way.name == RELEASE.name {
                assert_eq!(rows.count("used_keys") + rows.count("parents_in_child"), 0);
            }
        }
    }
}

pub fn compiled_in_three_ways_the_same_holds_for_each_cipher() {
    search(if takes_all_turns() {
        &THREE
    } else {
        &THREE[..1]
    });
}

pub fn compiled_in_nine_ways_the_same_holds_for_each_cipher() {
    search(&THREE);
    search(&OTHERS);
}
