//! The scenarios of this crate. Each runs in a process of its own, with a deadline.
//!
//! A scenario that shows a promise of `docs/promises.md` is called `PROMISE::SUBJECT::FACT`,
//! such as `p2::vfork::a_spawned_program_inherits_no_state`. A part of the name selects
//! scenarios: `p2::` selects those of a promise, and `clocks::` those of a subject in all
//! promises. A scenario that shows no single promise has no `PROMISE::`.
#![allow(unreachable_pub)]

mod bits;
#[cfg(any(windows, target_os = "wasi"))]
mod forkless;
mod values;

#[cfg(target_os = "linux")]
mod arena;
#[cfg(target_os = "linux")]
mod guest;
#[cfg(target_os = "linux")]
mod hazards;
#[cfg(target_os = "linux")]
mod p1;
#[cfg(target_os = "linux")]
mod p2;
#[cfg(target_os = "linux")]
mod p3;
#[cfg(target_os = "linux")]
mod p4;
#[cfg(target_os = "linux")]
mod p5;
#[cfg(target_os = "linux")]
mod p6;
#[cfg(target_os = "linux")]
mod progress;
#[cfg(target_os = "linux")]
mod promises;
#[cfg(target_os = "linux")]
mod rules;
#[cfg(target_os = "linux")]
mod timestamps;

fn main() {
    let scenarios = [bits::SCENARIOS, values::SCENARIOS].concat();
    #[cfg(target_os = "linux")]
    // The longest begins first, so that the others run beside it.
    let scenarios = [
        rules::SCENARIOS,
        &scenarios,
        hazards::SCENARIOS,
        progress::SCENARIOS,
        rules::layers::SCENARIOS,
        rules::tags::SCENARIOS,
        &promises::all(),
    ]
    .concat();
    #[cfg(any(windows, target_os = "wasi"))]
    let scenarios = [&scenarios, forkless::SCENARIOS].concat();
    support::harness::main(scenarios);
}
