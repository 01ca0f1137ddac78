//! Finds the places in a package's sources that name a function which draws.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use cargo_metadata::Package;

use crate::calls::visitor::Visitor;
use crate::sources::{Conditions, Sources, starts};

mod tokens;
mod visitor;

/// The functions of one finding that are looked for in a package.
pub(crate) struct Wanted {
    /// The index of the finding.
    pub(crate) finding: usize,
    /// The crate that has the functions, by its own name.
    pub(crate) krate: String,
    /// The crate's name in the sources of the package, if the package depends on it.
    pub(crate) local: Option<String>,
    pub(crate) functions: &'static [&'static [&'static str]],
}

/// The form in which a function is named.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Form {
    Call,
    /// Without a call, as in `unwrap_or_else(Uuid::new_v4)`.
    Value,
    /// In the tokens of a macro's call or definition.
    Macro,
    /// In an attribute, such as `#[serde(default = "Uuid::new_v4")]`.
    Attribute,
}

impl Form {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Value => "value",
            Self::Macro => "macro",
            Self::Attribute => "attribute",
        }
    }
}

/// A place in a source.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Call {
    pub(crate) file: String,
    /// Counted from 1.
    pub(crate) line: usize,
    /// Counted in characters, from 1.
    pub(crate) column: usize,
    pub(crate) form: Form,
    /// The path to which the name resolves.
    pub(crate) path: String,
}

/// What was found in the sources of a package.
#[derive(Default)]
pub(crate) struct Seen {
    /// The calls of each finding, by its index.
    pub(crate) calls: BTreeMap<usize, BTreeSet<Call>>,
    /// The files that could not be parsed.
    pub(crate) unread: BTreeSet<String>,
}

/// Searches the library of a package, and its programs if `with_programs` is set.
pub(crate) fn look(
    package: &Package,
    with_programs: bool,
    conditions: &Conditions,
    externs: &BTreeSet<String>,
    wanted: &[Wanted],
) -> Seen {
    let mut seen = Seen::default();
    let starts = starts(package, with_programs);
    let parents = starts.iter().filter_map(|(root, _)| root.parent());
    if !parents.into_iter().any(|top| mentions(top, wanted)) {
        return seen;
    }
    for (root, with_orphans) in starts {
        let sources = Sources::read(package, &root, with_orphans, conditions, externs);
        seen.unread.extend(sources.unread.iter().cloned());
        for source in &sources.files {
            let mut visitor = Visitor {
                sources: &sources,
                conditions,
                wanted,
                module: source.module,
                file: &source.file,
                blocks: vec![],
                selves: vec![],
                seen: &mut seen,
            };
            visitor.items(&source.items);
        }
    }
    seen
}

/// Returns whether a file in `directory` contains the last name of a wanted function. Most
/// packages contain none, and need not be parsed.
fn mentions(directory: &Path, wanted: &[Wanted]) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            return mentions(&path, wanted);
        }
        let is_source = path.extension().is_some_and(|e| e == "rs");
        let text = is_source.then(|| fs::read_to_string(&path));
        let Some(Ok(text)) = text else {
            // A file that cannot be read is reported when it is parsed.
            return is_source;
        };
        wanted.iter().any(|wanted| {
            let mut functions = wanted.functions.iter();
            functions.any(|path| path.last().is_some_and(|last| text.contains(last)))
        })
    })
}

impl Wanted {
    /// Returns whether a path that begins with the name of a crate is one of the functions.
    fn is(&self, path: &[String]) -> bool {
        let (Some(first), true) = (path.first(), path.len() > 1) else {
            return false;
        };
        self.functions.iter().any(|function| {
            let Some(split) = path.len().checked_sub(function.len()) else {
                return false;
            };
            let (before, last) = path.split_at(split);
            // Modules may precede the function's own names: `uuid::timestamp::Timestamp::now`.
            let modules = |names: &[String]| {
                names
                    .iter()
                    .all(|name| name.chars().all(|c| !c.is_uppercase()))
            };
            if last != *function || !modules(before) || before.is_empty() {
                return false;
            }
            match &self.local {
                Some(local) if local == first => true,
                // Another crate may re-export it: `sqlx::types::Uuid`, `other::rand::rng`.
                _ => function.len() > 1 || before[1..].contains(&self.krate),
            }
        })
    }
}
