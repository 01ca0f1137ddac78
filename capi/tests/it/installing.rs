//! Calls `install` and `deb` as packagers do.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use support::namespaces;

use crate::{library, programs};

support::scenarios![
    the_script_prints_its_usage,
    the_compiler_may_be_several_words_with_options { seconds: 300 },
    a_staged_installation_names_the_final_paths { seconds: 300 },
    the_environment_may_name_another_target { seconds: 300 },
    the_callers_configuration_may_name_another_target { seconds: 300 },
    the_callers_configuration_may_name_the_cross_compiler {
        possible: has_aarch64,
        seconds: 300
    },
    a_target_without_a_compiler_is_refused {
        possible: has_aarch64,
        seconds: 300
    },
    a_read_only_source_can_be_built {
        possible: namespaces::may_unshare,
        seconds: 300
    },
    a_debian_package_replaces_no_file {
        possible: has_debian,
        seconds: 300
    },
];

const AARCH64: &str = "aarch64-unknown-linux-gnu";

/// Returns whether the cross-compiler and Rust's library for 64-bit Arm are installed.
pub fn has_aarch64() -> bool {
    programs::has("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu") && programs::has_target(AARCH64)
}

/// Returns whether the tools that `deb` and its test call are installed.
fn has_debian() -> bool {
    programs::has("dpkg-shlibdeps", "dpkg-dev") && programs::has("uuidgen", "uuid-runtime")
}

/// Returns the command `install` without a compiler or a target from the environment.
fn install() -> Command {
    let mut command = Command::new(Path::new(library::HERE).join("install"));
    command.env_remove("CC").env_remove("CARGO_BUILD_TARGET");
    command.stdin(Stdio::null());
    command
}

fn the_script_prints_its_usage() {
    let usage = library::printed(install().arg("--help"));
    for word in ["PREFIX", "DESTDIR", "CFLAGS", "Cargo"] {
        assert!(usage.contains(word), "{word}: {usage}");
    }
    for arguments in [&[][..], &["--prefix=/usr"]] {
        let output = install().args(arguments).output().expect("install");
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(String::from_utf8_lossy(&output.stderr), usage);
    }
}

fn the_compiler_may_be_several_words_with_options() {
    let directory = tempfile::tempdir().expect("a directory");
    // The wrapper runs the compiler that its arguments name, as `ccache` does.
    let (wrapper, log) = (
        directory.path().join("wrapper"),
        directory.path().join("log"),
    );
    let script = format!(
        "#!/bin/sh\necho \"$@\" >>'{}'\nexec \"$@\"\n",
        log.display()
    );
    fs::write(&wrapper, script).expect("a file");
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("a file");

    let prefix = directory.path().join("prefix");
    library::run(
        install()
            .arg(&prefix)
            .env("CC", format!("{} cc -O1", wrapper.display()))
            .env("CFLAGS", "-O2 -DOPTION")
            .env("LDFLAGS", "-Wl,-O1 -Wl,--build-id=0x20140130"),
    );
    let calls = fs::read_to_string(log).expect("the wrapper was called");
    assert!(
        calls
            .lines()
            .all(|call| call.starts_with("cc -O1 -O2 -DOPTION ")),
        "{calls}"
    );
    assert!(calls.contains(" -Wl,-O1 "), "{calls}");
    let notes = library::printed(
        Command::new("readelf")
            .arg("-n")
            .arg(prefix.join("lib/libuuid.so.1")),
    );
    assert!(notes.contains("Build ID: 20140130"), "{notes}");
}

fn a_staged_installation_names_the_final_paths() {
    let stage = tempfile::tempdir().expect("a directory");
    library::run(
        install()
            .args(["/usr", "--locked", "--offline"])
            .env("DESTDIR", stage.path())
            .env("LIBDIR", "/usr/lib/multiarch"),
    );
    let at = |path: &str| stage.path().join(path);
    for file in [
        "usr/lib/multiarch/libuuid.so.1",
        "usr/lib/multiarch/libuuid.a",
        "usr/include/uuid/uuid.h",
    ] {
        assert!(at(file).is_file(), "{file}");
    }
    let link = fs::read_link(at("usr/lib/multiarch/libuuid.so")).expect("a link");
    assert_eq!(link, Path::new("libuuid.so.1"));
    let text = fs::read_to_string(at("usr/lib/multiarch/pkgconfig/uuid.pc")).expect("a file");
    assert!(
        text.starts_with("prefix=/usr\nlibdir=/usr/lib/multiarch\nincludedir=/usr/include\n"),
        "{text}"
    );
}

fn the_environment_may_name_another_target() {
    build_elsewhere(|install, _| {
        install.env("CARGO_BUILD_TARGET", host());
    });
}

fn the_callers_configuration_may_name_another_target() {
    build_elsewhere(|install, directory| {
        configure(directory, &format!("[build]\ntarget = {:?}\n", host()));
        install.current_dir(directory);
    });
}

