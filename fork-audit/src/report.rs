//! Writes the findings as text, as JSON, and as SARIF for code scanning.

use cargo_metadata::{Metadata, Package};
use serde_json::{Value, json};

use crate::audit::Finding;
use crate::calls::Call;
use crate::graph::{Graph, title};
use crate::rules::RULES;

/// The findings, and what is needed to describe them.
pub(crate) struct Report<'a> {
    pub(crate) metadata: &'a Metadata,
    pub(crate) graph: &'a Graph<'a>,
    pub(crate) target: &'a str,
    pub(crate) findings: &'a [Finding<'a>],
}

/// The number of entries of a kind that the text shows. JSON has all of them.
const SHOWN: usize = 3;

impl Report<'_> {
    /// Returns the report as text.
    pub(crate) fn human(&self) -> String {
        let mut text = String::new();
        for finding in self.findings {
            text.push_str(&finding.title());
            let mut line = |what: &str, said: &str| {
                text.push_str(&format!("\n  {what:<21} {said}"));
            };
            let what = match finding.rule.feature {
                "" => "pulled in by",
                _ => "switched on by",
            };
            let ways = finding.ways.iter().map(|way| self.graph.describe(way));
            for way in some(ways.collect(), "ways") {
                line(what, &way);
            }
            if finding.ways.is_empty() {
                line(what, "the command line, or the program itself");
            }
            let calls = finding.calls.iter().map(|(package, calls)| {
                let all = calls.iter().map(|call| {
                    let place = format!("{}:{}", call.file, call.line);
                    match call.form.name() {
                        "call" => place,
                        form => format!("{place} ({form})"),
                    }
                });
                let all = some(all.collect(), "places").join(", ");
                format!("{} {all}", title(package))
            });
            for calls in some(calls.collect(), "packages") {
                line("calls", &calls);
            }
            if finding.calls.is_empty() {
                let names = finding.dependents.iter().map(|package| title(package));
                let names = some(names.collect(), "packages").join(", ");
                line("calls", &format!("not seen in the sources of {names}"));
            }
            for (package, files) in &finding.unread {
                let files = some(files.clone(), "files").join(", ");
                line("not understood", &format!("{} {files}", title(package)));
            }
            for (what, said) in finding.facts() {
                line(what, said);
            }
            text.push_str("\n\n");
        }
        match self.findings.len() {
            0 => text.push_str("no findings\n"),
            count => text.push_str(&format!("findings: {count}\n")),
        }
        text
    }

    /// Returns the report as JSON.
    pub(crate) fn json(&self) -> String {
        let findings = self.findings.iter().map(|finding| {
            let rule = finding.rule;
            let ways = finding.ways.iter().map(|way| {
                let steps = way.iter().map(|(id, feature)| {
                    let package = &self.metadata[*id];
                    json!({ "package": package.name, "version": package.version,
                        "feature": feature })
                });
                json!(steps.collect::<Vec<_>>())
            });
            let calls = finding.calls.iter().flat_map(|(package, calls)| {
                calls.iter().map(|call| {
                    json!({ "package": package.name, "version": package.version,
                        "file": call.file, "line": call.line, "column": call.column,
                        "form": call.form.name(), "path": call.path })
                })
            });
            let unread = finding.unread.iter().flat_map(|(package, files)| {
                files.iter().map(|file| {
                    json!({ "package": package.name, "version": package.version, "file": file })
                })
            });
            json!({
                "rule": rule.id,
                "package": finding.package.name,
                "version": finding.package.version,
                "feature": Some(rule.feature).filter(|feature| !feature.is_empty()),
                "severe": rule.severe,
                "ways": ways.collect::<Vec<_>>(),
                "dependents": finding.dependents.iter().map(|p| title(p)).collect::<Vec<_>>(),
                "calls": calls.collect::<Vec<_>>(),
                "not_understood": unread.collect::<Vec<_>>(),
                "at_fork": rule.at_fork,
                "descriptors_closed": rule.closed,
                "getrandom_refused": rule.refused,
                "what_to_do": rule.remedy,
            })
        });
        lines(&json!({
            "version": 1,
            "target": self.target,
            "findings": findings.collect::<Vec<_>>(),
        }))
    }

    /// Returns the report as SARIF 2.1.0. A result points at each call in the workspace, or
    /// at the manifest's line from which the dependency is reached.
    pub(crate) fn sarif(&self) -> String {
        let rules = RULES.iter().map(|rule| {
            let versions = match rule.versions {
                "*" => String::new(),
                versions => format!(" {versions}"),
            };
            let feature = match rule.feature {
                "" => String::new(),
                feature => format!(" with {feature}"),
            };
            let subject = format!("{}{versions}{feature}", rule.package);
            json!({
                "id": rule.id,
                "shortDescription": { "text": format!("{subject} is linked into the program") },
                "fullDescription": { "text": format!("At fork: {}.", rule.at_fork) },
                "help": { "text": format!("At fork: {}. Descriptors closed: {}. getrandom(2) \
                    refused: {}. What to do: {}.", rule.at_fork, rule.closed, rule.refused,
                    rule.remedy) },
                "helpUri": "https://docs.rs/fork-safe-uuid",
                "defaultConfiguration": { "level": level(rule.severe) },
            })
        });
        let results = self.findings.iter().flat_map(|finding| {
            let index = RULES.iter().position(|rule| rule.id == finding.rule.id);
            self.places(finding)
                .into_iter()
                .map(move |(file, line, column, how)| {
                    let text = format!(
                        "{}{how}. At fork: {}. What to do: {}.",
                        finding.title(),
                        finding.rule.at_fork,
                        finding.rule.remedy
                    );
                    json!({
                        "ruleId": finding.rule.id,
                        "ruleIndex": index,
                        "level": level(finding.rule.severe),
                        "message": { "text": text },
                        "locations": [{ "physicalLocation": {
                            "artifactLocation": { "uri": file, "uriBaseId": "%SRCROOT%" },
                            "region": { "startLine": line, "startColumn": column },
                        }}],
                        "partialFingerprints": {
                            "forkAudit/v1": format!("{}:{}:{file}{how}", finding.rule.id,
                                title(finding.package)),
                        },
                    })
                })
        });
        lines(&json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": {
                    "name": "cargo-fork-audit",
                    "version": env!("CARGO_PKG_VERSION"),
                    "informationUri": "https://docs.rs/fork-safe-uuid",
                    "rules": rules.collect::<Vec<_>>(),
                }},
                "columnKind": "unicodeCodePoints",
                "invocations": [{ "executionSuccessful": true }],
                "results": results.collect::<Vec<_>>(),
            }],
        }))
    }

    /// Returns the places of a finding in the workspace: file, line, column, and text for the
    /// message.
    fn places(&self, finding: &Finding) -> Vec<(String, usize, usize, String)> {
        let is_own = |package: &Package| self.metadata.workspace_members.contains(&package.id);
        let own = finding.calls.iter().filter(|(package, _)| is_own(package));
        let places: Vec<_> = own
            .flat_map(|(package, calls)| {
                calls.iter().map(|call: &Call| {
                    let how = format!(", in the form of a {} of {}", call.form.name(), call.path);
                    (
                        self.relative(package, &call.file),
                        call.line,
                        call.column,
                        how,
                    )
                })
            })
            .collect();
        if !places.is_empty() {
            return places;
        }
        let way = finding.ways.first();
        let member = way
            .and_then(|way| way.first())
            .map(|(id, _)| &self.metadata[*id]);
        let member = member.or(finding.dependents.first().copied());
        let Some(member) = member.filter(|member| is_own(member)) else {
            return vec![("Cargo.toml".to_owned(), 1, 1, String::new())];
        };
        // The result points at the line that declares the next dependency of the path.
        let next = way.and_then(|way| way.iter().find(|(id, _)| **id != member.id));
        let next = next.map(|(id, _)| &*self.metadata[*id].name);
        let text = std::fs::read_to_string(&member.manifest_path).unwrap_or_default();
        let line =
            next.and_then(|name| (1..).zip(text.lines()).find(|(_, line)| names(line, name)));
        let how = way.map(|way| format!(" by {}", self.graph.describe(way)));
        let file = self.relative(member, "Cargo.toml");
        vec![(
            file,
            line.map_or(1, |(line, _)| line),
            1,
            how.unwrap_or_default(),
        )]
    }

    /// Returns the path of a member's file, relative to the root of the workspace, as a URI.
    fn relative(&self, package: &Package, file: &str) -> String {
        let path = package.manifest_path.with_file_name(file);
        let root = &self.metadata.workspace_root;
        let path = path.strip_prefix(root).unwrap_or(&path).as_str();
        uri(&path.replace('\\', "/"))
    }
}

/// Returns whether a line of a manifest declares the dependency `name`.
fn names(line: &str, name: &str) -> bool {
    let line = line.trim_start();
    let key = line
        .trim_start_matches("[dependencies.")
        .trim_start_matches('"');
    let key = key.strip_prefix(name);
    key.is_some_and(|rest| rest.starts_with([' ', '=', '.', ']', '"']))
}

/// Returns a path as a URI, in which other characters than letters, digits and `/-._~` are
/// percent-encoded.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(byte.into()),
            byte if byte.is_ascii_alphanumeric() => uri.push(byte.into()),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

fn level(severe: bool) -> &'static str {
    if severe { "error" } else { "warning" }
}

/// Returns the first entries and, if there are more, a line that counts them.
fn some(mut all: Vec<String>, what: &str) -> Vec<String> {
    // A single further entry takes no more room than a line that counts it.
    if all.len() > SHOWN + 1 {
        let more = all.len() - SHOWN;
        all.truncate(SHOWN);
        all.push(format!(
            "{more} more {what} (--message-format json has them)"
        ));
    }
    all
}

fn lines(value: &Value) -> String {
    format!("{value:#}\n")
}
