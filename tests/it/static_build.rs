//! A statically linked glibc, where a function cannot be looked up by name.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

crate::scenarios![static_getrandom_is_used_and_no_device_opened { seconds: 600 },];

/// Builds `tests/guest` statically and returns the program.
fn build() -> PathBuf {
    let cargo = env::var_os("CARGO").expect("run by cargo");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("static");
    // Named, so that the flag does not reach build scripts and macros.
    let triple = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let output = Command::new(cargo)
        .current_dir(root)
        .args([
            "build",
            "--quiet",
            "--package",
            "guest",
            "--target",
            &triple,
        ])
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", text(&output));
    target.join(triple).join("debug/guest")
}

fn text(output: &Output) -> String {
    let text = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn static_getrandom_is_used_and_no_device_opened() {
    let guest = build();
    let run = |who| Command::new(&guest).arg(who).output().expect("the guest");

    let ours = run("ours");
    assert!(ours.status.success(), "{}: {}", ours.status, text(&ours));

    // The control: it opens the device, for which the guest is killed.
    let peer = run("peer");
    let signal = std::os::unix::process::ExitStatusExt::signal(&peer.status);
    assert_eq!(
        signal,
        Some(libc::SIGSYS),
        "getrandom was mended? {}",
        text(&peer)
    );
}
