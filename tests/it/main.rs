//! Each promise, each in a fresh process with a deadline.
#![allow(unreachable_pub)]

mod harness;

#[cfg(target_os = "linux")]
mod arena;
#[cfg(target_os = "linux")]
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
mod scene;
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

fn main() {
    let everywhere: &[&[harness::Scenario]] = &[bits::SCENARIOS, values::SCENARIOS];
    #[cfg(target_os = "linux")]
    let on_linux: &[&[harness::Scenario]] = &[
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
    #[cfg(not(target_os = "linux"))]
    let on_linux = &[];
    harness::main([everywhere, on_linux].concat().concat());
}
