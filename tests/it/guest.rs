//! Builds the programs of `tests/guest` and the library of `tests/plugin`, and runs them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, thread};

use support::harness::{SCENARIO, step};

use crate::rules::tags;

pub mod rows;

use rows::Rows;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const TEMPORARY: &str = env!("CARGO_TARGET_TMPDIR");

/// A way to compile a program.
pub struct Way<'a> {
    pub name: &'static str,
    /// What the release profile of Cargo has in place of its own.
    pub profile: &'static [&'static str],
    /// The flags of rustc.
    pub flags: &'a [&'a str],
}

pub const RELEASE: Way<'static> = Way {
    name: "opt-level 3",
    profile: &[],
    flags: &[],
};

/// Builds a program of this workspace with optimisation, and returns its path.
pub fn build(program: &str, flags: &[&str]) -> PathBuf {
    let _turn = turn();
    // Cargo builds everything again if the flags change.
    let target = format!("guest{}", flags.concat());
    let way = Way { flags, ..RELEASE };
    let [program] = build_at(Path::new(ROOT), &target, [program], &way);
    program
}

/// Waits until no other scenario builds, and keeps others from it until the file is closed.
fn turn() -> File {
    let lock = File::create(Path::new(TEMPORARY).join("lock")).expect("a file");
    however_long("waits until another scenario has built its program", || {
        lock.lock().expect("a lock");
    });
    lock
}

/// Does `work` that is no part of what a scenario shows, and tells the harness all the while
/// that it makes progress. A compiler says nothing for as long as it compiles one crate.
fn however_long<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            step(what);
            while is_done.recv_timeout(Duration::from_secs(10))
                == Err(mpsc::RecvTimeoutError::Timeout)
            {
                step(what);
            }
        });
        let result = work();
        drop(done);
        result
    })
}

fn build_at<const N: usize>(
    root: &Path,
    target: &str,
    programs: [&str; N],
    way: &Way,
) -> [PathBuf; N] {
    let mut what = vec!["--package", "guest"];
    what.extend(programs.iter().flat_map(|program| ["--bin", program]));
    run_cargo(root, target, &what, way);
    programs.map(|program| keep(&results(target).join(program)))
}

/// The target for which programs are built. With a target, Cargo does not use the flags for
/// build scripts and macros.
fn triple() -> String {
    let libc = if cfg!(target_env = "musl") {
        "musl"
    } else {
        "gnu"
    };
    format!("{}-unknown-linux-{libc}", env::consts::ARCH)
}

/// Returns the directory of what was built in a target directory.
fn results(target: &str) -> PathBuf {
    let target = Path::new(TEMPORARY).join(target);
    target.join(triple()).join("release")
}

/// Builds with optimisation, and returns what Cargo printed.
fn run_cargo(root: &Path, target: &str, what: &[&str], way: &Way) -> Output {
    let cargo = env::var_os("CARGO").expect("run by cargo");
    let mut command = Command::new(cargo);
    command
        .current_dir(root)
        .args(["build", "--quiet", "--release"])
        .args(
            way.profile
                .iter()
                .map(|entry| format!("--config=profile.release.{entry}")),
        )
        .args(what)
        .args(["--target", &triple()])
        .arg("--target-dir")
        .arg(Path::new(TEMPORARY).join(target))
        .env("RUSTFLAGS", way.flags.join(" "))
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    let output = however_long(&format!("builds {what:?}"), || command.output());
    let output = output.expect("cargo");
    assert!(output.status.success(), "{}", text(&output));
    output
}

/// Returns the name of this scenario, as a part of a file's name.
fn scenario() -> String {
    env::var(SCENARIO)
        .expect("in a scenario")
        .replace("::", "-")
}

/// Copies `built` for this scenario, because the next build replaces it.
fn keep(built: &Path) -> PathBuf {
    let file = built.file_name().and_then(|name| name.to_str());
    let name = format!("{}-{}", scenario(), file.expect("a name"));
    let result = Path::new(TEMPORARY).join(name);
    fs::copy(built, &result).expect("a program");
    result
}

/// Builds the shared library of `tests/plugin` with optimisation, and returns its path.
pub fn build_library() -> PathBuf {
    let _turn = turn();
    run_cargo(Path::new(ROOT), "guest", &["--package", "loaded"], &RELEASE);
    keep(&results("guest").join("libloaded.so"))
}

/// Compiles and links a C program of `tests/guest`. Returns `None` if there is no compiler or
/// no such library.
pub fn compile_static(source: &str, library: &str) -> Option<PathBuf> {
    let program = Path::new(TEMPORARY).join(source).with_extension("");
    let output = Command::new("cc")
        .args(["-O2", "-Wall", "-Werror", "-static", "-o"])
        .arg(&program)
        .arg(Path::new(ROOT).join("tests/guest").join(source))
        .arg(library)
        .output();
    output
        .is_ok_and(|output| output.status.success())
        .then_some(program)
}

