//! `cargo fork-audit` reads a program's dependencies and names those whose random
//! numbers do not survive fork(2), closed descriptors or a sandbox.
//!
//! The README says what the program sees and what it does not see.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::graph::{Graph, Query};
use crate::report::Report;

mod audit;
mod calls;
mod graph;
mod report;
mod rules;
mod sources;

/// Names the dependencies whose UUIDs and random numbers repeat, hang or come from
/// another descriptor after a fork.
///
/// It reads what Cargo links into the program, without tests, build scripts and the
/// dependencies of macros. It looks for calls in the sources; "not seen" does not mean that
/// there is no call.
///
/// The exit status is 0 without findings, 1 with findings, and 2 if the
/// dependencies cannot be read.
#[derive(Parser)]
#[command(name = "cargo-fork-audit", bin_name = "cargo fork-audit", version)]
struct Options {
    /// The manifest of the program, or the directory of the manifest.
    #[arg(long, value_name = "PATH", default_value = "Cargo.toml")]
    manifest_path: String,

    /// The form of the report.
    #[arg(long, value_enum, default_value_t)]
    message_format: Format,

    /// The target for which the program is built [default: Linux with glibc, on the processor
    /// of this machine].
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,

    /// Reads all members of the workspace.
    #[arg(long)]
    workspace: bool,

    /// Features to switch on.
    #[arg(short = 'F', long, value_name = "FEATURES")]
    features: Vec<String>,

    /// Switches all features on.
    #[arg(long)]
    all_features: bool,

    /// Leaves the feature `default` off.
    #[arg(long)]
    no_default_features: bool,

    /// Does not use the network.
    #[arg(long)]
    offline: bool,

    /// Fails if Cargo.lock would change.
    #[arg(long)]
    locked: bool,

    /// The same as --locked and --offline.
    #[arg(long)]
    frozen: bool,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Format {
    /// Text for people.
    #[default]
    Human,
    /// One object with all that is known.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
}

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = env::args_os().collect();
    // Cargo passes the name of the subcommand on.
    if arguments.get(1).is_some_and(|first| first == "fork-audit") {
        arguments.remove(1);
    }
    let options = match Options::try_parse_from(arguments) {
        Ok(options) => options,
        Err(message) => {
            // If nobody reads the message, the exit status still says what happened.
            let _ = message.print();
            return ExitCode::from(if message.use_stderr() { 2 } else { 0 });
        }
    };
    let status = match run(&options) {
        Ok(status) => return ExitCode::from(status),
        Err(error) => complain(&options.manifest_path, &*error),
    };
    ExitCode::from(status)
}

/// Prints the report and returns the exit status.
fn run(options: &Options) -> Result<u8, Box<dyn Error>> {
    let manifest = options.manifest();
    let target = options.target.clone();
    let target = target.unwrap_or_else(|| format!("{}-unknown-linux-gnu", env::consts::ARCH));
    let query = Query {
        manifest: &manifest,
        target: &target,
        workspace: options.workspace,
        options: &options.for_cargo(),
    };
    let metadata = query.metadata()?;
    let graph = Graph::new(&metadata, &query)?;
    let findings = audit::audit(&metadata, &graph, &target)?;
    let report = Report {
        metadata: &metadata,
        graph: &graph,
        target: &target,
        findings: &findings,
    };
    let text = match options.message_format {
        Format::Human => report.human(),
        Format::Json => report.json(),
        Format::Sarif => report.sarif(),
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The exit status does not depend on whether the report is read to its end.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(u8::from(!findings.is_empty())),
    }
}

/// Prints why there is no report, and returns the exit status for that.
fn complain(manifest: &str, error: &dyn Error) -> u8 {
    let _ = writeln!(io::stderr(), "{manifest}: {error}");
    2
}

impl Options {
    /// Returns the path of the manifest.
    fn manifest(&self) -> String {
        let path = std::path::Path::new(&self.manifest_path);
        match path.is_dir() {
            true => path.join("Cargo.toml").display().to_string(),
            false => self.manifest_path.clone(),
        }
    }

    /// Returns the options that are passed on to Cargo.
    fn for_cargo(&self) -> Vec<String> {
        let flags = [
            ("--all-features", self.all_features),
            ("--no-default-features", self.no_default_features),
            ("--offline", self.offline),
            ("--locked", self.locked),
            ("--frozen", self.frozen),
        ];
        let on = flags.iter().filter(|(_, on)| *on);
        let mut options: Vec<_> = on.map(|(flag, _)| (*flag).to_owned()).collect();
        for features in &self.features {
            options.extend(["--features".to_owned(), features.clone()]);
        }
        options
    }
}
