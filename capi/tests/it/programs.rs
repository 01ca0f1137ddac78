//! Runs programs that were built for libuuid with this library.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use fork_safe_uuid::Uuid;
use support::{namespaces, uuids};

use crate::{blocked, library};

/// The daemon, which is not in an ordinary user's `PATH`.
const UUIDD: &str = "/usr/sbin/uuidd";

support::scenarios![
    a_daemons_new_descriptors_are_neither_read_nor_written {
        possible: namespaces::may_unshare
    },
    the_header_declares_the_types_of_util_linux {
        possible: has_headers
    },
    uuidgen_works_as_with_the_systems_libuuid {
        possible: has_uuidgen
    },
    uuidparse_shows_a_time_before_1970 {
        possible: has_uuidgen
    },
    python_marks_its_uuids_as_safe {
        possible: has_python
    },
    mkfs_gives_a_file_system_random_uuids { possible: has_mkfs },
    uuidd_hands_out_ranges_that_do_not_overlap {
        possible: has_uuidd
    },
];

/// Returns whether libuuid's header, pkg-config and a C++ compiler are installed.
pub fn has_headers() -> bool {
    (Path::new("/usr/include/uuid/uuid.h").exists() || is_missing("uuid-dev"))
        && has("pkg-config", "pkg-config")
        && has("c++", "g++")
}

fn has_uuidgen() -> bool {
    has("uuidgen", "uuid-runtime")
}

fn has_uuidd() -> bool {
    has(UUIDD, "uuid-runtime")
}

/// Returns whether Debian's Python is installed.
pub fn has_python() -> bool {
    has("/usr/bin/python3", "python3")
}

fn has_mkfs() -> bool {
    has("/sbin/mkfs.ext4", "e2fsprogs")
}

/// Returns whether there is such a program. If not, prints which package has it.
pub fn has(program: &str, package: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--help")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok() || is_missing(package)
}

/// Returns whether rustc has the standard library for a target. If not, prints how to
/// install it.
pub fn has_target(target: &str) -> bool {
    let found = library::target_libraries(target).is_dir();
    if !found && std::env::var_os(support::harness::SCENARIO).is_none() {
        eprintln!("scenarios that need Rust's {target} are ignored: rustup target add {target}");
    }
    found
}

/// Prints which package is missing, and returns `false`.
pub fn is_missing(package: &str) -> bool {
    if std::env::var_os(support::harness::SCENARIO).is_none() {
        eprintln!("scenarios that need Debian's {package} are ignored: apt-get install {package}");
    }
    false
}

/// Returns the command for a program that loads this library in place of the system's.
fn with_ours(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", library::prefix().join("lib"));
    let mut loaded = Command::new(program);
    loaded
        .env("LD_LIBRARY_PATH", library::prefix().join("lib"))
        .env("LD_TRACE_LOADED_OBJECTS", "1");
    let list = library::printed(&mut loaded);
    let ours = format!("libuuid.so.1 => {}", library::ours().display());
    assert!(list.contains(&ours) || program.contains("python"), "{list}");
    command
}

fn a_daemons_new_descriptors_are_neither_read_nor_written() {
    // libuuid gets a new folder for its clock state, which only this scenario sees.
    namespaces::unshare(libc::CLONE_NEWNS);
    namespaces::mount(Path::new("none"), "/", "", libc::MS_REC | libc::MS_PRIVATE);
    namespaces::mount(Path::new("none"), "/var/lib", "tmpfs", 0);
    fs::create_dir("/var/lib/libuuid").expect("a directory");

    let directory = tempfile::tempdir().expect("a directory");
    let (daemon, ledger) = (
        directory.path().join("daemon"),
        directory.path().join("ledger"),
    );
    compile("daemon.c", &daemon, &["-luuid"], "cc");
    // Returns what the daemon printed, or nothing if it waits for another message.
    let run = |preload: &str, what: &[&str]| {
        let mut command = Command::new(&daemon);
        command.args(what).env("LD_PRELOAD", preload);
        let output = blocked::run(&mut command, &[libc::SYS_read])?;
        assert!(output.status.success(), "{output:?}");
        Some(String::from_utf8(output.stdout).expect("UTF-8"))
    };
    let ours = library::ours();
    let ours = ours.to_str().expect("UTF-8");
    let at_ledger = ["ledger", ledger.to_str().expect("UTF-8")];
    assert_eq!(run(ours, &at_ledger).as_deref(), Some("unchanged\n"));
    assert_eq!(run(ours, &["socket"]).as_deref(), Some("unchanged\n"));
    assert!(!Path::new("/var/lib/libuuid/clock.txt").exists());

    // The control: libuuid writes its clock state to the ledger, and takes the message from
    // the socket or waits for a second one.
    let ledger = run("", &at_ledger).expect("an end");
    assert!(
        ledger.starts_with("clock: "),
        "libuuid was mended? {ledger}"
    );
    let socket = run("", &["socket"]);
    assert_ne!(
        socket.as_deref(),
        Some("unchanged\n"),
        "libuuid was mended?"
    );
}

