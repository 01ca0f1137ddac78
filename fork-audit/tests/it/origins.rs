//! Tests which packages are reported, and who is said to have switched a feature on.

use crate::scene::{FAST_RNG, ON_MIDDLE, audit, package, service};

#[test]
fn the_report_says_who_switches_fast_rng_on() {
    let root = service(ON_MIDDLE, &format!("[dependencies]\n{FAST_RNG}"));
    let (status, text) = audit(&root.path().join("service"), &[]);
    assert_eq!(status, Some(1), "{text}");
    for part in [
        "uuid 1.29.3 with fast-rng\n",
        "  switched on by        service 0.1.0 > middle 0.2.0 > uuid 1.29.3 [fast-rng]\n",
        // Line 1 is a comment that looks like a call.
        "  calls                 middle 0.2.0 src/lib.rs:2\n",
        "up to 4096 UUIDs",
        "rand 0.10.4 with thread_rng\n",
        "middle 0.2.0 > uuid 1.29.3 [fast-rng] > rand 0.10.4 [thread_rng]\n",
        "findings: 3\n",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }

    // The control: the same without the feature.
    let root = service(ON_MIDDLE, "[dependencies]\nuuid = { path = \"../uuid\" }\n");
    let (status, text) = audit(&root.path().join("service"), &[]);
    assert_eq!((status, &*text), (Some(0), "no findings\n"));
}

#[test]
fn the_report_says_which_feature_switches_an_optional_dependency_on() {
    // tower-http has such features.
    let middle = "[features]\nrequest-id = [\"dep:uuid\"]\nfull = [\"request-id\"]\n[dependencies]\n\
        uuid = { path = \"../uuid\", features = [\"v4\"], optional = true }\n";
    let needs = "[dependencies]\nmiddle = { path = \"../middle\", features = [\"full\"] }\n";
    let root = service(needs, middle);
    let (_, text) = audit(&root.path().join("service"), &[]);
    let way = "service 0.1.0 > middle 0.2.0 [full > request-id] > uuid 1.29.3 [v4]\n";
    assert!(text.contains(way), "{text}");

    let root = service(ON_MIDDLE, middle);
    assert_eq!(audit(&root.path().join("service"), &[]).0, Some(0));
}

#[test]
fn a_package_that_depends_without_the_feature_is_not_reported_as_the_origin() {
    let needs = format!("{ON_MIDDLE}uuid = {{ path = \"../uuid\" }}\n");
    let root = service(&needs, &format!("[dependencies]\n{FAST_RNG}"));
    let (_, text) = audit(&root.path().join("service"), &[]);
    let fast = text
        .split("\n\n")
        .find(|part| part.starts_with("uuid 1.29.3 with fast-rng"));
    let fast = fast.unwrap_or_else(|| panic!("{text}"));
    assert_eq!(fast.matches("switched on by").count(), 1, "{fast}");
    assert!(
        fast.contains("service 0.1.0 > middle 0.2.0 > uuid"),
        "{fast}"
    );
}

#[test]
fn a_feature_that_is_passed_on_is_followed() {
    let needs = "[dependencies]\nmiddle = { path = \"../middle\", features = [\"fast\"] }\n";
    let middle = "[features]\nfast = [\"ids/fast-rng\"]\n\
                  [dependencies]\nids = { path = \"../uuid\", package = \"uuid\" }\n";
    let root = service(needs, middle);
    let (status, text) = audit(&root.path().join("service"), &[]);
    assert_eq!(status, Some(1), "{text}");
    let way = "service 0.1.0 > middle 0.2.0 [fast] > uuid 1.29.3 [fast-rng]\n";
    assert!(text.contains(way), "{text}");

    let root = service(ON_MIDDLE, middle);
    assert_eq!(audit(&root.path().join("service"), &[]).0, Some(0));
}

#[test]
fn a_feature_of_the_command_line_counts() {
    let needs =
        "[features]\nfast = [\"uuid/fast-rng\"]\n[dependencies]\nuuid = { path = \"../uuid\" }\n";
    let root = service(needs, "");
    let at = root.path().join("service");
    assert_eq!(audit(&at, &[]).0, Some(0));
    let (status, text) = audit(&at, &["--features", "fast"]);
    assert_eq!(status, Some(1));
    assert!(
        text.contains("service 0.1.0 [fast] > uuid 1.29.3 [fast-rng]\n"),
        "{text}"
    );
}

#[test]
fn tests_build_scripts_and_macros_are_left_out() {
    let uuid = "[dependencies]\nuuid = { path = \"../uuid\" }\n";
    let dev = format!("{uuid}[dev-dependencies]\n{FAST_RNG}");
    let build = format!("{uuid}[build-dependencies]\n{FAST_RNG}");
    let macros = format!("[lib]\nproc-macro = true\n[dependencies]\n{FAST_RNG}");
    for (needs, middle) in [(&*dev, ""), (&*build, ""), (ON_MIDDLE, &*macros)] {
        let root = service(needs, middle);
        let (status, text) = audit(&root.path().join("service"), &[]);
        assert_eq!((status, &*text), (Some(0), "no findings\n"), "{needs}");
    }
}

#[test]
fn each_version_gets_the_text_for_it() {
    for (name, version, expected) in [
        ("uuid", "1.12.1", "up to 15 UUIDs"),
        ("uuid7", "1.8.0", "one lock"),
        ("getrandom", "0.2.17", "nothing, if the system call answers"),
        ("getrandom", "0.4.3", "in a static glibc program"),
    ] {
        let needs = format!("[dependencies]\n{name} = {{ path = \"../{name}\" }}\n");
        let needs = needs.replace("/uuid\"", "/uuid\", features = [\"fast-rng\"]");
        let root = service(&needs, "");
        package(
            root.path(),
            name,
            version,
            "[features]\nfast-rng = []\n",
            "",
        );
        let (status, text) = audit(&root.path().join("service"), &[]);
        assert_eq!(status, Some(1), "{text}");
        assert!(text.contains(expected), "no {expected:?} in {text}");
        assert!(text.ends_with("findings: 1\n"), "{text}");
    }
}
