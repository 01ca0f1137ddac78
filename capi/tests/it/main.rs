//! The library as it is installed: beside the system's, and under programs
//! that know nothing of it. Each scenario has a process of its own, and a
//! deadline; one whose programs are missing says so and is ignored.
#![allow(unreachable_pub)]

mod answers;
mod archive;
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
            answers::SCENARIOS,
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