/// Compiles a program of `tests/c` against the installed header.
pub fn compile(source: &str, program: &Path, link: &[&str], compiler: &str) {
    library::run(
        Command::new(compiler)
            .args(["-Wall", "-Wextra", "-Werror", "-O1", "-o"])
            .arg(program)
            .arg("-I")
            .arg(library::prefix().join("include"))
            .arg(Path::new(library::HERE).join("tests/c").join(source))
            .arg("-L")
            .arg(library::prefix().join("lib"))
            .args(link),
    );
}

fn the_header_declares_the_types_of_util_linux() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = |name: &str| -> PathBuf { directory.path().join(name) };
    let source = Path::new(library::HERE).join("tests/c/header.c");
    // The program also compiles with the system's header, so the types are the same.
    library::run(
        Command::new("cc")
            .args(["-Wall", "-Wextra", "-Werror", "-o"])
            .arg(program("system"))
            .arg(&source)
            .arg("-luuid"),
    );
    compile(
        "header.c",
        &program("shared"),
        &["-std=c99", "-pedantic", "-luuid"],
        "cc",
    );
    let pkg_config = library::printed(
        Command::new("pkg-config")
            .args(["--libs", "--static", "uuid"])
            .env("PKG_CONFIG_PATH", library::prefix().join("lib/pkgconfig")),
    );
    let libs: Vec<&str> = ["-static"]
        .into_iter()
        .chain(pkg_config.split_whitespace())
        .collect();
    compile("header.c", &program("static"), &libs, "cc");

    let system = library::printed(&mut Command::new(program("system")));
    let shared = library::printed(
        Command::new(program("shared")).env("LD_LIBRARY_PATH", library::prefix().join("lib")),
    );
    let alone = library::printed(&mut Command::new(program("static")));
    // The examples of RFC 9562, appendix A.
    assert_eq!(
        system,
        "5df41881-3aed-3515-88a7-2f4a814cf09e\n2ed6657d-e927-568b-95e1-2665a8aea6a2\n"
    );
    assert_eq!([&shared, &alone], [&system, &system]);

    // A C++ program includes <uuid.h>, as the pkg-config file of util-linux allows.
    let source = program("header.cc");
    fs::write(&source, "#include <uuid.h>\nint main() { uuid_t id; uuid_generate(id); return uuid_is_null(id); }\n")
        .expect("a file");
    symlink(library::prefix(), program("prefix")).expect("a link");
    library::run(
        Command::new("c++")
            .args([
                "-Wall",
                "-Wextra",
                "-Werror",
                "-pedantic",
                "-Iprefix/include/uuid",
                "header.cc",
            ])
            .args([
                "-Lprefix/lib",
                "-luuid",
                "-Wl,-rpath,prefix/lib",
                "-o",
                "plus",
            ])
            .current_dir(directory.path()),
    );
    library::run(Command::new(program("plus")).current_dir(directory.path()));
}

fn uuidgen_works_as_with_the_systems_libuuid() {
    let make = |options: &[&str]| -> Uuid {
        let printed = library::printed(with_ours("uuidgen").args(options));
        printed.trim_end().parse().expect("a UUID")
    };
    assert_eq!(make(&[]).get_version_num(), 4);
    assert_eq!(make(&["-r"]).get_version_num(), 4);
    let timed = [make(&["-t"]), make(&["-t"])];
    for id in timed {
        assert_eq!(id.get_version_num(), 1);
        assert_eq!(id.as_bytes()[10] & 1, 1, "{id} has a MAC address");
    }
    assert_ne!(timed[0].get_node_id(), timed[1].get_node_id());
    for kind in ["--md5", "--sha1"] {
        let named = |mut command: Command| {
            library::printed(command.args([
                kind,
                "--namespace",
                "@dns",
                "--name",
                "www.example.com",
            ]))
        };
        assert_eq!(
            named(with_ours("uuidgen")),
            named(Command::new("uuidgen")),
            "{kind}"
        );
    }
}

