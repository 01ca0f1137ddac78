//! Tests the JSON and SARIF output, `--help`, the exit statuses, and a reader that closes the
//! output.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::scene::{FAST_RNG, ON_MIDDLE, audit, command, finding, json, service};

#[test]
fn json_has_ways_and_calls() {
    let root = service(ON_MIDDLE, &format!("[dependencies]\n{FAST_RNG}"));
    let report = json(&root.path().join("service"));
    assert_eq!(report["version"], 1);
    let fast = finding(&report, "uuid-fast-rng");
    let way = &fast["ways"][0];
    assert_eq!(way[0]["package"], "service");
    assert_eq!(way[1]["package"], "middle");
    assert_eq!(way[2]["feature"], "fast-rng");
    assert_eq!(fast["calls"][0]["line"], 2);
    assert_eq!(fast["calls"][0]["column"], 10);
    assert_eq!(fast["severe"], true);
    for key in [
        "at_fork",
        "descriptors_closed",
        "getrandom_refused",
        "what_to_do",
    ] {
        assert!(
            fast[key].as_str().is_some_and(|text| !text.is_empty()),
            "{key}"
        );
    }
    let nothing = service("", "");
    let report = json(&nothing.path().join("service"));
    assert_eq!(report["findings"], Value::Array(vec![]));
}

/// Asserts the properties that the SARIF 2.1.0 schema requires, and the ranges of the numbers.
/// Returns the results.
fn check_sarif(log: &Value) -> &Vec<Value> {
    assert_eq!(log["version"], "2.1.0");
    let runs = log["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 1);
    let driver = &runs[0]["tool"]["driver"];
    assert_eq!(driver["name"], "cargo-fork-audit");
    assert_eq!(runs[0]["columnKind"], "unicodeCodePoints");
    assert_eq!(runs[0]["invocations"][0]["executionSuccessful"], true);
    let rules = driver["rules"].as_array().expect("rules");
    for rule in rules {
        assert!(rule["id"].is_string());
        for text in ["shortDescription", "fullDescription", "help"] {
            assert!(rule[text]["text"].is_string(), "{rule:#}");
        }
    }
    let results = runs[0]["results"].as_array().expect("results");
    for result in results {
        assert!(result["message"]["text"].is_string(), "{result:#}");
        assert!(
            ["error", "warning"]
                .map(Value::from)
                .contains(&result["level"])
        );
        let index = result["ruleIndex"].as_u64().expect("an index");
        assert_eq!(rules[index as usize]["id"], result["ruleId"]);
        let place = &result["locations"][0]["physicalLocation"];
        let file = place["artifactLocation"]["uri"].as_str().expect("a URI");
        assert!(
            !file.starts_with('/') && !file.contains([' ', '\\']),
            "{file}"
        );
        for number in ["startLine", "startColumn"] {
            assert!(place["region"][number].as_u64() >= Some(1), "{result:#}");
        }
    }
    results
}

fn sarif(root: &std::path::Path) -> (Option<i32>, Value) {
    let (status, text) = audit(&root.join("service"), &["--message-format", "sarif"]);
    (status, serde_json::from_str(&text).expect("JSON"))
}

/// Returns the files and lines of the results of a rule.
fn places(results: &[Value], rule: &str) -> Vec<(String, u64)> {
    let results = results.iter().filter(|result| result["ruleId"] == rule);
    let places = results.map(|result| &result["locations"][0]["physicalLocation"]);
    places
        .map(|place| {
            let file = place["artifactLocation"]["uri"].as_str().expect("a URI");
            let line = place["region"]["startLine"].as_u64().expect("a line");
            (file.to_owned(), line)
        })
        .collect()
}

#[test]
fn sarif_points_at_calls_in_the_workspace() {
    let root = service(&format!("[dependencies]\n{FAST_RNG}"), "");
    let source = "\nfn f() { uuid::Uuid::new_v4(); }\nfn g() { uuid::Uuid::now_v7(); }";
    fs::write(root.path().join("service/src/lib.rs"), source).expect("a source");
    let (status, log) = sarif(root.path());
    assert_eq!(status, Some(1));
    let lib = "src/lib.rs".to_owned();
    assert_eq!(
        places(check_sarif(&log), "uuid-fast-rng"),
        [(lib.clone(), 2), (lib, 3)]
    );
}

#[test]
fn sarif_points_at_the_dependency_where_the_calls_are_elsewhere() {
    let root = service(ON_MIDDLE, &format!("[dependencies]\n{FAST_RNG}"));
    let (status, log) = sarif(root.path());
    assert_eq!(status, Some(1));
    // This line of the manifest is `middle = …`.
    let place = ("Cargo.toml".to_owned(), 6);
    assert_eq!(places(check_sarif(&log), "uuid-fast-rng"), [place]);
}

#[test]
fn sarif_without_findings_has_no_results() {
    let root = service("", "");
    let (status, log) = sarif(root.path());
    assert_eq!(status, Some(0));
    assert_eq!(check_sarif(&log).len(), 0);
}

#[test]
fn a_program_that_cannot_be_read_gives_status_2_and_no_report() {
    let root = service("[dependencies]\nmiddle = { path = \"../nowhere\" }\n", "");
    for format in ["human", "json", "sarif"] {
        for at in ["service", "nothing"] {
            let at = root.path().join(at);
            let output = command(&at, &["--message-format", format]).output();
            let output = output.expect("the program");
            assert_eq!(output.status.code(), Some(2), "{at:?}");
            assert_eq!(output.stdout, b"", "{at:?}");
            assert!(!output.stderr.is_empty(), "{at:?}");
        }
    }
}

#[test]
fn a_wrong_option_gives_status_2_and_help_gives_status_0() {
    let root = service("", "");
    let at = root.path().join("service");
    assert_eq!(audit(&at, &["--no-such-option"]).0, Some(2));
    assert_eq!(audit(&at, &["--message-format", "xml"]).0, Some(2));
    let (status, help) = audit(&at, &["--help"]);
    assert_eq!(status, Some(0));
    for option in [
        "Usage: cargo fork-audit",
        "--manifest-path",
        "--message-format",
        "sarif",
    ] {
        assert!(help.contains(option), "no {option} in {help}");
    }
}

/// Returns the exit status and the messages of an audit whose standard output is closed.
fn unread(mut command: Command) -> (Option<i32>, String) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("an end");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn the_exit_status_is_the_same_when_the_reader_closes_the_pipe() {
    let nothing = (Some(0), String::new());
    let findings = (Some(1), String::new());
    let clean = service("", "");
    let fast = service(ON_MIDDLE, &format!("[dependencies]\n{FAST_RNG}"));
    for format in ["human", "json", "sarif"] {
        let arguments = ["--message-format", format];
        assert_eq!(
            unread(command(&clean.path().join("service"), &arguments)),
            nothing
        );
        assert_eq!(
            unread(command(&fast.path().join("service"), &arguments)),
            findings
        );
    }
    assert_eq!(unread(command(clean.path(), &["--help"])), nothing);
    let (status, text) = unread(command(&clean.path().join("nowhere"), &[]));
    assert_eq!(status, Some(2), "{text}");
    assert!(!text.contains("panicked"), "{text}");
}
