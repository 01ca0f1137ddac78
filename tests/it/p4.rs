//! P4: the crate is never silently weaker. Without entropy, it returns an error that says why.

pub mod faults;
pub mod sandboxes;

use support::harness::Scenario;

pub const SCENARIOS: &[&[Scenario]] = &[faults::SCENARIOS, sandboxes::SCENARIOS];
