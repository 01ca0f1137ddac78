//! Each form in which a function can be named is found, and text that only looks like it is
//! not.

use std::fs;

use crate::scene::{audit, finding, json, service};

const NEEDS: &str = "[features]\noff = []\n[dependencies]\n\
    uuid = { path = \"../uuid\", features = [\"fast-rng\"] }\n\
    rand = { path = \"../rand\" }\n";

/// Returns the lines, columns and forms of the calls that are found in a `lib.rs`.
fn seen(rule: &str, source: &str) -> Vec<(u64, u64, String)> {
    let root = service(NEEDS, "");
    fs::write(root.path().join("service/src/lib.rs"), source).expect("a source");
    let report = json(&root.path().join("service"));
    let calls = finding(&report, rule)["calls"].as_array().expect("calls");
    let number = |value: &serde_json::Value| value.as_u64().expect("a number");
    let calls = calls.iter().filter(|call| call["package"] == "service");
    calls
        .map(|call| {
            assert_eq!(call["file"], "src/lib.rs");
            let form = call["form"].as_str().expect("a form").to_owned();
            (number(&call["line"]), number(&call["column"]), form)
        })
        .collect()
}

/// Asserts that one call is found, at `line` and in the form `form`.
#[track_caller]
fn found(rule: &str, line: u64, form: &str, source: &str) {
    let seen = seen(rule, source);
    let places: Vec<_> = seen
        .iter()
        .map(|(line, _, form)| (*line, &**form))
        .collect();
    assert_eq!(places, [(line, form)], "{source}");
}

/// Asserts that one call of `uuid` is found.
#[track_caller]
fn uuid(line: u64, form: &str, source: &str) {
    found("uuid-fast-rng", line, form, source);
}

/// Asserts that one call of `rand` is found.
#[track_caller]
fn rand(line: u64, form: &str, source: &str) {
    found("rand-0.9", line, form, source);
}

/// Asserts that no call is found.
#[track_caller]
fn none(source: &str) {
    assert_eq!(seen("uuid-fast-rng", source), [], "{source}");
    assert_eq!(seen("rand-0.9", source), [], "{source}");
}

#[test]
fn a_plain_call_is_found() {
    uuid(1, "call", "fn f() { uuid::Uuid::new_v4(); }");
    uuid(2, "call", "use uuid::Uuid;\nfn f() { Uuid::now_v7(); }");
    uuid(1, "call", "fn f() { ::uuid::NonNilUuid::now_v6(&[0; 6]); }");
    uuid(
        1,
        "call",
        "fn f() { uuid::timestamp::context::ContextV1::new_random(); }",
    );
}

#[test]
fn the_column_counts_characters() {
    let source = "fn f() { \"ä\"; uuid::Uuid::new_v4(); }";
    let at = [(1, 15, "call".to_owned())];
    assert_eq!(seen("uuid-fast-rng", source), at);
}

#[test]
fn a_function_of_another_name_is_not_found() {
    none("fn f() { uuid::Uuid::nil(); }");
    none("// Uuid::new_v4()\n/// Uuid::new_v4()\nfn f() { \"uuid::Uuid::new_v4()\"; }");
    none("struct Uuid; impl Uuid { fn new_v4() {} } fn f() { Uuid::new_v4(); }");
    none("mod uuid { pub struct Uuid; } fn f() { uuid::Uuid::new_v4(); }");
    none("trait New { fn new_v4(); } fn f<Uuid: New>() { Other::new_v4(); }");
}

#[test]
fn a_call_by_another_name_of_the_type_is_found() {
    uuid(2, "call", "use uuid::Uuid as Id;\nfn f() { Id::new_v4(); }");
    uuid(
        2,
        "call",
        "use uuid::{self as ids};\nfn f() { ids::Uuid::new_v4(); }",
    );
    uuid(
        2,
        "call",
        "extern crate uuid as ids;\nfn f() { ids::Uuid::new_v4(); }",
    );
    uuid(2, "call", "use uuid::*;\nfn f() { Uuid::new_v4(); }");
    none("use std::string::String as Id;\nfn f() { Id::new_v4(); }");
}

