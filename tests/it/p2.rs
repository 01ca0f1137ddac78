//! P2: after a fork, parent and child never produce the same UUID.

pub mod clocks;
pub mod copies;
pub mod forest;
pub mod lineage;
pub mod pool;
pub mod sandboxes;
pub mod snapshots;
pub mod vfork;

use support::harness::Scenario;

pub const SCENARIOS: &[&[Scenario]] = &[
    clocks::SCENARIOS,
    copies::SCENARIOS,
    forest::SCENARIOS,
    lineage::SCENARIOS,
    pool::SCENARIOS,
    sandboxes::SCENARIOS,
    snapshots::SCENARIOS,
    vfork::SCENARIOS,
];
