//! Programs of `tests/guest`, built by the scenario that runs them.

use std::env;
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

pub fn run(program: &Path, argument: &str) -> Output {
    Command::new(program)
        .arg(argument)
        .output()
        .expect("the guest")
}

pub fn text(output: &Output) -> String {
    let text = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}
