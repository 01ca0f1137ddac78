//! Without entropy, the process ends. It writes the reason to standard error if that is still
//! the same file, and keeps the reason in memory for debuggers.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{namespaces, ok, process};
use tempfile::TempDir;

use crate::{blocked, library, programs};

support::scenarios![
    without_entropy_the_process_ends_and_says_why,
    a_file_that_replaced_standard_error_is_not_written_to,
    another_file_with_the_inode_of_standard_error_is_not_written_to {
        possible: namespaces::may_unshare
    },
    the_process_aborts_when_standard_error_cannot_be_written,
    debuggers_find_the_reason_in_memory,
    gdb_prints_the_reason { possible: has_gdb },
    reporting_the_reason_allocates_nothing,
    two_threads_and_a_vforked_child_may_abort,
    a_panic_writes_nothing_to_another_file { seconds: 300 },
];

const GENERATORS: [&str; 6] = [
    "uuid_generate",
    "uuid_generate_random",
    "uuid_generate_time",
    "uuid_generate_time_safe",
    "uuid_generate_time_v6",
    "uuid_generate_time_v7",
];

/// Returns whether gdb is installed.
fn has_gdb() -> bool {
    programs::has("gdb", "gdb")
}

/// Programs of `tests/c`, linked to the system's libuuid, in a directory that is deleted when
/// this value is dropped.
struct Programs(TempDir);

impl Programs {
    fn new(names: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for name in names {
            let source = format!("{name}.c");
            let link = ["-pthread", "-Wl,--no-as-needed", "-luuid"];
            programs::compile(&source, &directory.path().join(name), &link, "cc");
        }
        Self(directory)
    }

    /// Returns the path of a file in the directory.
    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns the command that runs a program with preloaded libraries.
    fn with(&self, preload: &[&Path], words: &[&str]) -> Command {
        let preload: Vec<_> = preload.iter().map(|path| path.to_str()).collect();
        let preload: Option<Vec<_>> = preload.into_iter().collect();
        let mut command = Command::new(self.at(words[0]));
        command
            .args(&words[1..])
            .env("LD_PRELOAD", preload.expect("UTF-8").join(":"))
            .stdin(Stdio::null());
        command
    }

    /// Compiles the library that removes what `option` says from the results of statx(2).
    fn credulous(&self, option: &str) -> PathBuf {
        let to = self.at(&format!("credulous{option}.so"));
        let link = ["-shared", "-fPIC", option];
        programs::compile("credulous.c", &to, &link, "cc");
        to
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// Asserts that `SIGABRT` ended a program, and returns what it printed.
#[track_caller]
fn aborted(command: &mut Command) -> String {
    let output = command.output().expect("a program");
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
    text(&output.stdout).to_owned()
}

/// Asserts that a line has the reason why there is no UUID.
#[track_caller]
fn assert_is_reason(line: &str) {
    let start = "libuuid: no entropy source: getrandom(2): ";
    assert!(
        line.starts_with(start) && line.ends_with("sandbox\n"),
        "{line:?}"
    );
}

fn without_entropy_the_process_ends_and_says_why() {
    let programs = Programs::new(&["refused"]);
    // The control: libuuid makes one from the time and the process id, and says nothing.
    let control = library::run(&mut programs.with(&[], &["refused", "uuid_generate_random"]));
    assert_eq!(text(&control.stderr), "", "libuuid was mended?");

    for name in GENERATORS {
        let output = programs
            .with(&[&library::ours()], &["refused", name])
            .output()
            .expect("a program");
        let signal = output.status.signal();
        assert_eq!(signal, Some(libc::SIGABRT), "{name}: {output:?}");
        assert_is_reason(text(&output.stderr));
    }
}

fn a_file_that_replaced_standard_error_is_not_written_to() {
    let programs = Programs::new(&["refused", "daemon"]);
    let ours = library::ours();
    let ledger = programs.at("ledger");
    let daemon = ["daemon", "dark", ledger.to_str().expect("UTF-8")];
    let run = |preload: &[&Path]| library::printed(&mut programs.with(preload, &daemon));
    assert_eq!(run(&[&ours]), "unchanged\n");
    let pipe = &mut programs.with(&[&ours], &["refused", "pipe"]);
    assert_eq!(aborted(pipe), "nothing\n");

    // The control: with statx(2) changed, any file looks like the first one.
    let credulous = programs.credulous("-DFORGET_FILE");
    assert!(run(&[&credulous, &ours]).contains("libuuid: no entropy source"));
    let pipe = &mut programs.with(&[&credulous, &ours], &["refused", "pipe"]);
    assert_is_reason(&aborted(pipe));
}

/// The other file is on another device, or was made after the first one was deleted.
fn another_file_with_the_inode_of_standard_error_is_not_written_to() {
    let programs = Programs::new(&["refused"]);
    let ours = library::ours();
    // Runs `refused` with the first file as standard error, and returns what it printed and
    // the content of the second file.
    let run = |preload: &[&Path], what: &str, first: &Path, second: &Path| {
        let stderr = File::create(first).expect("a file");
        let words = ["refused", what, second.to_str().expect("UTF-8")];
        let printed = aborted(programs.with(preload, &words).stderr(stderr));
        (printed, fs::read_to_string(second).expect("a file"))
    };

    namespaces::unshare(libc::CLONE_NEWNS);
    namespaces::mount(Path::new("none"), "/", "", libc::MS_REC | libc::MS_PRIVATE);
    let files = ["first", "second"].map(|name| {
        let device = programs.at(name);
        fs::create_dir(&device).expect("a directory");
        namespaces::mount(
            Path::new("none"),
            device.to_str().expect("UTF-8"),
            "tmpfs",
            0,
        );
        let file = device.join("file");
        File::create(&file).expect("a file");
        file
    });
    let [first, second] = &files;
    let inode = |path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).expect("a file"));
    assert_eq!(inode(first), inode(second));
    assert_eq!(run(&[&ours], "file", first, second).1, "");
    // The control: the library sees neither the device nor the time of birth, which this
    // kernel's tmpfs may have.
    let device = programs.credulous("-DFORGET_DEVICE");
    let birth = programs.credulous("-DFORGET_BIRTH");
    let preload: [&Path; 3] = [&device, &birth, &ours];
    assert_is_reason(&run(&preload, "file", first, second).1);

