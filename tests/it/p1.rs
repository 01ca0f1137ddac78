//! P1: the crate never uses another descriptor's bytes, and uses no descriptor while
//! getrandom(2) answers.

pub mod descriptors;
pub mod sandboxes;
pub mod static_build;

use support::harness::Scenario;

pub const SCENARIOS: &[&[Scenario]] = &[
    descriptors::SCENARIOS,
    sandboxes::SCENARIOS,
    static_build::SCENARIOS,
];
