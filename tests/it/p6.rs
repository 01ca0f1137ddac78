//! P6: time-ordered UUIDs increase in each thread, and never stay in a wrong time.

pub mod clocks;

use support::harness::Scenario;

pub const SCENARIOS: &[&[Scenario]] = &[clocks::SCENARIOS];