    let again = &programs.at("again");
    let (inode, written) = run(&[&ours], "again", again, again);
    assert_eq!(written, "");
    // The control, which needs a file system that reuses the inode at once.
    if inode == "the same inode\n" {
        let (_, written) = run(&[&birth, &ours], "again", again, again);
        assert_is_reason(&written);
    }
}

/// Standard error is a full pipe, a pipe without a reader, a file at its limit, or closed.
fn the_process_aborts_when_standard_error_cannot_be_written() {
    let programs = Programs::new(&["refused"]);
    let ours = library::ours();
    let shell = |what: &str, setting: &str, stderr: Stdio| {
        let mut shell = Command::new("sh");
        let line = format!(
            "{setting} LD_PRELOAD='{}' exec '{}' {what}",
            ours.display(),
            programs.at("refused").display()
        );
        shell
            .args(["-c", &line])
            .stdin(Stdio::null())
            .stderr(stderr);
        shell
    };
    let run = |what: &str, setting: &str, stderr: Stdio| {
        let output = shell(what, setting, stderr).output().expect("a program");
        output.status.signal()
    };
    let full = || {
        let (output, mut input) = process::pipe();
        let flags = |flags: i32| {
            // SAFETY: the call changes flags of a descriptor of this process.
            ok(unsafe { libc::fcntl(input.as_raw_fd(), libc::F_SETFL, flags) })
        };
        flags(libc::O_WRONLY | libc::O_NONBLOCK);
        while (&input).write(&[0; 4096]).is_ok() {}
        flags(libc::O_WRONLY);
        input.flush().expect("a pipe");
        (output, Stdio::from(input))
    };
    let unread = || Stdio::from(process::pipe().1);
    let limited = || Stdio::from(tempfile::tempfile().expect("a file"));

    let (_reader, stderr) = full();
    assert_eq!(run("uuid_generate", "", stderr), Some(libc::SIGABRT));
    assert_eq!(run("uuid_generate", "", unread()), Some(libc::SIGABRT));
    let limit = "ulimit -f 0;";
    assert_eq!(run("uuid_generate", limit, limited()), Some(libc::SIGABRT));
    let closed = "exec 2>&-;";
    assert_eq!(run("uuid_generate", closed, limited()), Some(libc::SIGABRT));

    // The control: a program that just writes a line ends otherwise.
    let (_reader, stderr) = full();
    let waits = blocked::run(&mut shell("write", "", stderr), &[libc::SYS_write]);
    assert!(waits.is_none(), "{waits:?}");
    assert_eq!(run("write", "", unread()), Some(libc::SIGPIPE));
    assert_eq!(run("write", limit, limited()), Some(libc::SIGXFSZ));
}

fn debuggers_find_the_reason_in_memory() {
    let programs = Programs::new(&["refused"]);
    let mut command = programs.with(&[&library::ours()], &["refused", "message"]);
    assert_is_reason(&aborted(&mut command));
}

