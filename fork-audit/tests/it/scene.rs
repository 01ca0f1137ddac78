//! Makes up programs, and audits them.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// The manifest of the made-up `uuid`, with the features of the real one.
const UUID: &str = "[features]\nv4 = [\"rng\"]\nv7 = [\"rng\"]\nrng = [\"dep:getrandom\"]\n\
    fast-rng = [\"rng\", \"dep:rand\"]\n[dependencies]\n\
    rand = { path = \"../rand\", optional = true }\n\
    getrandom = { path = \"../getrandom\", optional = true }\n";

pub(crate) const ON_MIDDLE: &str = "[dependencies]\nmiddle = { path = \"../middle\" }\n";
pub(crate) const FAST_RNG: &str = "uuid = { path = \"../uuid\", features = [\"fast-rng\"] }\n";

/// Writes a package. `manifest` is what follows the version in its manifest.
pub(crate) fn package(root: &Path, name: &str, version: &str, manifest: &str, source: &str) {
    let directory = root.join(name);
    fs::create_dir_all(directory.join("src")).expect("a directory");
    let head =
        format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\n");
    fs::write(directory.join("Cargo.toml"), head + manifest).expect("a manifest");
    fs::write(directory.join("src/lib.rs"), source).expect("a source");
}

/// Writes a service, a package `middle`, and packages with the names and features of the real
/// ones. `needs` is the rest of the service's manifest, and `middle` that of `middle`.
pub(crate) fn service(needs: &str, middle: &str) -> TempDir {
    let root = tempfile::tempdir().expect("a directory");
    let at = root.path();
    package(at, "service", "0.1.0", needs, "");
    let source = "// Uuid::new_v4()\nfn f() { uuid::Uuid::new_v4(); }\n";
    package(at, "middle", "0.2.0", middle, source);
    package(at, "uuid", "1.29.3", UUID, "");
    let rand = "[features]\ndefault = [\"thread_rng\"]\nthread_rng = []\n";
    package(at, "rand", "0.10.4", rand, "");
    package(at, "getrandom", "0.4.3", "", "");
    root
}

/// Returns the command that audits a program, with more arguments.
pub(crate) fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-fork-audit"));
    command
        .args(["fork-audit", "--offline", "--manifest-path"])
        .arg(program)
        .args(arguments);
    command
}

/// Audits a program, and returns the exit status and the standard output.
pub(crate) fn audit(program: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(program, arguments).output().expect("the program");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    (output.status.code(), text)
}

/// Returns the JSON report on a program.
pub(crate) fn json(program: &Path) -> Value {
    let (_, text) = audit(program, &["--message-format", "json"]);
    serde_json::from_str(&text).expect("JSON")
}

/// Returns the finding of one rule.
pub(crate) fn finding<'a>(report: &'a Value, rule: &str) -> &'a Value {
    let findings = report["findings"].as_array().expect("findings");
    let found = findings.iter().find(|finding| finding["rule"] == rule);
    found.unwrap_or_else(|| panic!("no {rule} in {report:#}"))
}
