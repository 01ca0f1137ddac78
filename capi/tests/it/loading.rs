//! The library as the loader sees it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::library;

crate::scenarios![
    every_symbol_and_version_of_the_systems_is_there,
    it_may_be_unloaded_before_a_thread_that_used_it_ends,
    a_first_uuid_allocates_nothing_in_a_library_loaded_late,
];

fn every_symbol_and_version_of_the_systems_is_there() {
    let system = exports(&system());
    let ours = exports(&library::ours());
    assert!(system.len() > 20, "{system:?}");
    assert_eq!(
        system.difference(&ours).collect::<Vec<_>>(),
        [] as [&String; 0]
    );
    // What the system's exports since 2.40, on every system.
    for name in [
        "uuid_time64@@UUID_2.40",
        "uuid_generate_time_v6@@UUID_2.41",
        "uuid_generate_time_v7@@UUID_2.41",
    ] {
        assert!(ours.contains(name), "{name}");
    }
    // And nothing else, such as a name of Rust's: functions and versions.
    assert!(
        ours.iter().all(|name| name.starts_with("uuid_")
            || name.starts_with("__uuid_")
            || name.starts_with("UUID")),
        "{ours:?}"
    );

    let dynamic = library::printed(Command::new("readelf").arg("-d").arg(library::ours()));
    assert!(
        dynamic.contains("Library soname: [libuuid.so.1]"),
        "{dynamic}"
    );
}

/// What a library exports, each with its version.
fn exports(library: &Path) -> BTreeSet<String> {
    library::printed(
        Command::new("nm")
            .args(["-D", "--defined-only"])
            .arg(library),
    )
    .lines()
    .map(|line| line.split(' ').next_back().expect("a name").to_owned())
    .collect()
}

/// The file that the loader takes for the name.
fn system() -> PathBuf {
    let list = library::printed(Command::new("/sbin/ldconfig").arg("-p"));
    let line = list.lines().find(|line| line.contains("libuuid.so.1 "));
    let path = line.and_then(|line| line.rsplit(' ').next());
    path.expect("libuuid in the loader's list").into()
}

/// As installed, where it stays mapped, and as a library that goes. What happens
/// to a library that is called at the end of a thread: `plugins` of `tests/it`.
fn it_may_be_unloaded_before_a_thread_that_used_it_ends() {
    for library in [library::ours(), plain()] {
        let status = load_late(&library, "unload").0;
        assert!(status.success(), "{status}");
    }
}

fn a_first_uuid_allocates_nothing_in_a_library_loaded_late() {
    let (status, printed) = load_late(&library::ours(), "allocate");
    assert!(status.success(), "{status}");
    assert_eq!(printed, "0 in an old thread, 0 in a new one\n");

    // The control: the C library allocates the thread-local storage.
    let (status, printed) = load_late(&plain(), "allocate");
    assert!(status.success(), "{status}");
    assert_ne!(printed, "0 in an old thread, 0 in a new one\n");
}

/// Runs `late.c` on a library.
fn load_late(library: &Path, what: &str) -> (ExitStatus, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("late");
    library::run(
        Command::new("cc")
            .args(["-Wall", "-Werror", "-O1", "-pthread", "-o"])
            .arg(&program)
            .arg(Path::new(library::HERE).join("tests/c/late.c")),
    );
    let output = Command::new(program)
        .arg(library)
        .arg(what)
        .output()
        .expect("late");
    (
        output.status,
        String::from_utf8(output.stdout).expect("UTF-8"),
    )
}

/// The installed archive as a shared library, without `install`'s precautions.
fn plain() -> PathBuf {
    let scenario = std::env::var(crate::harness::SCENARIO).expect("in a scenario");
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(scenario.replace("::", "-") + ".so");
    library::run(
        Command::new("cc")
            .args(["-shared", "-static-libgcc", "-Wl,--gc-sections", "-o"])
            .arg(&library)
            .arg(format!(
                "-Wl,--version-script={}/libuuid.map",
                library::HERE
            ))
            .arg("-Wl,--whole-archive")
            .arg(library::prefix().join("lib/libuuid.a"))
            .arg("-Wl,--no-whole-archive"),
    );
    library
}
