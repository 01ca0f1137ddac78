//! Applies the rules to the linked packages. A finding says who switched the feature on, and
//! where the functions are named.

use std::collections::BTreeSet;
use std::error::Error;

use cargo_metadata::semver::VersionReq;
use cargo_metadata::{Metadata, Package};

use crate::calls::{Call, Wanted, look};
use crate::graph::{Graph, Step, title};
use crate::rules::{RULES, Rule};
use crate::sources::Conditions;

/// A dependency to which a rule applies.
pub(crate) struct Finding<'a> {
    pub(crate) rule: &'static Rule,
    pub(crate) package: &'a Package,
    /// A path from a root to the package for each package that switches the feature on. There
    /// is none if the command line does.
    pub(crate) ways: Vec<Vec<Step<'a>>>,
    /// The packages that depend on `package`.
    pub(crate) dependents: Vec<&'a Package>,
    pub(crate) calls: Vec<(&'a Package, Vec<Call>)>,
    /// The files that could not be parsed. A call in them is not seen.
    pub(crate) unread: Vec<(&'a Package, Vec<String>)>,
}

/// Returns the findings, in the order of the packages' names.
pub(crate) fn audit<'a>(
    metadata: &'a Metadata,
    graph: &Graph<'a>,
    target: &str,
) -> Result<Vec<Finding<'a>>, Box<dyn Error>> {
    let mut findings = vec![];
    let mut above = vec![];
    let mut packages: Vec<_> = graph.packages.iter().map(|id| &metadata[id]).collect();
    packages.sort_by_key(|package| (&package.name, &package.version));
    for package in &packages {
        let on = graph.features(package);
        for rule in RULES.iter().filter(|rule| {
            rule.package == *package.name
                && (rule.feature.is_empty() || on.contains(rule.feature))
                && !rule.unless.iter().any(|other| on.contains(*other))
        }) {
            if !VersionReq::parse(rule.versions)?.matches(&package.version) {
                continue;
            }
            let feature = Some(rule.feature).filter(|feature| !feature.is_empty());
            let dependents = graph.dependents(&package.id);
            findings.push(Finding {
                rule,
                package,
                ways: graph.ways(package, feature),
                dependents: dependents.into_iter().map(|id| &metadata[id]).collect(),
                calls: vec![],
                unread: vec![],
            });
            above.push(graph.above(&package.id));
        }
    }
    for package in packages {
        let wanted: Vec<_> = (0..)
            .zip(&findings)
            .filter(|(number, _)| above[*number].contains(&package.id))
            .map(|(number, finding)| Wanted {
                finding: number,
                krate: finding.rule.package.to_owned(),
                local: graph
                    .local_name(&package.id, &finding.package.id)
                    .map(str::to_owned),
                functions: finding.rule.calls,
            })
            .collect();
        if wanted.is_empty() {
            continue;
        }
        let externs: BTreeSet<_> = graph.names(&package.id);
        let conditions = Conditions {
            features: graph.features(package),
            target,
        };
        let is_root = graph.is_root(&package.id);
        let mut seen = look(package, is_root, &conditions, &externs, &wanted);
        for wanted in wanted {
            let finding = &mut findings[wanted.finding];
            if let Some(calls) = seen.calls.remove(&wanted.finding) {
                finding.calls.push((package, calls.into_iter().collect()));
            }
            if !seen.unread.is_empty() {
                let unread = seen.unread.iter().cloned().collect();
                finding.unread.push((package, unread));
            }
        }
    }
    Ok(findings)
}

impl Finding<'_> {
    /// Returns the package and its feature, as in `uuid 1.29.3 with fast-rng`.
    pub(crate) fn title(&self) -> String {
        let mut text = title(self.package);
        if !self.rule.feature.is_empty() {
            text.push_str(&format!(" with {}", self.rule.feature));
        }
        text
    }

    /// Returns what happens at a fork, with closed descriptors and in a sandbox, and what to
    /// do, each with its heading.
    pub(crate) fn facts(&self) -> [(&'static str, &'static str); 4] {
        [
            ("at fork", self.rule.at_fork),
            ("descriptors closed", self.rule.closed),
            ("getrandom(2) refused", self.rule.refused),
            ("what to do", self.rule.remedy),
        ]
    }
}
