//! The search of `memory to-come` in programs that were compiled in other ways, with each cipher.
//!
//! What a compiler leaves on the stack depends on its options and on the processor.

use std::process::Command;

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

/// The ciphers by their names in `src`, the feature by which a processor has each, and the name
/// by which a build can choose it.
fn ciphers() -> [(&'static str, bool, &'static str); 4] {
    #[cfg(target_arch = "x86_64")]
    let has = [
        is_x86_feature_detected!("vaes") && is_x86_feature_detected!("avx512f"),
        is_x86_feature_detected!("vaes"),
        is_x86_feature_detected!("aes"),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let has = [false; 3];
    [
        ("VAES-512", has[0], "any"),
        ("VAES-256", has[1], "vaes256"),
        ("AES-NI", has[2], "aes"),
        ("ChaCha8", true, "chacha"),
    ]
}

/// Lets a program choose the cipher when it runs, so that each way is compiled once.
const BY_ENVIRONMENT: [Change; 2] = [
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
];

fn search(ways: &[Way]) {
    for way in ways {
        let [memory] = guest::build_changed_in(way, ["memory"], &BY_ENVIRONMENT);
        for (cipher, is_there, choice) in ciphers() {
            if !is_there {
                println!("NOT TRIED: {cipher}, which this processor lacks");
                continue;
            }
            let output = Command::new(&memory)
                .arg("to-come")
                .env("CIPHER", choice)
                .output()
                .expect("a program");
            let text = guest::text(&output);
            println!("{}, {cipher}:\n{text}", way.name);
            let rows = Rows::read(&text);
            assert!(rows.count("parents_in_parent") > 0, "what is there");
            // ChaCha8 is code of another crate. Its remains on the stack are cleared to a depth
            // that was measured, and those in registers are left.
            if cipher != "ChaCha8" {
                assert!(output.status.success(), "{}, {cipher}:\n{text}", way.name);
            } else if way.name == RELEASE.name {
                assert_eq!(rows.count("used_keys") + rows.count("parents_in_child"), 0);
            }
        }
    }
}

pub fn compiled_in_three_ways_the_same_holds_for_each_cipher() {
    search(&THREE);
}

pub fn compiled_in_nine_ways_the_same_holds_for_each_cipher() {
    search(&THREE);
    search(&OTHERS);
}
