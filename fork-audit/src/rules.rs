//! Lists the hazards of each dependency. The repository's `cargo run --example daemon` and
//! `tests/it` demonstrate most of them.

/// A dependency that does not survive a fork, closed descriptors or a sandbox.
pub(crate) struct Rule {
    /// The name of the rule in JSON and SARIF.
    pub(crate) id: &'static str,
    pub(crate) package: &'static str,
    pub(crate) versions: &'static str,
    /// The feature that must be on, or an empty string if none must be.
    pub(crate) feature: &'static str,
    /// The features with which another rule applies in place of this one.
    pub(crate) unless: &'static [&'static str],
    /// Whether a fork alone makes UUIDs repeat or a child hang.
    pub(crate) severe: bool,
    /// The functions that draw, each as the last names of its path.
    pub(crate) calls: &'static [&'static [&'static str]],
    /// What happens at a fork without exec.
    pub(crate) at_fork: &'static str,
    /// What happens after a daemon has closed all descriptors.
    pub(crate) closed: &'static str,
    /// What happens if getrandom(2) fails with EPERM or ENOSYS.
    pub(crate) refused: &'static str,
    /// What to do.
    pub(crate) remedy: &'static str,
}

const FAST_RNG: Rule = Rule {
    id: "uuid-fast-rng",
    package: "uuid",
    versions: ">=1.13",
    feature: "fast-rng",
    unless: &[],
    severe: true,
    calls: &[
        &["Uuid", "new_v4"],
        &["Uuid", "new_v7"],
        &["Uuid", "now_v7"],
        &["Uuid", "now_v6"],
        &["Uuid", "now_v1"],
        &["NonNilUuid", "new_v4"],
        &["NonNilUuid", "new_v7"],
        &["NonNilUuid", "now_v7"],
        &["NonNilUuid", "now_v6"],
        &["NonNilUuid", "now_v1"],
        &["ContextV1", "new_random"],
        &["Context", "new_random"],
    ],
    at_fork: "a child repeats its parent and its siblings until the thread's next seed: \
              up to 4096 UUIDs of version 4",
    closed: SEED,
    refused: SEED,
    remedy: "call fork_safe_uuid::new_v4(), now_v7(); switch the feature off, and let \
             `cargo deny check bans` keep it off",
};

const RAND: Rule = Rule {
    id: "rand-0.9",
    package: "rand",
    versions: ">=0.9",
    feature: "thread_rng",
    unless: &[],
    severe: true,
    calls: &[
        &["rng"],
        &["thread_rng"],
        &["random"],
        &["random_iter"],
        &["random_range"],
        &["random_bool"],
        &["random_ratio"],
        &["fill"],
        &["ThreadRng", "default"],
    ],
    at_fork: "in a child, rand::rng() and random() repeat up to 64 KiB of what its parent and \
              siblings draw",
    closed: SEED,
    refused: SEED,
    remedy: "call rand::rng().reseed() first in each child; for UUIDs call fork_safe_uuid",
};

const GETRANDOM: Rule = Rule {
    id: "getrandom-0.3",
    package: "getrandom",
    versions: ">=0.3",
    feature: "",
    unless: &[],
    severe: false,
    calls: &[
        &["getrandom"],
        &["getrandom_uninit"],
        &["fill"],
        &["fill_uninit"],
        &["u32"],
        &["u64"],
        // The methods of this type draw.
        &["SysRng"],
    ],
    at_fork: "nothing: it keeps no random state",
    closed: "in a static glibc program it reads a socket, pipe or file that got the number of \
             its /dev/urandom; in a dynamic program nothing",
    refused: "the same, in every program; an error if the refusal began after the first call",
    remedy: "RUSTFLAGS='--cfg getrandom_backend=\"linux_raw\"': it opens no descriptor, and a \
             refusal is an error; for UUIDs call fork_safe_uuid",
};

const SEED: &str = "as getrandom, which seeds it; equal seeds make equal UUIDs";
const AS_GETRANDOM: &str = "as getrandom";

pub(crate) const RULES: [Rule; 10] = [
    FAST_RNG,
    Rule {
        id: "uuid-rng-rand",
        feature: "rng-rand",
        ..FAST_RNG
    },
    Rule {
        id: "uuid-fast-rng-rand-0.8",
        versions: ">=1, <1.13",
        at_fork: "a child repeats what rand 0.8 has buffered: up to 15 UUIDs of version 4",
        ..FAST_RNG
    },
    Rule {
        id: "uuid-v7-lock",
        versions: ">=1.11",
        feature: "v7",
        calls: &[&["Uuid", "now_v7"], &["NonNilUuid", "now_v7"]],
        at_fork: "a child hangs if another thread was in now_v7(): it has one lock for all threads",
        closed: AS_GETRANDOM,
        refused: AS_GETRANDOM,
        remedy: "call fork_safe_uuid::now_v7()",
        ..FAST_RNG
    },
    Rule {
        id: "uuid-v4",
        versions: ">=1",
        feature: "v4",
        unless: &["fast-rng", "rng-rand"],
        severe: false,
        calls: &[&["Uuid", "new_v4"], &["NonNilUuid", "new_v4"]],
        at_fork: "nothing, as long as no dependency switches fast-rng or rng-rand on",
        closed: AS_GETRANDOM,
        refused: "as getrandom; new_v4() panics where getrandom returns an error",
        remedy: "call fork_safe_uuid::new_v4(), or do what the report says of getrandom",
        ..FAST_RNG
    },
    Rule {
        id: "uuid7",
        package: "uuid7",
        versions: "*",
        feature: "",
        calls: &[&["uuid7"], &["uuid4"], &["new_v7"]],
        at_fork: "a child hangs if another thread was making a UUID: there is one lock for all \
                  threads; pid 1 in a new namespace repeats a parent that is pid 1",
        remedy: "call fork_safe_uuid::now_v7(), new_v4()",
        ..FAST_RNG
    },
    RAND,
    Rule {
        id: "rand-0.8",
        versions: ">=0.8, <0.9",
        feature: "std_rng",
        at_fork: "in a child, thread_rng() and random() repeat what is buffered: up to 256 bytes",
        remedy: "do not use it before the fork; for UUIDs call fork_safe_uuid",
        ..RAND
    },
    GETRANDOM,
    Rule {
        id: "getrandom-0.2",
        versions: "<0.3",
        closed: "nothing, if the system call answers",
        refused: "it reads a socket, pipe or file that got the number of its /dev/urandom",
        remedy: "upgrade the package that pulls it in, then do as for 0.3; for UUIDs call \
                 fork_safe_uuid",
        ..GETRANDOM
    },
];
