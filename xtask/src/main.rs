//! Runs the chores of this repository. `cargo xtask` lists them.
//!
//! Each chore is a script in `xtask/commands`, whose second line is its help text.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, fs, io};

fn main() -> io::Result<ExitCode> {
    let commands = Path::new(env!("CARGO_MANIFEST_DIR")).join("commands");
    let mut names: Vec<_> = fs::read_dir(&commands)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<_>>()?;
    names.sort();

    let mut arguments = env::args_os().skip(1);
    if let Some(name) = arguments.next() {
        if names.contains(&name) {
            let status = Command::new(commands.join(name))
                .args(arguments)
                // Cargo adds its own folders to this variable, and tests must not load libraries
                // from them.
                .env_remove("LD_LIBRARY_PATH")
                .status()?;
            // A script has no exit code if a signal ended it.
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Ok(ExitCode::from(code.unwrap_or(1)));
        }
        eprintln!("no such command: {}\n", name.display());
    }
    println!("cargo xtask COMMAND [ARGUMENT...]\n");
    for name in &names {
        let script = fs::read_to_string(commands.join(name))?;
        let what = script.lines().nth(1).unwrap_or_default();
        println!("{:<10}{}", name.display(), what.trim_start_matches("# "));
    }
    Ok(ExitCode::from(2))
}
