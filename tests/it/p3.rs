//! P3: a call never waits for a lock, and works in a signal handler.

pub mod clocks;
pub mod handlers;
pub mod opening;
pub mod plugins;
pub mod threads;
pub mod torture;

use support::harness::Scenario;

pub const SCENARIOS: &[&[Scenario]] = &[
    clocks::SCENARIOS,
    handlers::SCENARIOS,
    opening::SCENARIOS,
    plugins::SCENARIOS,
    threads::SCENARIOS,
    torture::SCENARIOS,
];
