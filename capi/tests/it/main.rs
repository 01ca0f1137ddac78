//! Tests the installed library, in comparison with the system's libuuid and in programs that were
//! built for that. Each scenario runs in its own process and has a deadline. A scenario whose
//! programs are missing prints what to install, and is ignored.
#![allow(unreachable_pub)]

mod answers;
mod archive;
mod blocked;
mod installing;
mod library;
mod loading;
mod postgres;
mod programs;
mod refusals;
mod remedies;
mod secrets;

use support::harness;

fn main() {
    if std::env::var_os(harness::SCENARIO).is_none() {
        library::install();
    }
    harness::main(
        [
            answers::parsing::SCENARIOS,
            answers::values::SCENARIOS,
            answers::generators::SCENARIOS,
            archive::SCENARIOS,
            installing::SCENARIOS,
            loading::SCENARIOS,
            postgres::SCENARIOS,
            programs::SCENARIOS,
            refusals::SCENARIOS,
            remedies::SCENARIOS,
            secrets::SCENARIOS,
        ]
        .concat(),
    );
}