/// Builds this crate for the library, and returns its object code.
pub fn build_objects() -> Vec<u8> {
    let _turn = turn();
    let what = [
        "--package",
        "loaded",
        "--message-format=json-render-diagnostics",
    ];
    let output = run_cargo(Path::new(ROOT), "guest", &what, &RELEASE);
    // The directory may have older files. Cargo prints the path of the one that it used.
    let messages = String::from_utf8(output.stdout).expect("JSON");
    let is_rlib = |part: &&str| part.contains("/libfork_safe_uuid-") && part.ends_with(".rlib");
    let path = messages.split('"').find(is_rlib).expect("this crate");
    fs::read(path).expect("object code")
}

pub fn run(program: &Path, arguments: &[&str]) -> Output {
    run_by(Command::new(program).args(arguments))
}

/// Runs a program, and returns what it wrote to standard output. What it writes to standard
/// error are its steps, which the harness sees at once.
pub fn run_by(command: &mut Command) -> Output {
    step(format_args!("runs {command:?}"));
    command
        .stderr(Stdio::inherit())
        .output()
        .expect("the guest")
}

pub fn text(output: &Output) -> String {
    let text = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// Returns whether programs that step through instructions can run.
pub fn on_x86_64() -> bool {
    cfg!(target_arch = "x86_64")
}

#[track_caller]
pub fn assert_passes(program: &str, arguments: &[&str]) {
    let output = run(&build(program, &[]), arguments);
    assert!(output.status.success(), "{}", text(&output));
}

/// A tag or a file of `src`, a part of the code below the tag or in the file, and the code that
/// replaces it.
pub type Change<S = &'static str> = (&'static str, S, S);

/// Leaves out the hardware numbers, which hide that a UUID can be predicted. If the compiler knew
/// that there are none, it would inline other functions than in the real code.
pub const WITHOUT_HARDWARE: [Change; 1] = [(
    "engine/hardware.rs",
    "sys::hardware_random()",
    "core::hint::black_box(None::<u64>)",
)];

/// Builds programs with a copy of this crate that has `changes`. Each of them must match.
pub fn build_changed<S: AsRef<str>, const N: usize>(
    programs: [&str; N],
    changes: &[Change<S>],
) -> [PathBuf; N] {
    build_changed_in(&RELEASE, programs, changes)
}

/// Compiles in another way what [`build_changed`] builds.
pub fn build_changed_in<S: AsRef<str>, const N: usize>(
    way: &Way,
    programs: [&str; N],
    changes: &[Change<S>],
) -> [PathBuf; N] {
    let _turn = turn();
    let copy = Path::new(TEMPORARY).join("changed");
    let _ = fs::remove_dir_all(&copy);
    for part in [
        "src",
        "capi",
        "fork-audit",
        "python",
        "xtask",
        "tests",
        "benches",
        "examples",
        "Cargo.toml",
        "Cargo.lock",
        "docs",
        "README.md",
    ] {
        copy_tree(&Path::new(ROOT).join(part), &copy.join(part));
    }
    let src = copy.join("src");
    for (place, from, to) in changes {
        let (from, to) = (from.as_ref(), to.as_ref());
        if !place.ends_with(".rs") {
            tags::change(&src, place, from, to);
            continue;
        }
        let path = src.join(place);
        let text = fs::read_to_string(&path).expect("a file of src");
        assert!(text.contains(from), "{place} has no {from:?} any more");
        fs::write(&path, text.replace(from, to)).expect("a copy");
    }
    // All copies are built in one directory. Cargo tells them apart by their versions.
    let version = concat!(
        "name = \"fork-safe-uuid\"\nversion = \"",
        env!("CARGO_PKG_VERSION")
    );
    let own = format!("{version}+{}", scenario().replace('_', "-"));
    for file in ["Cargo.toml", "Cargo.lock"].map(|name| copy.join(name)) {
        let text = fs::read_to_string(&file).expect("a file of Cargo");
        assert!(text.contains(version));
        fs::write(file, text.replace(version, &own)).expect("a copy");
    }
    // Cargo compiles what has a new time. So each scenario keeps its copy, and writes only the
    // files that differ from those of the last run.
    let kept = Path::new(TEMPORARY).join(scenario());
    copy_tree(&copy, &kept);
    build_at(&kept, "guest-changed", programs, way)
}

/// Asserts that `program` fails with `changes`, and that its rows then count `key`.
#[track_caller]
pub fn assert_broken_by(program: &str, arguments: &[&str], key: &str, changes: &[Change]) {
    let [program] = build_changed([program], changes);
    let output = run(&program, arguments);
    let text = text(&output);
    println!("{text}");
    assert_eq!(output.status.code(), Some(1), "nothing was found");
    assert!(Rows::read(&text).count(key) > 0, "{key}");
}

/// Makes `to` a copy of a tree. The files that already were equal keep their times.
fn copy_tree(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("a directory");
        for entry in fs::read_dir(to).expect("a directory") {
            let old = entry.expect("an entry").path();
            if !from.join(old.file_name().expect("a name")).exists() {
                let _ = fs::remove_file(&old).or_else(|_| fs::remove_dir_all(&old));
            }
        }
        for entry in fs::read_dir(from).expect("a directory") {
            let name = entry.expect("an entry").file_name();
            copy_tree(&from.join(&name), &to.join(&name));
        }
    } else if from.exists() {
        let content = fs::read(from).expect("a file");
        if fs::read(to).ok().as_ref() != Some(&content) {
            fs::write(to, content).expect("a file");
        }
    }
}
