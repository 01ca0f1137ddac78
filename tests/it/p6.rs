//! P6: version 7 UUIDs increase in each thread, and no time-based UUID stays in a wrong time.

pub mod clocks;

use support::harness::Scenario;

pub const SCENARIOS: &[&[Scenario]] = &[clocks::SCENARIOS];
