//! The tags of `src`, such as `[P2 alive-first]`: a promise, and the name of a step that
//! keeps it, in a comment above the step that gives the reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::ALL;

support::scenarios![each_tag_is_of_a_promise_and_of_a_rule];

pub const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// How many lines of code below a tag a rule may change.
const REACH: usize = 15;

struct Tag {
    promise: String,
    name: String,
    file: PathBuf,
    /// The number of lines up to the tag.
    line: usize,
}

/// Replaces the first `from` in the code below the tag `name`.
pub fn change(src: &Path, name: &str, from: &str, to: &str) {
    let tags = read(src);
    let tag = tags.iter().find(|tag| tag.name == name);
    let tag = tag.unwrap_or_else(|| panic!("there is no tag {name}"));
    let text = fs::read_to_string(&tag.file).expect("a file");
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let is_comment = |line: &&&str| line.trim_start().starts_with("//");
    let begin = tag.line + lines[tag.line..].iter().take_while(is_comment).count();
    let (before, after) = lines.split_at(begin);
    let (code, rest) = after.split_at(REACH.min(after.len()));
    let code = code.concat();
    assert!(
        code.contains(from),
        "{name} has no {from:?} any more:\n{code}"
    );
    let changed = [before.concat(), code.replacen(from, to, 1), rest.concat()];
    fs::write(&tag.file, changed.concat()).expect("a copy");
}

fn read(src: &Path) -> Vec<Tag> {
    let mut tags = vec![];
    for file in files(src) {
        let text = fs::read_to_string(&file).expect("a file");
        for (line, content) in (1..).zip(text.lines()) {
            let found = content.split_once("[P");
            let is_tag = |tag: &str| tag.starts_with(|first: char| first.is_ascii_digit());
            let Some((before, tag)) = found.filter(|(_, tag)| is_tag(tag)) else {
                continue;
            };
            assert_eq!(before.trim(), "//", "not a tag's place: {content}");
            let (tag, _) = tag.split_once(']').expect("the end of a tag");
            let (number, name) = tag.split_once(' ').expect("a number and a name");
            tags.push(Tag {
                promise: format!("P{number}"),
                name: name.to_owned(),
                file: file.clone(),
                line,
            });
        }
    }
    tags
}

/// Returns all files of Rust in and below `directory`.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

fn each_tag_is_of_a_promise_and_of_a_rule() {
    let promises = include_str!("../../../docs/promises.md");
    let mut names = BTreeSet::new();
    for Tag { promise, name, .. } in read(Path::new(SOURCES)) {
        assert!(
            promises.contains(&format!("\n## {promise}. ")),
            "{name}: {promise}"
        );
        let is_kebab = |letter: char| letter.is_ascii_lowercase() || letter == '-';
        assert!(name.chars().all(is_kebab), "{name}");
        assert!(names.insert(name.clone()), "{name} stands in two places");
    }
    let rules = ALL.iter().copied().flatten();
    let used = rules.flat_map(|rule| rule.changes);
    let used = used.map(|&(tag, ..)| tag.to_owned()).collect();
    let other: Vec<_> = names.symmetric_difference(&used).collect();
    assert!(other.is_empty(), "only in src, or only in rules: {other:?}");
}