#[test]
fn a_call_by_a_type_alias_is_found() {
    uuid(2, "call", "type Id = uuid::Uuid;\nfn f() { Id::new_v4(); }");
    let elsewhere = "mod ids { pub type Id = uuid::Uuid; }\nuse ids::Id;\nfn f() { Id::new_v4(); }";
    uuid(3, "call", elsewhere);
    let above =
        "pub use uuid::Uuid as Id;\nmod inner {\nuse super::*;\nfn f() { Id::new_v4(); }\n}";
    uuid(4, "call", above);
    none("type Id = String;\nfn f() { Id::new_v4(); }");
}

#[test]
fn a_call_by_self_in_an_impl_for_the_type_is_found() {
    let start = "type Id = uuid::Uuid;\ntrait Make { type Of; fn make(); }\n";
    let id = "impl Make for Id { type Of = u8;\nfn make() { Self::new_v4(); } }";
    uuid(4, "call", &format!("{start}{id}"));
    let of = "impl Make for u8 { type Of = Id;\nfn make() { Self::Of::new_v4(); } }";
    uuid(4, "call", &format!("{start}{of}"));
    let as_trait =
        "impl Make for u8 { type Of = Id;\nfn make() { <Self as Make>::Of::new_v4(); } }";
    uuid(4, "call", &format!("{start}{as_trait}"));
    none("struct Id; impl Id { fn new_v4() {} fn f() { Self::new_v4(); } }");
}

#[test]
fn a_call_by_a_qualified_type_is_found() {
    uuid(2, "call", "use uuid::Uuid;\nfn f() { <Uuid>::new_v4(); }");
    uuid(
        2,
        "macro",
        "use uuid::Uuid;\nfn f() { println!(\"{}\", <Uuid>::new_v4()); }",
    );
    none("use uuid::Uuid;\ntrait T { fn new_v4(); }\nfn f() { <Uuid as T>::new_v4(); }");
}

#[test]
fn a_call_over_several_lines_is_found() {
    uuid(1, "call", "fn f() { uuid::Uuid::\n    new_v4\n    (); }");
}

#[test]
fn a_function_as_a_value_is_found() {
    uuid(
        2,
        "value",
        "use uuid::Uuid;\nfn f() { None.unwrap_or_else(Uuid::new_v4); }",
    );
    rand(
        2,
        "value",
        "use rand::random;\nfn f() { std::iter::repeat_with(random::<u8>); }",
    );
}

#[test]
fn a_path_in_an_attribute_is_found() {
    let serde = "use uuid::Uuid;\nstruct S {\n#[serde(default = \"Uuid::new_v4\")] id: Uuid }";
    uuid(3, "attribute", serde);
    let builder =
        "use uuid::Uuid;\nstruct S {\n#[builder(default = \"Uuid::new_v4()\")] id: Uuid }";
    uuid(3, "attribute", builder);
    let clap = "use uuid::Uuid;\nstruct S {\n#[arg(default_value_t = Uuid::new_v4())] id: Uuid }";
    uuid(3, "attribute", clap);
    none("use uuid::Uuid;\n#[doc = \"Uuid::new_v4()\"]\nstruct S;");
    none("use uuid::Uuid;\nstruct S {\n#[serde(rename = \"see Uuid for new_v4\")] id: Uuid }");
    none("use uuid::Uuid;\n#[cfg_attr(test, x(Uuid::new_v4()))]\nstruct S;");
}

#[test]
fn a_call_of_an_imported_function_is_found() {
    rand(
        2,
        "call",
        "use rand::{Rng, rng};\nfn f() { rng().random(); }",
    );
    rand(
        2,
        "call",
        "use rand::random;\nfn f() { let id: u128 = random(); }",
    );
    rand(
        2,
        "call",
        "use rand::prelude::*;\nfn f() { random::<u8>(); }",
    );
    rand(
        3,
        "call",
        "fn f() {\nuse rand::rng;\nlet rng = rng(); rng.next(); g(rng) }",
    );
    rand(
        2,
        "macro",
        "use rand::random;\nfn f() { println!(\"{}\", random::<u8>()); }",
    );
    none("fn random() {}\nfn f() { random(); }");
    none("use rand::rng;\nfn f(rng: u8) { g(rng); }");
    none("use rand::rng;\nfn f() { other.rng(); }");
    none("use rand::rng;\nfn f() { println!(\"{}\", x.rng()); }");
}

