//! The library as the loader sees it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::chroot;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use support::namespaces;

use crate::{installing, library, programs};

const MUSL_LOADER: &str = "/lib/ld-musl-x86_64.so.1";

const AARCH64_GCC: &str = "aarch64-linux-gnu-gcc";

support::scenarios![
    every_symbol_and_version_of_the_systems_is_there,
    it_may_be_unloaded_before_a_thread_that_used_it_ends,
    a_first_uuid_allocates_nothing_in_a_library_loaded_at_the_start,
    it_loads_where_other_libraries_have_used_up_the_static_storage,
    python_imports_it_where_other_libraries_have_used_up_the_static_storage {
        possible: programs::has_python
    },
    a_musl_program_loads_it {
        possible: may_enter_musl,
        seconds: 300
    },
    an_aarch64_program_loads_it {
        possible: has_aarch64,
        seconds: 300
    },
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
    // And nothing else under these versions, or such as a name of Rust's.
    let is_ours = |name: &str| {
        name == "FORK_SAFE_UUID_1.0"
            || (name.starts_with("fork_safe_uuid_") && name.ends_with("@@FORK_SAFE_UUID_1.0"))
    };
    assert!(
        ours.iter().all(|name| name.starts_with("uuid_")
            || name.starts_with("__uuid_")
            || name.starts_with("UUID")
            || is_ours(name)),
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
        let status = load_late(&library, "unload", None).0;
        assert!(status.success(), "{status}");
    }
}

fn a_first_uuid_allocates_nothing_in_a_library_loaded_at_the_start() {
    let ours = library::ours();
    let (status, printed) = load_late(&ours, "allocate", Some(&ours));
    assert!(status.success(), "{status}");
    assert_eq!(printed, "0 in an old thread, 0 in a new one\n");

    // The control: loaded later, where the C library allocates the thread-local
    // storage.
    let (status, printed) = load_late(&ours, "allocate", None);
    assert!(status.success(), "{status}");
    assert_ne!(printed, "0 in an old thread, 0 in a new one\n");
}

/// Runs `late.c` on a library.
fn load_late(library: &Path, what: &str, preload: Option<&Path>) -> (ExitStatus, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("late");
    let link = ["-Wall", "-Werror", "-O1", "-pthread"];
    compile("cc", "late.c", &program, &link);
    let output = Command::new(program)
        .arg(library)
        .arg(what)
        .env("LD_PRELOAD", preload.unwrap_or(Path::new("")))
        .output()
        .expect("late");
    (
        output.status,
        String::from_utf8(output.stdout).expect("UTF-8"),
    )
}

/// The thread that makes a UUID first is older than the twenty libraries that
/// make glibc lengthen its table, too.
fn it_loads_where_other_libraries_have_used_up_the_static_storage() {
    let directory = tempfile::tempdir().expect("a directory");
    let host = directory.path().join("host");
    compile("cc", "host.c", &host, &["-Wall", "-Werror", "-pthread"]);
    let others = others("cc", directory.path());
    let load = |library: &Path| {
        let output = Command::new(&host).arg(library).args(&others).output();
        let output = output.expect("host");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(
            text.contains(" of 148 others\n"),
            "none was refused: {text}"
        );
        (output.status.code(), text)
    };

    let (code, text) = load(&library::ours());
    assert!(code == Some(0) && text.ends_with("three UUIDs\n"), "{text}");

    // The control: the library with storage of that kind.
    let control = directory.path().join("control.so");
    link_with_static_storage("cc", &library::prefix(), &control);
    let (code, text) = load(&control);
    assert!(
        code == Some(1) && text.contains("cannot allocate memory in static TLS block"),
        "{text}"
    );
}

fn python_imports_it_where_other_libraries_have_used_up_the_static_storage() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = format!(
        "
import ctypes
try:
    for other in {:?}:
        ctypes.CDLL(other)
    print('none was refused')
except OSError:
    import uuid
    print('safe' if uuid.uuid1().is_safe is uuid.SafeUUID.safe else 'unknown')
",
        others("cc", directory.path())
    );
    let run = |libraries: &Path| {
        let mut python = Command::new("/usr/bin/python3");
        python.env("LD_LIBRARY_PATH", libraries);
        library::printed(python.arg("-c").arg(&script))
    };
    assert_eq!(run(&library::prefix().join("lib")), "safe\n");

    // The control, of which Python says nothing.
    let control = directory.path().join("libuuid.so.1");
    link_with_static_storage("cc", &library::prefix(), &control);
    assert_eq!(run(directory.path()), "unknown\n");
}

/// `musl-gcc` and Rust's library for musl.
pub fn has_musl() -> bool {
    cfg!(target_arch = "x86_64")
        && programs::has("musl-gcc", "musl-tools")
        && programs::has_target("x86_64-unknown-linux-musl")
}

