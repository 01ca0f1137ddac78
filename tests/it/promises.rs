//! The promises of `docs/promises.md`, and the scenarios that show each of them.

use support::harness::Scenario;

use crate::{p1, p2, p3, p4, p5, p6};

/// The modules of P1, P2 and so on.
const MODULES: [&[&[Scenario]]; 6] = [
    p1::SCENARIOS,
    p2::SCENARIOS,
    p3::SCENARIOS,
    p4::SCENARIOS,
    p5::SCENARIOS,
    p6::SCENARIOS,
];

/// Returns the scenarios of all promises.
pub fn all() -> Vec<Scenario> {
    MODULES.concat().concat()
}