/// Builds for a named target. An archive of an earlier build is in the folder that Cargo uses
/// when no target is named, and must not be installed.
fn build_elsewhere(prepare: impl FnOnce(&mut Command, &Path)) {
    let directory = tempfile::tempdir().expect("a directory");
    let (prefix, target) = (
        directory.path().join("prefix"),
        directory.path().join("target"),
    );
    let stale = target.join("release/libcapi.a");
    fs::create_dir_all(target.join("release")).expect("a directory");
    fs::write(&stale, "an earlier build").expect("a file");
    let mut install = install();
    install.arg(&prefix).env("CARGO_TARGET_DIR", &target);
    prepare(&mut install, directory.path());
    library::run(&mut install);

    let built = target.join(host()).join("release/libcapi.a");
    assert!(built.is_file(), "{}", built.display());
    assert_eq!(fs::read(stale).expect("a file"), b"an earlier build");
    library::load(prefix.join("lib/libuuid.so.1"));
}

fn the_callers_configuration_may_name_the_cross_compiler() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = format!(
        "[build]\ntarget = {AARCH64:?}\n[target.{AARCH64}]\nlinker = \"aarch64-linux-gnu-gcc\"\n"
    );
    configure(directory.path(), &text);
    library::run(install().arg("prefix").current_dir(directory.path()));
    for library in ["libuuid.so.1", "libuuid.a"] {
        let path = directory.path().join("prefix/lib").join(library);
        let header = library::printed(Command::new("readelf").arg("-h").arg(path));
        assert!(header.contains("AArch64"), "{library}: {header}");
    }
}

fn a_target_without_a_compiler_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = install()
        .arg(directory.path())
        .args(["--target", AARCH64])
        .output()
        .expect("install");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.ends_with("capi/install: CC must name a C compiler for aarch64-unknown-linux-gnu\n"),
        "{text}"
    );
    assert_eq!(fs::read_dir(&directory).expect("a directory").count(), 0);
}

fn a_read_only_source_can_be_built() {
    let directory = tempfile::tempdir().expect("a directory");
    let source = Path::new(library::HERE).parent().expect("the workspace");
    let text = source.to_str().expect("UTF-8");
    namespaces::unshare(libc::CLONE_NEWNS);
    namespaces::mount(Path::new("none"), "/", "", libc::MS_REC | libc::MS_PRIVATE);
    namespaces::mount(source, text, "", libc::MS_BIND);
    let read_only = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY;
    namespaces::mount(source, text, "", read_only);
    assert!(fs::write(source.join("written"), "").is_err());

    // The path of the source may contain a symbolic link.
    let link = directory.path().join("source");
    symlink(source, &link).expect("a link");
    let prefix = directory.path().join("prefix");
    library::run(
        Command::new(link.join("capi/install"))
            .arg(&prefix)
            .env_remove("CARGO_TARGET_DIR"),
    );
    library::load(prefix.join("lib/libuuid.so.1"));
}

fn a_debian_package_replaces_no_file() {
    let directory = tempfile::tempdir().expect("a directory");
    library::run(
        Command::new(Path::new(library::HERE).join("deb"))
            .arg(directory.path())
            .env_remove("CC")
            .env_remove("CARGO_BUILD_TARGET"),
    );
    let package = fs::read_dir(&directory)
        .expect("a directory")
        .map(|entry| entry.expect("a package").path())
        .next()
        .expect("a package");
    let root = directory.path().join("root");
    library::run(Command::new("dpkg").arg("-x").arg(&package).arg(&root));

    let list = library::printed(Command::new("dpkg").arg("-c").arg(&package));
    let files: Vec<&str> = list
        .lines()
        .filter(|line| !line.starts_with('d'))
        .map(|line| line.split_once(" ./").expect("a path").1)
        .collect();
    assert!(
        files
            .iter()
            .all(|path| path.contains("fork-safe-uuid/") && !path.starts_with("etc/")),
        "{files:?}"
    );
    let library = files.iter().find(|path| path.ends_with("libuuid.so.1"));
    let library = root.join(library.expect("the library"));
    let folder = library.parent().expect("a folder");
    let loaded = library::printed(
        Command::new("uuidgen")
            .env("LD_LIBRARY_PATH", folder)
            .env("LD_TRACE_LOADED_OBJECTS", "1"),
    );
    assert!(
        loaded.contains(library.to_str().expect("UTF-8")),
        "{loaded}"
    );
    library::run(Command::new("uuidgen").env("LD_LIBRARY_PATH", folder));
}

/// Writes a configuration of Cargo in `directory`.
fn configure(directory: &Path, text: &str) {
    fs::create_dir(directory.join(".cargo")).expect("a directory");
    fs::write(directory.join(".cargo/config.toml"), text).expect("a file");
}

/// Returns the target for which Cargo builds when none is named.
fn host() -> String {
    let version = library::printed(Command::new("rustc").arg("-vV"));
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("a target").to_owned()
}
