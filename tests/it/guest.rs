//! Programs of `tests/guest`, built by the scenario that runs them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Builds a program from the workspace at `root`, optimised, and returns it.
pub fn build(program: &str, root: &Path, flags: &[&str]) -> PathBuf {
    let cargo = env::var_os("CARGO").expect("run by cargo");
    // A changed copy is built where it stands, and goes with it.
    let target = if root == Path::new(ROOT) {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("guest{}", flags.concat()))
    } else {
        root.join("target")
    };
    // Named, so that the flags do not reach build scripts and macros.
    let triple = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let output = Command::new(cargo)
        .current_dir(root)
        .args(["build", "--quiet", "--release", "--package", "guest"])
        .args(["--bin", program, "--target", &triple])
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTFLAGS", flags.join(" "))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", text(&output));
    target.join(triple).join("release").join(program)
}

pub fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .output()
        .expect("the guest")
}

pub fn text(output: &Output) -> String {
    let text = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// The programs that step need the trap flag.
pub fn on_x86_64() -> bool {
    cfg!(target_arch = "x86_64")
}

#[track_caller]
pub fn assert_passes(program: &str, arguments: &[&str]) {
    let output = run(&build(program, Path::new(ROOT), &[]), arguments);
    assert!(output.status.success(), "{}", text(&output));
}

/// Builds `program` on this crate with `changes` to the files of `src`, each of
/// which must match, and has it find what they break.
#[track_caller]
pub fn assert_broken_by(program: &str, arguments: &[&str], changes: &[(&str, &str, &str)]) {
    let copy = tempfile::tempdir().expect("a directory");
    for part in [
        "src",
        "tests",
        "benches",
        "examples",
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
    ] {
        copy_tree(&Path::new(ROOT).join(part), &copy.path().join(part));
    }
    for (file, from, to) in changes {
        let path = copy.path().join("src").join(file);
        let text = fs::read_to_string(&path).expect("a file of src");
        assert!(text.contains(from), "{file} has no {from:?} any more");
        fs::write(&path, text.replace(from, to)).expect("a copy");
    }
    let output = run(&build(program, copy.path(), &[]), arguments);
    let text = text(&output);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{program} saw nothing: {text}"
    );
}

fn copy_tree(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("a directory");
        for entry in fs::read_dir(from).expect("a directory") {
            let name = entry.expect("an entry").file_name();
            copy_tree(&from.join(&name), &to.join(&name));
        }
    } else if from.exists() {
        fs::copy(from, to).expect("a file");
    }
}
