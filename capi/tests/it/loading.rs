//! Loads the library with the loaders of glibc and musl, at the start and later.

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
    every_symbol_and_version_of_the_systems_libuuid_is_exported,
    the_library_may_be_unloaded_before_a_thread_that_used_it_ends,
    the_first_uuid_allocates_nothing_if_the_library_is_loaded_at_the_start,
    the_library_loads_after_others_have_used_up_the_static_tls,
    python_imports_the_library_after_others_have_used_up_the_static_tls {
        possible: programs::has_python
    },
    a_musl_program_loads_the_library {
        possible: may_enter_musl,
        seconds: 300
    },
    an_aarch64_program_loads_the_library {
        possible: has_aarch64,
        seconds: 300
    },
];

fn every_symbol_and_version_of_the_systems_libuuid_is_exported() {
    let system = exports(&system());
    let ours = exports(&library::ours());
    assert!(system.len() > 20, "{system:?}");
    assert_eq!(
        system.difference(&ours).collect::<Vec<_>>(),
        [] as [&String; 0]
    );
    // util-linux exports these since 2.40 and 2.41, also if the system's library is older.
    for name in [
        "uuid_time64@@UUID_2.40",
        "uuid_generate_time_v6@@UUID_2.41",
        "uuid_generate_time_v7@@UUID_2.41",
    ] {
        assert!(ours.contains(name), "{name}");
    }
    // Nothing else is exported, such as a name of Rust's.
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

/// Returns the symbols that a library exports, each with its version.
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

/// Returns the path of the system's libuuid.
fn system() -> PathBuf {
    let list = library::printed(Command::new("/sbin/ldconfig").arg("-p"));
    let line = list.lines().find(|line| line.contains("libuuid.so.1 "));
    let path = line.and_then(|line| line.rsplit(' ').next());
    path.expect("libuuid in the loader's list").into()
}

/// The installed library stays mapped, and the plain one is unmapped. `plugins` of `tests/it`
/// shows what happens to a library that is called at the end of a thread.
fn the_library_may_be_unloaded_before_a_thread_that_used_it_ends() {
    for library in [library::ours(), plain()] {
        let status = load_late(&library, "unload", None).0;
        assert!(status.success(), "{status}");
    }
}

fn the_first_uuid_allocates_nothing_if_the_library_is_loaded_at_the_start() {
    let ours = library::ours();
    let (status, printed) = load_late(&ours, "allocate", Some(&ours));
    assert!(status.success(), "{status}");
    assert_eq!(printed, "0 in an old thread, 0 in a new one\n");

    // The control: if it is loaded later, the C library allocates its thread-local storage.
    let (status, printed) = load_late(&ours, "allocate", None);
    assert!(status.success(), "{status}");
    assert_ne!(printed, "0 in an old thread, 0 in a new one\n");
}

/// Runs `late.c` on a library, and returns its status and what it printed.
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

/// The first UUID is made by a thread that is older than the library and than twenty others,
/// for which glibc must extend the thread's table.
fn the_library_loads_after_others_have_used_up_the_static_tls() {
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
            "all other libraries were loaded: {text}"
        );
        (output.status.code(), text)
    };

    let (code, text) = load(&library::ours());
    assert!(code == Some(0) && text.ends_with("three UUIDs\n"), "{text}");

    // The control: the library with static thread-local storage.
    let control = directory.path().join("control.so");
    link_with_static_storage("cc", &library::prefix(), &control);
    let (code, text) = load(&control);
    assert!(
        code == Some(1) && text.contains("cannot allocate memory in static TLS block"),
        "{text}"
    );
}

fn python_imports_the_library_after_others_have_used_up_the_static_tls() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = format!(
        "
import ctypes
try:
    for other in {:?}:
        ctypes.CDLL(other)
    print('all other libraries were loaded')
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

    // The control: Python cannot import it, and says nothing.
    let control = directory.path().join("libuuid.so.1");
    link_with_static_storage("cc", &library::prefix(), &control);
    assert_eq!(run(directory.path()), "unknown\n");
}

/// Returns whether `musl-gcc` and Rust's library for musl are installed.
pub fn has_musl() -> bool {
    cfg!(target_arch = "x86_64")
        && programs::has("musl-gcc", "musl-tools")
        && programs::has_target("x86_64-unknown-linux-musl")
}

fn may_enter_musl() -> bool {
    namespaces::may_unshare() && has_musl()
}

/// The root folder has no files but the program, the libraries and musl's loader, which is
/// also its C library.
fn a_musl_program_loads_the_library() {
    let root = tempfile::tempdir().expect("a directory");
    let prefix = library::install_for("x86_64-unknown-linux-musl", "musl-gcc");
    fs::create_dir(root.path().join("lib")).expect("a directory");
    fs::copy(MUSL_LOADER, root.path().join(&MUSL_LOADER[1..])).expect("musl");
    let options = ["-Wall", "-Werror"];
    compile("musl-gcc", "host.c", &root.path().join("host"), &options);
    others("musl-gcc", root.path());
    let ours = prefix.join("lib/libuuid.so.1");
    fs::copy(ours, root.path().join("libuuid.so.1")).expect("a copy");
    // The control: the library with storage that musl reserves only at the start.
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

/// Returns whether the cross-compiler, Rust's library and an emulator are installed.
fn has_aarch64() -> bool {
    installing::has_aarch64() && programs::has("qemu-aarch64", "qemu-user")
}

fn an_aarch64_program_loads_the_library() {
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

/// Returns twenty libraries with ordinary thread-local storage, and others with 4096 bytes of
/// initial-exec storage in total. glibc reserves 1664 bytes for libraries that are loaded
/// later.
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

/// Links the installed archive with a variable that needs static thread-local storage.
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

/// Compiles a source file of `tests/c`.
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

/// Links the installed archive to a shared library without the options of `install`, and
/// returns its path.
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
