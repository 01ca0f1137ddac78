//! Each promise, each in a fresh process with a deadline.
#![allow(unreachable_pub)]

#[cfg(target_os = "linux")]
mod arena;
mod bits;
#[cfg(target_os = "linux")]
mod clocks;
#[cfg(target_os = "linux")]
mod copies;
#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod forest;
#[cfg(any(windows, target_os = "wasi"))]
mod forkless;
#[cfg(target_os = "linux")]
mod guest;
#[cfg(target_os = "linux")]
mod handlers;
#[cfg(target_os = "linux")]
mod hazards;
#[cfg(target_os = "linux")]
mod lineage;
#[cfg(target_os = "linux")]
mod opening;
#[cfg(target_os = "linux")]
mod plugins;
#[cfg(target_os = "linux")]
mod pool;
#[cfg(target_os = "linux")]
mod rules;
#[cfg(target_os = "linux")]
mod sandboxes;
#[cfg(target_os = "linux")]
mod snapshots;
#[cfg(target_os = "linux")]
mod static_build;
#[cfg(target_os = "linux")]
mod threads;
#[cfg(target_os = "linux")]
mod torture;
mod values;
#[cfg(target_os = "linux")]
mod vfork;

use support::harness;

fn main() {
    let everywhere: &[&[harness::Scenario]] = &[bits::SCENARIOS, values::SCENARIOS];
    #[cfg(target_os = "linux")]
    let in_part: &[&[harness::Scenario]] = &[
        clocks::SCENARIOS,
        copies::SCENARIOS,
        descriptors::SCENARIOS,
        faults::SCENARIOS,
        forest::SCENARIOS,
        handlers::SCENARIOS,
        hazards::SCENARIOS,
        lineage::SCENARIOS,
        opening::SCENARIOS,
        plugins::SCENARIOS,
        pool::SCENARIOS,
        rules::SCENARIOS,
        rules::layers::SCENARIOS,
        rules::tags::SCENARIOS,
        sandboxes::SCENARIOS,
        snapshots::SCENARIOS,
        static_build::SCENARIOS,
        threads::SCENARIOS,
        torture::SCENARIOS,
        vfork::SCENARIOS,
    ];
    #[cfg(any(windows, target_os = "wasi"))]
    let in_part: &[&[harness::Scenario]] = &[forkless::SCENARIOS];
    #[cfg(not(any(target_os = "linux", windows, target_os = "wasi")))]
    let in_part = &[];
    harness::main([everywhere, in_part].concat().concat());
}
