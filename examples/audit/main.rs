//! Am I affected? Reads a program's dependencies and names those whose random
//! numbers do not survive fork(2), closed descriptors or a sandbox.
//!
//! ```text
//! cargo run --example audit -- ../my-service
//! cargo run --example audit -- ../my-service --no-default-features --offline
//! ```
//!
//! It reads what Cargo links into the program on Linux: no tests, no build
//! scripts, no macros. Calls are searched for as text, in the `src` of the
//! packages that depend on a finding: a hint, and no proof.
//!
//! The exit status is 0 without findings, 1 with findings, 2 if the
//! dependencies cannot be read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use cargo_metadata::semver::VersionReq;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Node, Package, PackageId};

use rules::{RULES, Rule};

mod rules;

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let Some(manifest) = arguments.next() else {
        eprintln!("usage: audit DIRECTORY [OPTIONS OF CARGO]");
        return ExitCode::from(2);
    };
    match audit(&manifest, &arguments.collect::<Vec<_>>()) {
        Ok(0) => {
            println!("no findings");
            ExitCode::SUCCESS
        }
        Ok(findings) => {
            println!("findings: {findings}");
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("{manifest}: {error}");
            ExitCode::from(2)
        }
    }
}

/// Prints the findings and returns their number.
fn audit(manifest: &str, options: &[String]) -> Result<usize, Box<dyn Error>> {
    let mut manifest = PathBuf::from(manifest);
    if manifest.is_dir() {
        manifest.push("Cargo.toml");
    }
    let linux = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let metadata = MetadataCommand::new()
        .manifest_path(&manifest)
        .other_options([&["--filter-platform".to_owned(), linux.clone()], options].concat())
        .exec()?;
    let program = Program::new(&metadata, linked(&manifest, &linux, options)?);
    let program = program.ok_or("no dependencies in it")?;
    let mut findings = 0;
    for id in program.came_by.keys() {
        let package = &metadata[id];
        for rule in RULES.iter().filter(|rule| rule.package == *package.name) {
            let versions = VersionReq::parse(rule.versions)?;
            if versions.matches(&package.version)
                && let Some(finding) = program.finding(rule, package)
            {
                println!("{finding}");
                findings += 1;
            }
        }
    }
    Ok(findings)
}

/// The packages of the program, by title, and their features.
type Linked = BTreeMap<String, BTreeSet<String>>;

/// Asks `cargo tree`, as `cargo metadata` switches on what tests, build scripts
/// and macros ask for, too.
fn linked(manifest: &Path, target: &str, options: &[String]) -> Result<Linked, Box<dyn Error>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = Command::new(cargo)
        .args([
            "tree",
            "--edges",
            "normal,no-proc-macro",
            "--prefix",
            "none",
        ])
        .args([
            "--format",
            "{p}\t{f}",
            "--target",
            target,
            "--manifest-path",
        ])
        .arg(manifest)
        .args(options)
        .output()?;
    if !tree.status.success() {
        return Err(String::from_utf8_lossy(&tree.stderr).into());
    }
    let mut linked = Linked::new();
    for line in str::from_utf8(&tree.stdout)?.lines() {
        // `uuid v1.29.3 (/if/it/is/local)`, and `(*)` after one that was there.
        let (package, features) = line.split_once('\t').unwrap_or((line, ""));
        if let [name, version, ..] = *package.split(' ').collect::<Vec<_>>() {
            let features = features.trim_end_matches(" (*)").split(',');
            let title = format!("{name} {}", version.trim_start_matches('v'));
            let entry = linked.entry(title).or_default();
            entry.extend(features.map(str::to_owned));
        }
    }
    Ok(linked)
}

/// What is linked into the program.
struct Program<'a> {
    metadata: &'a Metadata,
    linked: Linked,
    nodes: BTreeMap<&'a PackageId, &'a Node>,
    /// The package through which each was reached first, by the shortest way.
    came_by: BTreeMap<&'a PackageId, Option<&'a PackageId>>,
}

impl<'a> Program<'a> {
    fn new(metadata: &'a Metadata, linked: Linked) -> Option<Self> {
        let resolve = metadata.resolve.as_ref()?;
        let mut program = Self {
            metadata,
            linked,
            nodes: resolve.nodes.iter().map(|node| (&node.id, node)).collect(),
            came_by: BTreeMap::new(),
        };
        let mut queue: VecDeque<_> = match &resolve.root {
            Some(root) => [(root, None)].into(),
            None => metadata
                .workspace_members
                .iter()
                .map(|m| (m, None))
                .collect(),
        };
        while let Some((id, by)) = queue.pop_front() {
            if program.linked.contains_key(&title(&metadata[id]))
                && !program.came_by.contains_key(id)
            {
                program.came_by.insert(id, by);
                queue.extend(program.needs(id).map(|needed| (needed, Some(id))));
            }
        }
        Some(program)
    }