fn may_enter_musl() -> bool {
    namespaces::may_unshare() && has_musl()
}

/// In a root that has no file but musl's loader, which is its C library, too,
/// the program and the libraries.
fn a_musl_program_loads_it() {
    let root = tempfile::tempdir().expect("a directory");
    let prefix = library::install_for("x86_64-unknown-linux-musl", "musl-gcc");
    fs::create_dir(root.path().join("lib")).expect("a directory");
    fs::copy(MUSL_LOADER, root.path().join(&MUSL_LOADER[1..])).expect("musl");
    let options = ["-Wall", "-Werror"];
    compile("musl-gcc", "host.c", &root.path().join("host"), &options);
    others("musl-gcc", root.path());
    let ours = prefix.join("lib/libuuid.so.1");
    fs::copy(ours, root.path().join("libuuid.so.1")).expect("a copy");
    // The control: the library with storage that musl gives at the start only.
    link_with_static_storage("musl-gcc", &prefix, &root.path().join("control.so"));

    namespaces::unshare(libc::CLONE_NEWNS);
    chroot(root.path()).expect("the privilege");
    std::env::set_current_dir("/").expect("the root");
    let load = |library: &str| {
        let output = Command::new("/host")
            .arg(library)
            .args((0..20).map(|number| format!("/thread_local-{number}.so")))
            // There is no /dev/null.
            .stdin(Stdio::inherit())
            .output()
            .expect("musl's loader");
        (
            output.status.code(),
            String::from_utf8(output.stdout).expect("UTF-8"),
        )
    };
    assert_eq!(load("/libuuid.so.1"), (Some(0), "three UUIDs\n".to_owned()));
    let (code, text) = load("/control.so");
    assert!(
        code == Some(1) && text.contains("initial-exec TLS resolves to dynamic definition"),
        "{text}"
    );
}

/// The cross-compiler, Rust's library and an emulator.
fn has_aarch64() -> bool {
    installing::has_aarch64() && programs::has("qemu-aarch64", "qemu-user")
}

fn an_aarch64_program_loads_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let prefix = library::install_for("aarch64-unknown-linux-gnu", AARCH64_GCC);
    let host = directory.path().join("host");
    let options = ["-Wall", "-Werror", "-pthread"];
    compile(AARCH64_GCC, "host.c", &host, &options);
    let printed = library::printed(
        Command::new("qemu-aarch64")
            .args(["-L", "/usr/aarch64-linux-gnu"])
            .args([host, prefix.join("lib/libuuid.so.1")])
            .args(others(AARCH64_GCC, directory.path())),
    );
    assert!(printed.ends_with("three UUIDs\n"), "{printed}");
}

/// Twenty libraries with ordinary thread-local storage, and more than 4000
/// bytes of initial-exec storage in others: glibc has 1664 for libraries that
/// are loaded late.
fn others(compiler: &str, directory: &Path) -> Vec<PathBuf> {
    let copies = |name: &str, option: &str, count: usize| -> Vec<PathBuf> {
        let library = directory.join(name);
        let options = ["-shared", "-fPIC", option];
        compile(compiler, &format!("{name}.c"), &library, &options);
        let copy = |number| {
            let copy = directory.join(format!("{name}-{number}.so"));
            fs::copy(&library, &copy).expect("a copy");
            copy
        };
        (0..count).map(copy).collect()
    };
    [
        copies("thread_local", "-O1", 20),
        copies("initial_exec", "-DSIZE=32", 128),
    ]
    .concat()
}

/// Links the installed archive with a variable for which the loader must find
/// room in the static thread-local storage.
fn link_with_static_storage(compiler: &str, prefix: &Path, library: &Path) {
    let archive = prefix.join("lib/libuuid.a");
    let map = format!("-Wl,--version-script={}/libuuid.map", library::HERE);
    compile(
        compiler,
        "initial_exec.c",
        library,
        &[
            "-shared",
            "-fPIC",
            "-DSIZE=1",
            "-Wl,-soname,libuuid.so.1",
            "-Wl,--whole-archive",
            archive.to_str().expect("UTF-8"),
            "-Wl,--no-whole-archive",
            &map,
        ],
    );
}

/// Compiles a source of `tests/c`.
fn compile(compiler: &str, source: &str, to: &Path, options: &[&str]) {
    let source = Path::new(library::HERE).join("tests/c").join(source);
    library::run(
        Command::new(compiler)
            .arg("-o")
            .arg(to)
            .arg(source)
            .args(options)
            .stdin(Stdio::null()),
    );
}

/// The installed archive as a shared library, without `install`'s precautions.
fn plain() -> PathBuf {
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plain.so");
    library::run(
        Command::new("cc")
            .args(["-shared", "-o"])
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
