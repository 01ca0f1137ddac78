//! Runs each scenario by executing this binary again. A scenario has a process and its main
//! thread to itself, so that it may fork, close descriptors and enter a sandbox. If it takes
//! too long, it is killed with all its children.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Command, Stdio, exit};
use std::time::{Duration, Instant};
use std::{env, panic, thread};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// A test that has a process to itself.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// The path of its function.
    pub name: &'static str,
    /// The function, which panics if a promise is broken.
    pub run: fn(),
    /// Returns whether the scenario can run on this machine. If not, it is listed as ignored.
    pub possible: fn() -> bool,
    /// The seconds after which the scenario is killed and has failed.
    pub seconds: u64,
    /// Whether the scenario takes too long for every day. Then only
    /// `cargo test --release --test it -- --ignored NAME` runs it.
    pub slow: bool,
}

impl Scenario {
    /// Returns a scenario that can run on any machine and is killed after a minute.
    pub const fn new(name: &'static str, run: fn()) -> Self {
        Self {
            name,
            run,
            possible: || true,
            seconds: 60,
            slow: false,
        }
    }
}

/// Defines `SCENARIOS`: `scenarios![a, b { seconds: 300 }]` lists the functions `a` and `b` of
/// the calling module, and sets fields of [`Scenario`](crate::harness::Scenario).
#[macro_export]
macro_rules! scenarios {
    ($($function:ident $({ $($field:ident: $value:expr),* })?),* $(,)?) => {
        pub const SCENARIOS: &[$crate::harness::Scenario] = &[$(
            $crate::harness::Scenario {
                $($($field: $value,)*)?
                ..$crate::harness::Scenario::new(
                    concat!(module_path!(), "::", stringify!($function)),
                    $function,
                )
            }
        ),*];
    };
}

/// The variable that tells this program which scenario it is to be.
pub const SCENARIO: &str = "FORK_SAFE_UUID_SCENARIO";

/// The variable that has the command that runs a scenario's program: an emulator and its
/// options.
pub const RUNNER: &str = "FORK_SAFE_UUID_RUNNER";

/// The variable that has the factor by which deadlines are multiplied and [`turns`] divided.
/// It is 10 under a [`RUNNER`] unless it is set.
const PATIENCE: &str = "FORK_SAFE_UUID_PATIENCE";

/// Returns whether an emulator runs this scenario. It is then much slower, and the emulator
/// may not have what the scenario needs.
pub fn is_emulated() -> bool {
    env::var_os(RUNNER).is_some()
}

/// Ends a scenario that needs `what` the emulator does not have, with all its processes, and
/// lists it as ignored. Without an emulator the scenario fails.
#[cfg(target_os = "linux")]
#[track_caller]
pub fn leave_out(what: &str) -> ! {
    assert!(is_emulated(), "this kernel does not have {what}");
    eprintln!("there is no {what}");
    // SAFETY: the process group was made for this scenario.
    unsafe { libc::kill(0, LEFT_OUT) };
    loop {
        thread::park();
    }
}

#[cfg(target_os = "linux")]
const LEFT_OUT: i32 = libc::SIGUSR2;

/// Runs the scenarios that the arguments of this program select, or the one that [`SCENARIO`]
/// names in this process.
pub fn main(scenarios: Vec<Scenario>) -> ! {
    if let Ok(name) = env::var(SCENARIO) {
        let scenario = scenarios.iter().find(|scenario| scenario.name == name);
        be(scenario.expect("a known scenario"));
    }
    let trials = scenarios
        .into_iter()
        .map(|scenario| {
            let name = scenario.name.trim_start_matches("it::");
            let ignored = scenario.slow || !(scenario.possible)();
            Trial::ignorable_test(name, move || stage(scenario)).with_ignored_flag(ignored)
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit()
}

/// Runs a scenario in this process, and exits.
fn be(scenario: &Scenario) -> ! {
    #[cfg(target_os = "linux")]
    {
        crate::descriptors::begin();
        #[cfg(target_endian = "little")]
        crate::sandbox::begin();
    }
    let outcome = panic::catch_unwind(scenario.run);
    exit(if outcome.is_ok() { 0 } else { 101 })
}

/// Returns the factor by which deadlines are multiplied.
pub fn patience() -> u64 {
    match env::var(PATIENCE) {
        Ok(factor) => factor.parse().expect("a factor"),
        Err(_) if is_emulated() => 10,
        Err(_) => 1,
    }
}

/// Returns how often a scenario repeats what it repeats many times: `number` times, or a
/// fraction of it where deadlines are multiplied.
pub fn turns(number: usize) -> usize {
    number / patience() as usize
}

/// Runs a scenario in another process, and returns what became of it.
fn stage(scenario: Scenario) -> Result<Completion, Failed> {
    let mut output = tempfile::tempfile()?;
    let program = env::current_exe()?;
    let runner = env::var(RUNNER).unwrap_or_default();
    let mut words = runner.split_whitespace();
    let mut command = match words.next() {
        Some(emulator) => {
            let mut command = Command::new(emulator);
            command.args(words).arg(program);
            command
        }
        None => Command::new(program),
    };
    command
        .env(SCENARIO, scenario.name)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?);
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn()?;
    let deadline = Instant::now() + Duration::from_secs(patience() * scenario.seconds);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if Instant::now() > deadline {
            break None;
        }
        thread::sleep(Duration::from_millis(2));
    };
    // SAFETY: the process group was made for this scenario.
    #[cfg(unix)]
    unsafe {
        libc::kill(-(child.id() as i32), libc::SIGKILL);
    }
    #[cfg(target_os = "linux")]
    if status.is_some_and(was_left_out) {
        return Ok(Completion::ignored_with(text(&mut output).trim()));
    }
    match status {
        Some(status) if status.success() => Ok(Completion::Completed),
        Some(status) => Err(format!("{status}\n{}", text(&mut output)).into()),
        None => {
            child.wait()?;
            Err(format!("hung\n{}", text(&mut output)).into())
        }
    }
}

/// Returns whether [`leave_out`] ended the scenario. Some emulators turn its signal into an
/// exit status.
#[cfg(target_os = "linux")]
fn was_left_out(status: std::process::ExitStatus) -> bool {
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    is_emulated() && (signal == Some(LEFT_OUT) || status.code() == Some(128 + LEFT_OUT))
}

fn text(output: &mut File) -> String {
    let mut text = Vec::new();
    output.rewind().expect("a file");
    output.read_to_end(&mut text).expect("readable");
    String::from_utf8_lossy(&text).into_owned()
}