    fn needs(&self, id: &PackageId) -> impl Iterator<Item = &'a PackageId> + use<'a> {
        let is_linked = |kind| kind == DependencyKind::Normal;
        let deps = self.nodes[id].deps.iter();
        deps.filter(move |dep| dep.dep_kinds.iter().any(|info| is_linked(info.kind)))
            .map(|dep| &dep.pkg)
    }

    /// `None`, if the rule's feature is off.
    fn finding(&self, rule: &Rule, package: &Package) -> Option<String> {
        let (feature, title) = (rule.feature, title(package));
        let mut dependents = self.came_by.keys().copied().collect::<Vec<_>>();
        dependents.retain(|id| self.needs(id).any(|needed| *needed == package.id));
        let mut finding = title.clone();
        let mut origins = dependents.clone();
        if !feature.is_empty() {
            self.linked[&title].get(feature)?;
            finding.push_str(&format!(" with {feature}"));
            origins.retain(|id| self.asks(id, package, feature));
        }
        // Nobody, if it was asked for on the command line.
        let origin = origins.first().or(dependents.first());
        let mut line = |what, text: &str| finding.push_str(&format!("\n  {what:<21} {text}"));
        let way = self.way(origin.copied()) + &title;
        line("pulled in by", &and_more(way, origins.len()));
        if !rule.calls.is_empty() {
            let calls = dependents.iter().filter_map(|id| {
                let package = &self.metadata[*id];
                Some(format!("{} {}", package.name, calls(package, rule.calls)?))
            });
            let calls = calls.collect::<Vec<_>>().join("; ");
            let seen = Some(calls).filter(|calls| !calls.is_empty());
            line(
                "calls",
                seen.as_deref().unwrap_or("none seen: do without it"),
            );
        }
        line("at fork", rule.at_fork);
        line("descriptors closed", rule.closed);
        line("getrandom(2) refused", rule.refused);
        line("what to do", rule.remedy);
        Some(finding + "\n")
    }

    /// Whether this package switches `feature` on, in its dependency or by a
    /// feature of its own.
    fn asks(&self, id: &PackageId, of: &Package, feature: &str) -> bool {
        let package = &self.metadata[id];
        let on = &self.linked[&title(package)];
        let forwarded = on.iter().filter_map(|on| package.features.get(on));
        let forwarded = forwarded.flatten().collect::<Vec<_>>();
        let default = of.features.get("default");
        let is_default = default.is_some_and(|all| all.iter().any(|one| one == feature));
        package.dependencies.iter().any(|dependency| {
            let local = dependency.rename.as_ref().unwrap_or(&dependency.name);
            let names = [format!("{local}/{feature}"), format!("{local}?/{feature}")];
            dependency.name == *of.name
                && dependency.kind == DependencyKind::Normal
                && dependency.req.matches(&of.version)
                && (dependency.uses_default_features && is_default
                    || dependency.features.iter().any(|asked| asked == feature)
                    || forwarded.iter().any(|asked| names.contains(asked)))
        })
    }

    /// The way from the root down to `id`, as text.
    fn way(&self, mut id: Option<&'a PackageId>) -> String {
        let mut way = String::new();
        while let Some(package) = id {
            way.insert_str(0, &format!("{} > ", title(&self.metadata[package])));
            id = self.came_by[package];
        }
        way
    }
}

fn title(package: &Package) -> String {
    format!("{} {}", package.name, package.version)
}

fn and_more(first: String, count: usize) -> String {
    match count {
        0 | 1 => first,
        count => format!("{first}, and {} more", count - 1),
    }
}

/// Where `package` has one of `patterns` first, and how often.
fn calls(package: &Package, patterns: &[&str]) -> Option<String> {
    let root = package.manifest_path.with_file_name("");
    let mut files = vec![];
    sources(root.join("src").as_std_path(), &mut files);
    let mut calls = vec![];
    for file in files {
        let place = file.strip_prefix(&root).ok()?.display();
        for (number, line) in (1..).zip(fs::read_to_string(&file).ok()?.lines()) {
            let code = line.split("//").next()?;
            if patterns.iter().any(|pattern| code.contains(pattern)) {
                calls.push(format!("{place}:{number}"));
            }
        }
    }
    let count = calls.len();
    Some(and_more(calls.into_iter().next()?, count))
}

/// Sources that are not at hand have no calls.
fn sources(directory: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}