fn uuidparse_shows_a_time_before_1970() {
    let tell = |mut command: Command| {
        let id = "bf2eb110-d788-1003-aa59-ce1e9e293641";
        library::printed(command.env("TZ", "UTC").args(["-n", "-o", "TIME", id]))
    };
    let told = tell(with_ours("uuidparse"));
    assert!(told.contains(" 15:05:25,316430+"), "{told}");
    // The control: libuuid shows another time.
    let told = tell(Command::new("uuidparse"));
    assert!(!told.contains(" 15:05:25"), "libuuid was mended? {told}");
}

fn python_marks_its_uuids_as_safe() {
    let script = format!(
        r#"
import ctypes, os, uuid
assert uuid._generate_time_safe, "Python has no _uuid"
ids = [uuid.uuid1() for _ in range(1000)]
assert all(id.version == 1 and id.is_safe is uuid.SafeUUID.safe for id in ids)
assert all(id.node >> 40 & 1 for id in ids), "a MAC address"

library = ctypes.CDLL("libuuid.so.1")
def make():
    buffer = (ctypes.c_ubyte * 16)()
    library.uuid_generate(buffer)
    return uuid.UUID(bytes=bytes(buffer))
ids += [make() for _ in range(1000)]

for _ in range(20):
    output, into = os.pipe()
    if os.fork() == 0:
        os.write(into, b"".join(make().bytes + uuid.uuid1().bytes for _ in range(100)))
        os._exit(0)
    os.wait()
    data = os.read(output, 65536)
    assert len(data) == 3200
    ids += [uuid.UUID(bytes=data[at:at + 16]) for at in range(0, len(data), 16)]
assert len(set(ids)) == len(ids) == 6000, "a UUID is repeated"
loaded = {{line.split()[-1] for line in open("/proc/self/maps") if "libuuid" in line}}
assert loaded == {{{:?}}}, loaded
"#,
        library::ours()
    );
    library::run(with_ours("/usr/bin/python3").arg("-c").arg(script));
}

fn mkfs_gives_a_file_system_random_uuids() {
    let image = tempfile::NamedTempFile::new().expect("a file");
    image.as_file().set_len(8 << 20).expect("room");
    let mut names = Vec::new();
    for _ in 0..2 {
        library::run(
            with_ours("/sbin/mkfs.ext4")
                .args(["-q", "-F"])
                .arg(image.path()),
        );
        // These tools use the system's libuuid.
        let list = library::printed(Command::new("/sbin/dumpe2fs").arg("-h").arg(image.path()));
        for field in ["Filesystem UUID:", "Directory Hash Seed:"] {
            let line = list.lines().find_map(|line| line.strip_prefix(field));
            let id: Uuid = line.expect("a field").trim().parse().expect("a UUID");
            names.push(id);
        }
        library::run(
            Command::new("/sbin/e2fsck")
                .args(["-f", "-n"])
                .arg(image.path()),
        );
    }
    uuids::assert_all_good(&names);
}

fn uuidd_hands_out_ranges_that_do_not_overlap() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("socket");
    // If the scenario fails, the harness kills the daemon.
    let mut daemon = with_ours(UUIDD)
        .args(["--no-fork", "--no-pid", "--socket"])
        .arg(&socket)
        .spawn()
        .expect("uuidd");
    while UnixStream::connect(&socket).is_err() {
        assert!(daemon.try_wait().expect("a child").is_none(), "it ended");
        thread::sleep(Duration::from_millis(10));
    }
    let ask = |options: &[&str]| {
        library::printed(
            Command::new(UUIDD)
                .args(options)
                .arg("--socket")
                .arg(&socket),
        )
    };
    let several = ask(&["--random", "--uuids", "50"]);
    let ids: Vec<Uuid> = several
        .lines()
        .skip(1)
        .map(|line| line.trim().parse().expect("a UUID"))
        .collect();
    assert_eq!(ids.len(), 50);
    uuids::assert_all_good(&ids);

    let mut ranges = BTreeSet::new();
    for _ in 0..20 {
        let range = ask(&["--time", "--uuids", "1000"]);
        let (first, rest) = range.trim_end().split_once(' ').expect("two parts");
        assert_eq!(rest, "and 999 subsequent UUIDs");
        let first: Uuid = first.parse().expect("a UUID");
        assert_eq!(first.get_version_num(), 1);
        assert!(ranges.insert(*first.as_fields().3), "{first}");
    }
    daemon.kill().expect("a child");
    daemon.wait().expect("a child");
}
