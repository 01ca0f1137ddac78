//! P2: after a fork, parent and child never produce the same UUID.

pub mod copies;
pub mod forest;
pub mod lineage;
pub mod pool;
pub mod vfork;

use support::harness::Scenario;

pub const SCENARIOS: &[&[Scenario]] = &[
    copies::SCENARIOS,
    forest::SCENARIOS,
    lineage::SCENARIOS,
    pool::SCENARIOS,
    vfork::SCENARIOS,
];
