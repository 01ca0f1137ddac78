//! P5: a clone of a virtual machine repeats a bounded number of UUIDs, and none after
//! `reseed()`.

pub mod clocks;
pub mod snapshots;

use support::harness::Scenario;

pub const SCENARIOS: &[&[Scenario]] = &[clocks::SCENARIOS, snapshots::SCENARIOS];
