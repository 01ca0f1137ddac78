//! Runs each scenario by executing this binary again. A scenario has a process and its main
//! thread to itself, so that it may fork, close descriptors and enter a sandbox.
//!
//! How long a scenario takes depends on what else the machine does, so that is not limited.
//! But a scenario that writes nothing for a while makes no progress: it hangs, and is killed
//! with all its children. A scenario that takes long writes a line at each [`step`].

use std::fmt::Display;
use std::process::{Command, Stdio, exit};
use std::time::{Duration, Instant};
use std::{env, fs, panic, thread};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tempfile::NamedTempFile;

/// A test that has a process to itself.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// The path of its function.
    pub name: &'static str,
    /// The function, which panics if a promise is broken.
    pub run: fn(),
    /// Returns whether the scenario can run on this machine. If not, it is listed as ignored.
    pub possible: fn() -> bool,
    /// The seconds without a [`step`] or other output after which the scenario hangs: it has
    /// failed, and is killed. Under an emulator it has ten times as many.
    pub seconds: u64,
    /// Whether the scenario takes too long for every day. Then only
    /// `cargo test --release --test it -- --ignored NAME` runs it.
    pub slow: bool,
}

impl Scenario {
    /// Returns a scenario that can run on any machine, and hangs if it makes no progress for a
    /// minute. A step takes a fraction of a second on a quiet machine.
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

/// The variable that is set to `all` where scenarios repeat a scene as often as they can.
const TURNS: &str = "FORK_SAFE_UUID_TURNS";

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

/// Returns how often a scenario repeats a scene: `all` times in `cargo xtask ci`, and a tenth
/// of that in `cargo test`.
pub fn turns(all: usize) -> usize {
    if takes_all_turns() { all } else { all / 10 }
}

/// Returns whether scenarios repeat their scenes as often as they can.
pub fn takes_all_turns() -> bool {
    env::var_os(TURNS).is_some_and(|turns| turns == "all")
}

/// Tells the harness that the scenario makes progress, and what it does next.
pub fn step(next: impl Display) {
    let line = format!("{next}\n");
    #[cfg(target_os = "linux")]
    crate::descriptors::report(&line);
    #[cfg(not(target_os = "linux"))]
    eprint!("{line}");
}

/// How often the harness tells the user about a scenario that is still running.
const NEWS: Duration = Duration::from_secs(20);

/// What a scenario has written, as its harness sees it.
struct Output {
    file: NamedTempFile,
    length: u64,
    /// For how long the scenario has written nothing.
    silence: Duration,
    looked: Instant,
}

impl Output {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            file: NamedTempFile::new()?,
            length: 0,
            silence: Duration::ZERO,
            looked: Instant::now(),
        })
    }

    /// Returns for how long the scenario has written nothing. If the harness itself was stopped
    /// or had to wait, so had the scenario: at most a second is counted between two looks.
    fn silence(&mut self) -> std::io::Result<Duration> {
        let since = self.looked.elapsed().min(Duration::from_secs(1));
        self.looked = Instant::now();
        let length = self.file.as_file().metadata()?.len();
        if length == self.length {
            self.silence += since;
        } else {
            (self.length, self.silence) = (length, Duration::ZERO);
        }
        Ok(self.silence)
    }

    fn text(&self) -> String {
        let text = fs::read(self.file.path()).expect("a file");
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Returns the last line, which says what the scenario does.
    fn last(&self) -> String {
        let text = self.text();
        let last = text.lines().rfind(|line| !line.is_empty());
        last.unwrap_or("its beginning").to_owned()
    }
}

/// Runs a scenario in another process, and returns what became of it.
pub fn stage(scenario: Scenario) -> Result<Completion, Failed> {
    let mut output = Output::new()?;
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
    // Both streams have one position in the file.
    let end = output.file.reopen()?;
    command
        .env(SCENARIO, scenario.name)
        .stdin(Stdio::null())
        .stdout(end.try_clone()?)
        .stderr(end);
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn()?;
    let patience = scenario.seconds * if is_emulated() { 10 } else { 1 };
    let (begin, mut news) = (Instant::now(), NEWS);
    let outcome = loop {
        if let Some(status) = child.try_wait()? {
            break Ok(status);
        }
        let silence = output.silence()?;
        if silence >= Duration::from_secs(patience) {
            break Err(silence);
        }
        if begin.elapsed() >= news {
            let (name, seconds) = (scenario.name, news.as_secs());
            eprintln!("{name} has run for {seconds} s: {}", output.last());
            news += NEWS;
        }
        thread::sleep(Duration::from_millis(5));
    };
    // SAFETY: the process group was made for this scenario.
    #[cfg(unix)]
    unsafe {
        libc::kill(-(child.id() as i32), libc::SIGKILL);
    }
    #[cfg(target_os = "linux")]
    if outcome.is_ok_and(was_left_out) {
        return Ok(Completion::ignored_with(output.text().trim()));
    }
    match outcome {
        Ok(status) if status.success() => Ok(Completion::Completed),
        Ok(status) => Err(format!("{status}\n{}", output.text()).into()),
        Err(silence) => {
            // Elsewhere than on Unix there is no group that was killed.
            let _ = child.kill();
            child.wait()?;
            let (seconds, last) = (silence.as_secs(), output.last());
            let what = format!("hung: no progress for {seconds} s after: {last}");
            Err(format!("{what}\n{}", output.text()).into())
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