#[test]
fn a_path_in_the_tokens_of_a_macro_is_found() {
    uuid(
        2,
        "macro",
        "use uuid::Uuid as Id;\nfn f() { vec![Id::new_v4(); 3]; }",
    );
    uuid(
        2,
        "macro",
        "macro_rules! id { () => {\n$crate::inner::Uuid::new_v4() } }\n\
        mod inner { pub use uuid::Uuid; }",
    );
    uuid(
        3,
        "macro",
        "cfg_if! { if #[cfg(unix)] {\nuse uuid::Uuid;\nfn f() { Uuid::new_v4(); } } }",
    );
    none("fn f() { vec![Uuid::new_v4(); 3]; }");
    none("use uuid::Uuid;\nfn f() { println!(\"Uuid::new_v4()\"); }");
}

#[test]
fn a_call_in_code_that_is_not_compiled_is_not_found() {
    none("#[cfg(test)] mod tests { fn f() { uuid::Uuid::new_v4(); } }");
    none("#[test] fn f() { uuid::Uuid::new_v4(); }");
    none("#[cfg(all(unix, feature = \"off\"))] fn f() { uuid::Uuid::new_v4(); }");
    none("#[cfg(windows)] fn f() { uuid::Uuid::new_v4(); }");
    uuid(
        1,
        "call",
        "#[cfg(not(feature = \"off\"))] fn f() { uuid::Uuid::new_v4(); }",
    );
    uuid(
        1,
        "call",
        "#[cfg(any(windows, unknown))] fn f() { uuid::Uuid::new_v4(); }",
    );
}

#[test]
fn a_call_by_a_type_that_another_crate_re_exports_is_found() {
    let root = service(
        "[dependencies]\nmiddle = { path = \"../middle\" }\n",
        &format!("[dependencies]\n{}", crate::scene::FAST_RNG),
    );
    let at = root.path();
    fs::write(
        at.join("middle/src/lib.rs"),
        "pub mod types { pub use uuid::Uuid; }",
    )
    .expect("a source");
    let source = "use middle::types::Uuid;\nfn f() { Uuid::new_v4(); }";
    fs::write(at.join("service/src/lib.rs"), source).expect("a source");
    let report = json(&at.join("service"));
    let calls = &finding(&report, "uuid-fast-rng")["calls"];
    assert_eq!(calls.as_array().map(Vec::len), Some(1), "{calls}");
    assert_eq!(calls[0]["path"], "middle::types::Uuid::new_v4");
    assert_eq!(calls[0]["line"], 2);
}

#[test]
fn a_call_in_a_module_of_another_file_is_found() {
    let root = service(NEEDS, "");
    let src = root.path().join("service/src");
    let source = "mod a; #[path = \"odd.rs\"] mod b; #[cfg(test)] mod tests;\n\
        cfg_if! { if #[cfg(unix)] { mod c; } }";
    let call = "fn f() { uuid::Uuid::new_v4(); }";
    fs::write(src.join("lib.rs"), source).expect("a source");
    fs::create_dir(src.join("a")).expect("a directory");
    for (file, text) in [
        ("a.rs", "mod deep;"),
        ("a/deep.rs", call),
        ("odd.rs", call),
        ("c.rs", call),
        ("tests.rs", call),
    ] {
        fs::write(src.join(file), text).expect("a source");
    }
    let report = json(&root.path().join("service"));
    let calls = finding(&report, "uuid-fast-rng")["calls"].as_array();
    let files: Vec<_> = calls
        .expect("calls")
        .iter()
        .map(|call| &call["file"])
        .collect();
    assert_eq!(files, ["src/a/deep.rs", "src/c.rs", "src/odd.rs"]);
}

#[test]
fn a_report_without_calls_says_that_none_was_seen() {
    let root = service(NEEDS, "");
    let (status, text) = audit(&root.path().join("service"), &[]);
    assert_eq!(status, Some(1));
    assert!(
        text.contains("not seen in the sources of service 0.1.0"),
        "{text}"
    );
    assert!(!text.contains("without it"), "{text}");
}

#[test]
fn a_file_that_cannot_be_parsed_is_named() {
    let root = service(NEEDS, "");
    let source = "fn f() { Uuid::new_v4() ";
    fs::write(root.path().join("service/src/lib.rs"), source).expect("a source");
    let (_, text) = audit(&root.path().join("service"), &[]);
    assert!(
        text.contains("not understood        service 0.1.0 src/lib.rs\n"),
        "{text}"
    );
}
