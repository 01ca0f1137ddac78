//! The promises of `docs/promises.md`, and the scenarios that show each of them.

use support::harness::Scenario;

use crate::{p1, p2, p3, p4, p5, p6};

/// The scenarios of P1, P2 and so on, in a list for each module.
const PROMISES: [&[&[Scenario]]; 6] = [
    p1::SCENARIOS,
    p2::SCENARIOS,
    p3::SCENARIOS,
    p4::SCENARIOS,
    p5::SCENARIOS,
    p6::SCENARIOS,
];

support::scenarios![each_promise_has_a_module_and_each_module_has_scenarios];

/// Returns the scenarios of all promises, and the one of this module.
pub fn all() -> Vec<Scenario> {
    [SCENARIOS, &PROMISES.concat().concat()].concat()
}

fn each_promise_has_a_module_and_each_module_has_scenarios() {
    let document = include_str!("../../docs/promises.md").lines();
    let headings: Vec<_> = document
        .filter_map(|line| line.strip_prefix("## P"))
        .collect();
    assert_eq!(headings.len(), PROMISES.len());
    for (number, (heading, modules)) in (1..).zip(headings.into_iter().zip(PROMISES)) {
        assert!(heading.starts_with(&format!("{number}. ")), "P{heading}");
        let path = format!("it::p{number}::");
        for scenarios in modules {
            assert!(!scenarios.is_empty(), "a module of P{number} is empty");
            assert!(
                scenarios
                    .iter()
                    .all(|scenario| scenario.name.starts_with(&path))
            );
        }
    }
}
