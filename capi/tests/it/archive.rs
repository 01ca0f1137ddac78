//! Links the static library into C programs beside another one that is written in Rust.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::{library, loading};

support::scenarios![
    the_archive_defines_the_declared_names_and_no_others,
    a_program_may_link_another_rust_archive_beside_it,
    a_static_program_may_link_another_rust_archive_beside_it,
    a_musl_program_may_link_another_rust_archive_beside_it {
        possible: loading::has_musl,
        seconds: 300
    },
];

const MUSL: &str = "x86_64-unknown-linux-musl";

fn the_archive_defines_the_declared_names_and_no_others() {
    let archive = library::prefix().join("lib/libuuid.a");
    let list = library::printed(Command::new("nm").arg("-gP").arg(archive));
    let defined: Vec<&str> = list
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(_, kind)| !kind.starts_with(['U', 'w']))
        .map(|(name, _)| name)
        .collect();
    assert!(defined.contains(&"uuid_generate"), "{defined:?}");
    let others: Vec<&&str> = defined
        .iter()
        .filter(|name| !name.trim_start_matches(['_']).starts_with("uuid_"))
        .filter(|name| !name.starts_with("fork_safe_uuid_"))
        .collect();
    assert_eq!(others, [] as [&&str; 0]);
}

fn a_program_may_link_another_rust_archive_beside_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let other = other(directory.path(), &[]);
    let ours = library::prefix().join("lib/libuuid.a");
    // The linker searches the archives in their order.
    for archives in [[&ours, &other], [&other, &ours]] {
        run_with(link("cc", directory.path(), &archives, &[]), &directory);
    }

    // The control: an archive that also has all of Rust in one member, with global names.
    let same = directory.path().join("libsame.a");
    library::run(&mut rustc(
        &same,
        &["-Clto=fat", "-Cpanic=abort", "--cfg=same"],
    ));
    let output = link("cc", directory.path(), &[&ours, &other, &same], &["-DSAME"]);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("multiple definition of"), "{text}");
}

fn a_static_program_may_link_another_rust_archive_beside_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let other = other(directory.path(), &[]);
    let ours = library::prefix().join("lib/libuuid.a");
    let output = link("cc", directory.path(), &[&ours, &other], &["-static"]);
    run_with(output, &directory);
}

fn a_musl_program_may_link_another_rust_archive_beside_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let ours = library::install_for(MUSL, "musl-gcc").join("lib/libuuid.a");
    let other = other(directory.path(), &["--target", MUSL]);
    // The other archive needs this unwinder.
    let unwinder = library::target_libraries(MUSL).join("self-contained/libunwind.a");
    // The unwinder needs this table, which `musl-gcc` leaves out.
    let table = "-Wl,--eh-frame-hdr";
    for options in [&[table][..], &[table, "-static"]] {
        let archives = [&ours, &other, &unwinder];
        let output = link("musl-gcc", directory.path(), &archives, options);
        run_with(output, &directory);
    }
}

/// Compiles `catches.rs` to an archive, and returns its path.
fn other(directory: &Path, options: &[&str]) -> PathBuf {
    let archive = directory.join("libcatches.a");
    library::run(&mut rustc(&archive, options));
    archive
}

/// Returns the command that compiles `catches.rs` to `archive`.
fn rustc(archive: &Path, options: &[&str]) -> Command {
    let mut rustc = Command::new("rustc");
    rustc
        .args(["--edition=2024", "--crate-type=staticlib", "-O", "-o"])
        .arg(archive)
        .args(options)
        .arg(Path::new(library::HERE).join("tests/c/catches.rs"));
    rustc
}

/// Links `two.c` with the archives.
fn link(compiler: &str, directory: &Path, archives: &[&PathBuf], options: &[&str]) -> Output {
    Command::new(compiler)
        .args(["-Wall", "-Werror", "-o"])
        .arg(directory.join("two"))
        .arg("-I")
        .arg(library::prefix().join("include"))
        .arg(Path::new(library::HERE).join("tests/c/two.c"))
        .args(archives)
        .args(options)
        .output()
        .expect("a compiler")
}

/// Asserts that the program was linked, and runs it.
#[track_caller]
fn run_with(linked: Output, directory: &tempfile::TempDir) {
    let text = String::from_utf8_lossy(&linked.stderr);
    assert!(linked.status.success(), "{text}");
    library::run(&mut Command::new(directory.path().join("two")));
}
