//! Installs this libuuid under a prefix, and loads it and the system's by dlopen(3).

use std::ffi::{c_char, c_int};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fork_safe_uuid::Uuid;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW, Symbol};

/// The folder `capi`.
pub const HERE: &str = env!("CARGO_MANIFEST_DIR");

pub type Generate = unsafe extern "C" fn(*mut Uuid);
pub type Parse = unsafe extern "C" fn(*const c_char, *mut Uuid) -> c_int;
pub type ParseRange = unsafe extern "C" fn(*const c_char, *const c_char, *mut Uuid) -> c_int;
pub type Named = unsafe extern "C" fn(*mut Uuid, *const Uuid, *const c_char, usize);
pub type Unparse = unsafe extern "C" fn(*const Uuid, *mut c_char);
pub type Ask = unsafe extern "C" fn(*const Uuid) -> c_int;
pub type Time = unsafe extern "C" fn(*const Uuid, *mut libc::timeval) -> libc::time_t;

/// Returns the prefix under which this libuuid is installed.
pub fn prefix() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("libuuid")
}

/// Returns the path of the installed shared library.
pub fn ours() -> PathBuf {
    prefix().join("lib/libuuid.so.1")
}

/// Builds and installs this libuuid.
pub fn install() {
    run(Command::new(Path::new(HERE).join("install")).arg(prefix()));
}

/// Installs this libuuid for another target, and returns the prefix.
pub fn install_for(target: &str, compiler: &str) -> PathBuf {
    let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join(target);
    run(Command::new(Path::new(HERE).join("install"))
        .arg(&prefix)
        .env("CARGO_BUILD_TARGET", target)
        .env("CC", compiler));
    prefix
}

/// Returns the folder of the standard library for a target, which need not exist.
pub fn target_libraries(target: &str) -> PathBuf {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", target]);
    printed(&mut rustc).trim_end().into()
}

/// Runs a program that must succeed.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    let output = command.output().expect("a program");
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs a program that must succeed, and returns what it printed.
#[track_caller]
pub fn printed(command: &mut Command) -> String {
    String::from_utf8(run(command).stdout).expect("UTF-8")
}

/// Loads a library. The system's is loaded by its bare name, and must be loaded first.
pub fn load(path: impl AsRef<Path>) -> Library {
    // SAFETY: the initialisation of a libuuid does not affect another one.
    unsafe { Library::open(Some(path.as_ref()), RTLD_NOW | RTLD_LOCAL) }.expect("a library")
}

/// Loads the system's libuuid and this one.
pub fn both() -> [Library; 2] {
    [load("libuuid.so.1"), load(ours())]
}

/// Returns a function of `library`.
///
/// # Safety
///
/// `F` is the type of the function of that name.
pub unsafe fn function<F: Copy>(library: &Library, name: &str) -> F {
    // SAFETY: the same contract.
    let symbol: Symbol<F> = unsafe { library.get(name.as_bytes()) }.expect("a function");
    *symbol
}
