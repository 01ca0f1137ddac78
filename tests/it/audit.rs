//! `examples/audit` on services that are made up here, without a registry.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::guest::text;

crate::scenarios![
    names_who_switches_fast_rng_on { seconds: 300 },
    follows_a_feature_that_is_passed_on { seconds: 300 },
    leaves_out_tests_build_scripts_and_macros { seconds: 300 },
    tells_the_versions_apart { seconds: 300 },
    what_cannot_be_read_is_no_answer { seconds: 300 },
];

fn audit(service: &Path) -> (Option<i32>, String) {
    let cargo = env::var_os("CARGO").expect("run by cargo");
    let output: Output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["run", "--quiet", "--example", "audit", "--"])
        .arg(service)
        .arg("--offline")
        .output()
        .expect("cargo");
    (output.status.code(), text(&output))
}

/// A package and what its manifest says after the version.
fn package(root: &Path, name: &str, version: &str, manifest: &str, source: &str) {
    let directory = root.join(name);
    fs::create_dir_all(directory.join("src")).expect("a directory");
    let head =
        format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\n");
    fs::write(directory.join("Cargo.toml"), head + manifest).expect("a manifest");
    fs::write(directory.join("src/lib.rs"), source).expect("a source");
}

/// A service over `middle`, and packages with the names and features of the
/// peers.
fn service(needs: &str, middle: &str) -> TempDir {
    let root = tempfile::tempdir().expect("a directory");
    let at = root.path();
    package(at, "service", "0.1.0", needs, "");
    package(
        at,
        "middle",
        "0.2.0",
        middle,
        "// Uuid::new_v4()\nfn f() { Uuid::new_v4(); }\n",
    );
    package(
        at,
        "uuid",
        "1.29.3",
        "[features]\nv4 = [\"dep:getrandom\"]\nfast-rng = [\"dep:rand\"]\n[dependencies]\n\
         rand = { path = \"../rand\", optional = true }\n\
         getrandom = { path = \"../getrandom\", optional = true }",
        "",
    );
    package(
        at,
        "rand",
        "0.10.4",
        "[features]\ndefault = [\"thread_rng\"]\nthread_rng = []\n",
        "",
    );
    package(at, "getrandom", "0.4.3", "", "");
    root
}

const ON_MIDDLE: &str = "[dependencies]\nmiddle = { path = \"../middle\" }\n";
const FAST_RNG: &str = "uuid = { path = \"../uuid\", features = [\"fast-rng\"] }\n";

fn names_who_switches_fast_rng_on() {
    let root = service(ON_MIDDLE, &format!("[dependencies]\n{FAST_RNG}"));
    let (status, text) = audit(&root.path().join("service"));
    assert_eq!(status, Some(1), "{text}");
    for part in [
        "uuid 1.29.3 with fast-rng\n",
        "service 0.1.0 > middle 0.2.0 > uuid 1.29.3\n",
        // Not the comment above it.
        "middle src/lib.rs:2\n",
        "up to 4096 UUIDs",
        "rand 0.10.4 with thread_rng\n",
        "findings: 2\n",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }

    // The control: the same without the feature.
    let root = service(ON_MIDDLE, "[dependencies]\nuuid = { path = \"../uuid\" }\n");
    let (status, text) = audit(&root.path().join("service"));
    assert_eq!((status, &*text), (Some(0), "no findings\n"));
}

fn follows_a_feature_that_is_passed_on() {
    let needs = "[dependencies]\nmiddle = { path = \"../middle\", features = [\"fast\"] }\n";
    let middle = "[features]\nfast = [\"ids/fast-rng\"]\n\
                  [dependencies]\nids = { path = \"../uuid\", package = \"uuid\" }\n";
    let root = service(needs, middle);
    let (status, text) = audit(&root.path().join("service"));
    assert_eq!(status, Some(1), "{text}");
    let way = "service 0.1.0 > middle 0.2.0 > uuid 1.29.3\n";
    assert!(text.contains(way), "{text}");

    let root = service(ON_MIDDLE, middle);
    assert_eq!(audit(&root.path().join("service")).0, Some(0));
}

fn leaves_out_tests_build_scripts_and_macros() {
    let uuid = "[dependencies]\nuuid = { path = \"../uuid\" }\n";
    for (needs, middle) in [
        (
            uuid.to_owned() + "[dev-dependencies]\n" + FAST_RNG,
            String::new(),
        ),
        (
            uuid.to_owned() + "[build-dependencies]\n" + FAST_RNG,
            String::new(),
        ),
        (
            ON_MIDDLE.to_owned(),
            format!("[lib]\nproc-macro = true\n[dependencies]\n{FAST_RNG}"),
        ),
    ] {
        let root = service(&needs, &middle);
        let (status, text) = audit(&root.path().join("service"));
        assert_eq!((status, &*text), (Some(0), "no findings\n"), "{needs}");
    }
}

fn tells_the_versions_apart() {
    for (name, version, expected) in [
        ("uuid", "1.12.1", "up to 15 UUIDs"),
        ("uuid7", "1.8.0", "one lock"),
        ("getrandom", "0.2.17", "nothing, if the system call answers"),
        ("getrandom", "0.4.3", "in a static glibc program"),
    ] {
        let needs = format!("[dependencies]\n{name} = {{ path = \"../{name}\" }}\n");
        let needs = needs.replace("/uuid\"", "/uuid\", features = [\"fast-rng\"]");
        let root = service(&needs, "");
        let features = "[features]\nfast-rng = []\n";
        package(root.path(), name, version, features, "");
        let (status, text) = audit(&root.path().join("service"));
        assert_eq!(status, Some(1), "{text}");
        assert!(text.contains(expected), "no {expected:?} in {text}");
        assert!(text.ends_with("findings: 1\n"), "{text}");
    }
}

fn what_cannot_be_read_is_no_answer() {
    let root = service("[dependencies]\nmiddle = { path = \"../nowhere\" }\n", "");
    assert_eq!(audit(&root.path().join("service")).0, Some(2));
    assert_eq!(audit(&root.path().join("nothing")).0, Some(2));
}