fn gdb_prints_the_reason() {
    let programs = Programs::new(&["refused"]);
    let ledger = programs.at("ledger");
    let printed = library::printed(
        Command::new("gdb")
            .args(["-nx", "-batch", "-iex", "set debuginfod enabled off"])
            .args(["-ex", "set startup-with-shell off"])
            .arg("-ex")
            .arg(format!(
                "set environment LD_PRELOAD {}",
                library::ours().display()
            ))
            .args(["-ex", "run", "-ex", "x/s &fork_safe_uuid_abort_message"])
            .args(["--args".as_ref(), programs.at("refused").as_os_str()])
            .arg("file")
            .arg(&ledger)
            .stdin(Stdio::null()),
    );
    assert!(printed.contains("SIGABRT"), "{printed}");
    assert!(
        printed.contains(":\t\"libuuid: no entropy source: "),
        "{printed}"
    );
    assert_eq!(fs::read_to_string(ledger).expect("a file"), "");
}

/// The call is made in a signal handler that has interrupted malloc(3), and in a copy of a
/// process that was made while another thread was in malloc(3).
fn reporting_the_reason_allocates_nothing() {
    let programs = Programs::new(&["malloc"]);
    let ours = library::ours();
    for place in ["handler", "copy"] {
        for _ in 0..50 {
            aborted(&mut programs.with(&[&ours], &["malloc", place, "uuid"]));
        }
        // The control: a call that allocates waits for the lock, which is never released.
        let mut command = programs.with(&[&ours], &["malloc", place, "allocate"]);
        let hangs = blocked::run(&mut command, &[libc::SYS_futex]);
        assert!(hangs.is_none(), "{place}: {hangs:?}");
    }
}

fn two_threads_and_a_vforked_child_may_abort() {
    let programs = Programs::new(&["refused"]);
    let ours = library::ours();
    for _ in 0..100 {
        let output = programs
            .with(&[&ours], &["refused", "threads"])
            .output()
            .expect("a program");
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
        let lines: Vec<_> = text(&output.stderr).split_inclusive('\n').collect();
        assert!((1..3).contains(&lines.len()), "{lines:?}");
        lines.into_iter().for_each(assert_is_reason);
    }
    let mut vfork = programs.with(&[&ours], &["refused", "vfork"]);
    assert_eq!(library::printed(&mut vfork), "the parent continues\n");
}

/// No call of this library is known to panic, so the scenario builds a library with a function
/// that does.
fn a_panic_writes_nothing_to_another_file() {
    let programs = Programs::new(&["refused"]);
    let build = |name: &str, hook: &str| {
        let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("panicking");
        let _ = fs::remove_dir_all(copy.join("capi"));
        fs::create_dir_all(&copy).expect("a directory");
        let here = Path::new(library::HERE);
        let of = |name: &str| here.parent().expect("the workspace").join(name);
        library::run(
            Command::new("cp")
                .arg("-r")
                .args(
                    [
                        "src",
                        "capi",
                        "fork-audit",
                        "python",
                        "xtask",
                        "docs",
                        "README.md",
                        "Cargo.lock",
                        "Cargo.toml",
                        "benches",
                        "tests",
                        "examples",
                    ]
                    .map(of),
                )
                .arg(&copy),
        );
        let change = |file: &str, from: &str, to: &str| {
            let file = copy.join("capi/src").join(file);
            let text = fs::read_to_string(&file).expect("a file");
            assert!(text.contains(from), "{from}");
            fs::write(file, text.replacen(from, to, 1)).expect("a file");
        };
        change(
            "fields.rs",
            "out.write(Uuid::nil())",
            "panic!(\"for {out:?}\")",
        );
        change("load.rs", "abort::take_panics();", hook);
        let prefix = programs.at(name);
        library::run(Command::new(copy.join("capi/install")).arg(&prefix));
        prefix.join("lib/libuuid.so.1")
    };
    let run = |library: &Path| {
        let ledger = programs.at("ledger");
        let _ = fs::remove_file(&ledger);
        let words = ["refused", "clear", ledger.to_str().expect("UTF-8")];
        aborted(&mut programs.with(&[library], &words));
        fs::read_to_string(ledger).expect("a file")
    };
    let library = build("kept", "abort::take_panics();");
    assert_eq!(run(&library), "");
    // The control: with the standard library's hook, the panic is written to the file.
    let control = run(&build("lost", "let _ = abort::take_panics;"));
    assert!(control.contains("panicked at"), "{control}");
}
