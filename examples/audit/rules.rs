//! What was seen to happen: `cargo run --example daemon` and `tests/it` show
//! most of it.

pub(crate) struct Rule {
    pub(crate) package: &'static str,
    pub(crate) versions: &'static str,
    /// Must be on, if not empty.
    pub(crate) feature: &'static str,
    /// What the calls look like in a source.
    pub(crate) calls: &'static [&'static str],
    pub(crate) at_fork: &'static str,
    /// After a daemon closed all descriptors, its own or not.
    pub(crate) closed: &'static str,
    /// getrandom(2) answered with EPERM or ENOSYS.
    pub(crate) refused: &'static str,
    pub(crate) remedy: &'static str,
}

const FAST_RNG: Rule = Rule {
    package: "uuid",
    versions: ">=1.13",
    feature: "fast-rng",
    calls: &[
        "Uuid::new_v4",
        "Uuid::now_v7",
        "Uuid::now_v6",
        "Uuid::now_v1",
    ],
    at_fork: "a child repeats its parent and its siblings until the thread's next seed: \
              up to 4096 UUIDs of version 4",
    closed: SEED,
    refused: SEED,
    remedy: "call fork_safe_uuid::new_v4(), now_v7(); have the feature switched off, and keep \
             it off (examples/switch/deny.toml)",
};

const RAND: Rule = Rule {
    package: "rand",
    versions: ">=0.9",
    feature: "thread_rng",
    calls: &["rand::rng()", "thread_rng()", "rand::random", "random::<"],
    at_fork: "rand::rng() and random() of a child repeat its parent's and its siblings', for up \
              to 64 KiB",
    closed: SEED,
    refused: SEED,
    remedy: "rand::rng().reseed() first of all in each child; for UUIDs fork_safe_uuid",
};

const GETRANDOM: Rule = Rule {
    package: "getrandom",
    versions: ">=0.3",
    feature: "",
    calls: &[],
    at_fork: "nothing: it keeps no random state",
    closed: "in a static glibc program a socket, pipe or file that got the number of its \
             /dev/urandom is read instead; in a dynamic one nothing",
    refused: "the same, in every program; an error if the refusal began after the first call",
    remedy: "RUSTFLAGS='--cfg getrandom_backend=\"linux_raw\"': no descriptor, a refusal is an \
             error; examples/getrandom-backend: a proven descriptor; for UUIDs fork_safe_uuid",
};

const SEED: &str = "as getrandom, which seeds it; equal seeds make equal UUIDs";
const AS_GETRANDOM: &str = "as getrandom";

pub(crate) const RULES: [Rule; 9] = [
    FAST_RNG,
    Rule {
        feature: "rng-rand",
        ..FAST_RNG
    },
    Rule {
        versions: ">=1, <1.13",
        at_fork: "a child repeats what rand 0.8 has buffered: up to 15 UUIDs of version 4",
        ..FAST_RNG
    },
    Rule {
        versions: ">=1.11",
        feature: "v7",
        calls: &["Uuid::now_v7"],
        at_fork: "a child hangs if another thread was in now_v7(): it has one lock for all threads",
        closed: AS_GETRANDOM,
        refused: AS_GETRANDOM,
        remedy: "call fork_safe_uuid::now_v7()",
        ..FAST_RNG
    },
    Rule {
        package: "uuid7",
        versions: "*",
        feature: "",
        calls: &["uuid7(", "uuid4("],
        at_fork: "a child hangs if another thread was making one: there is one lock for all \
                  threads; pid 1 in a new namespace repeats a parent that is pid 1",
        remedy: "call fork_safe_uuid::now_v7(), new_v4()",
        ..FAST_RNG
    },
    RAND,
    Rule {
        versions: ">=0.8, <0.9",
        feature: "std_rng",
        at_fork: "thread_rng() and random() of a child repeat what is buffered: up to 256 bytes",
        remedy: "do not use it before the fork; for UUIDs fork_safe_uuid",
        ..RAND
    },
    GETRANDOM,
    Rule {
        versions: "<0.3",
        closed: "nothing, if the system call answers",
        refused: "a socket, pipe or file that got the number of its /dev/urandom is read instead",
        remedy: "have what pulls it in upgraded, then as for 0.3",
        ..GETRANDOM
    },
];
