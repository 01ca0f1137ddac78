//! Reads what Cargo links into a program, and finds out who switched a feature on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::env;
use std::error::Error;
use std::process::Command;

use cargo_metadata::{
    Dependency, DependencyKind, Metadata, MetadataCommand, Node, Package, PackageId,
};

/// The program to audit, and the options for Cargo.
pub(crate) struct Query<'a> {
    pub(crate) manifest: &'a str,
    pub(crate) target: &'a str,
    pub(crate) workspace: bool,
    /// Cargo's own options for features and the network.
    pub(crate) options: &'a [String],
}

impl Query<'_> {
    /// Asks `cargo metadata`.
    pub(crate) fn metadata(&self) -> Result<Metadata, cargo_metadata::Error> {
        let platform = ["--filter-platform".to_owned(), self.target.to_owned()];
        MetadataCommand::new()
            .manifest_path(self.manifest)
            .other_options([&platform, self.options].concat())
            .exec()
    }

    /// Asks `cargo tree` for the linked packages. `cargo metadata` would also switch on the
    /// features for tests, build scripts and macros.
    fn linked(&self, whole: bool) -> Result<Linked, Box<dyn Error>> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut tree = Command::new(cargo);
        tree.args(["tree", "--edges", "normal,no-proc-macro", "--prefix"])
            .args(["none", "--format", "{p}\t{f}", "--target", self.target])
            .args(["--manifest-path", self.manifest])
            .args(self.options);
        if whole {
            tree.arg("--workspace");
        }
        let tree = tree.output()?;
        if !tree.status.success() {
            return Err(String::from_utf8_lossy(&tree.stderr).trim_end().into());
        }
        let mut linked = Linked::new();
        for line in str::from_utf8(&tree.stdout)?.lines() {
            // `uuid v1.29.3 (/path/of/a/local/package)`; `(*)` follows a repeated package.
            let (package, features) = line.split_once('\t').unwrap_or((line, ""));
            if let [name, version, ..] = *package.split(' ').collect::<Vec<_>>() {
                let features = features.trim_end_matches(" (*)").split(',');
                let title = format!("{name} {}", version.trim_start_matches('v'));
                let entry = linked.entry(title).or_default();
                entry.extend(features.filter(|f| !f.is_empty()).map(str::to_owned));
            }
        }
        Ok(linked)
    }
}

/// The features of the program's packages, by the packages' titles.
type Linked = BTreeMap<String, BTreeSet<String>>;

/// A package and a feature of it, or `None` if it matters only that it is linked.
pub(crate) type Step<'a> = (&'a PackageId, Option<&'a str>);

/// The packages that are linked into the program.
pub(crate) struct Graph<'a> {
    metadata: &'a Metadata,
    linked: Linked,
    nodes: BTreeMap<&'a PackageId, &'a Node>,
    roots: BTreeSet<&'a PackageId>,
    /// The linked packages, in the order of their ids.
    pub(crate) packages: BTreeSet<&'a PackageId>,
}

impl<'a> Graph<'a> {
    pub(crate) fn new(metadata: &'a Metadata, query: &Query) -> Result<Self, Box<dyn Error>> {
        let resolve = metadata.resolve.as_ref().ok_or("Cargo resolved nothing")?;
        let root = resolve.root.as_ref().filter(|_| !query.workspace);
        let roots = match root {
            Some(root) => BTreeSet::from([root]),
            None => metadata.workspace_members.iter().collect(),
        };
        let mut graph = Self {
            metadata,
            linked: query.linked(root.is_none())?,
            nodes: resolve.nodes.iter().map(|node| (&node.id, node)).collect(),
            packages: BTreeSet::new(),
            roots: roots.clone(),
        };
        let mut queue = VecDeque::from_iter(roots);
        while let Some(id) = queue.pop_front() {
            let is_linked = graph.linked.contains_key(&title(&metadata[id]));
            if is_linked && graph.packages.insert(id) {
                queue.extend(graph.needs(id));
            }
        }
        Ok(graph)
    }

    /// Returns the features of `package` that are on.
    pub(crate) fn features(&self, package: &Package) -> &BTreeSet<String> {
        static NONE: BTreeSet<String> = BTreeSet::new();
        self.linked.get(&title(package)).unwrap_or(&NONE)
    }

    pub(crate) fn is_root(&self, id: &PackageId) -> bool {
        self.roots.contains(id)
    }

    /// Returns the normal dependencies of `id`.
    fn needs(&self, id: &PackageId) -> impl Iterator<Item = &'a PackageId> + use<'a> {
        let is_linked = |kind| kind == DependencyKind::Normal;
        let deps = self.nodes[id].deps.iter();
        deps.filter(move |dep| dep.dep_kinds.iter().any(|info| is_linked(info.kind)))
            .map(|dep| &dep.pkg)
    }

    /// Returns the crate name of `needed` in the sources of `id`, if `id` depends on it.
    pub(crate) fn local_name(&self, id: &PackageId, needed: &PackageId) -> Option<&'a str> {
        let mut deps = self.nodes[id].deps.iter();
        deps.find(|dep| dep.pkg == *needed)
            .map(|dep| dep.name.as_str())
    }

    /// Returns the names of all crates that the sources of `id` can use.
    pub(crate) fn names(&self, id: &PackageId) -> BTreeSet<String> {
        let deps = self.nodes[id].deps.iter();
        deps.map(|dep| dep.name.clone()).collect()
    }

    /// Returns the packages that depend on `needed` directly.
    pub(crate) fn dependents(&self, needed: &PackageId) -> Vec<&'a PackageId> {
        let mut dependents: Vec<_> = self.packages.iter().copied().collect();
        dependents.retain(|id| self.needs(id).any(|other| other == needed));
        dependents
    }

    /// Returns the packages that depend on `needed`, directly or indirectly.
    pub(crate) fn above(&self, needed: &PackageId) -> BTreeSet<&'a PackageId> {
        let mut above = BTreeSet::new();
        let mut queue = self.dependents(needed);
        while let Some(id) = queue.pop() {
            if above.insert(id) {
                queue.extend(self.dependents(id));
            }
        }
        above
    }

    /// Returns a path from a root to each package that switches `feature` of `package` on.
    /// Without a feature, these are the packages that depend on `package`. The shortest path
    /// comes first.
    pub(crate) fn ways(
        &self,
        package: &'a Package,
        feature: Option<&'a str>,
    ) -> Vec<Vec<Step<'a>>> {
        let target = (&package.id, feature);
        let mut direct = self.before(target);
        // A feature of the package may switch `feature` on. What counts is the other package
        // that asked for the first one.
        let mut seen = BTreeSet::from([target]);
        let mut outside = vec![];
        while let Some(step) = direct.pop() {
            if seen.insert(step) {
                match step.0 == target.0 {
                    true => direct.extend(self.before(step)),
                    false => outside.push(step),
                }
            }
        }
        let mut ways: Vec<_> = outside
            .into_iter()
            .filter_map(|step| {
                let mut way = self.way(step)?;
                way.push(target);
                Some(way)
            })
            .collect();
        // For each package, only the shortest path is kept.
        ways.sort_by_key(|way| (way.len(), self.describe(way)));
        let mut from = BTreeSet::new();
        ways.retain(|way| from.insert(way[way.len() - 2].0));
        ways
    }

    /// Returns the shortest path from a root to `step`.
    fn way(&self, step: Step<'a>) -> Option<Vec<Step<'a>>> {
        let mut after: BTreeMap<Step, Option<Step>> = [(step, None)].into();
        let mut queue = VecDeque::from([step]);
        while let Some(step) = queue.pop_front() {
            if self.is_root(step.0) {
                let mut way = vec![];
                let mut next = Some(step);
                while let Some(step) = next {
                    way.push(step);
                    next = after[&step];
                }
                return Some(way);
            }
            for before in self.before(step) {
                after.entry(before).or_insert_with(|| {
                    queue.push_back(before);
                    Some(step)
                });
            }
        }
        None
    }

    /// Returns the steps that lead directly to the given one.
    fn before(&self, (id, feature): Step<'a>) -> Vec<Step<'a>> {
        let package = &self.metadata[id];
        let mut before = vec![];
        if let Some(feature) = feature {
            let on = self.features(package);
            let own = package.features.iter();
            before.extend(
                own.filter(|(name, _)| on.contains(*name))
                    .filter(|(_, asks)| asks.iter().any(|asked| asked == feature))
                    .map(|(name, _)| (id, Some(name.as_str()))),
            );
        }
        for by in self.dependents(id) {
            self.triggers(by, package, feature, &mut before);
        }
        before
    }

    /// Adds the steps of `by` that ask for `feature` of `package`.
    fn triggers(
        &self,
        by: &'a PackageId,
        package: &Package,
        feature: Option<&str>,
        steps: &mut Vec<Step<'a>>,
    ) {
        let asking = &self.metadata[by];
        let on = self.features(asking);
        for dependency in asking.dependencies.iter().filter(|dependency| {
            dependency.name == *package.name
                && dependency.kind == DependencyKind::Normal
                && dependency.req.matches(&package.version)
                && self.is_for_target(by, dependency, package)
        }) {
            let local = dependency.rename.as_ref().unwrap_or(&dependency.name);
            let declares = match feature {
                None => true,
                Some(feature) => declares(dependency, package, feature),
            };
            if declares && !dependency.optional {
                steps.push((by, None));
                continue;
            }
            let features = asking.features.iter();
            for (name, asks) in features.filter(|(name, _)| on.contains(*name)) {
                let asks = asks.iter().any(|asked| {
                    let asked = asked.as_str();
                    let (whose, what) = asked.split_once('/').unwrap_or((asked, ""));
                    let activates = whose == local.as_str()
                        || whose.strip_prefix("dep:") == Some(local.as_str());
                    let forwards = whose.trim_end_matches('?') == local.as_str();
                    activates && declares && dependency.optional
                        || forwards && !what.is_empty() && feature == Some(what)
                });
                if asks {
                    steps.push((by, Some(name)));
                }
            }
        }
    }

    /// Returns whether the declared dependency applies to this target. Cargo lists only those
    /// that do.
    fn is_for_target(&self, by: &PackageId, dependency: &Dependency, package: &Package) -> bool {
        let mut deps = self.nodes[by].deps.iter();
        deps.any(|dep| {
            let mut kinds = dep.dep_kinds.iter();
            dep.pkg == package.id
                && kinds.any(|info| {
                    info.kind == DependencyKind::Normal && info.target == dependency.target
                })
        })
    }

    /// Returns a path as text, such as
    /// `service 0.1.0 > tower-http 0.6.6 [request-id] > uuid 1.29.3 [v4]`.
    pub(crate) fn describe(&self, way: &[Step]) -> String {
        let mut text = String::new();
        let mut last = None;
        let mut open = false;
        for (id, feature) in way {
            if last == Some(*id) {
                // This is another feature of the same package.
                if let Some(feature) = feature {
                    text.push_str(&match open {
                        true => format!(" > {feature}"),
                        false => format!(" [{feature}"),
                    });
                    open = true;
                }
                continue;
            }
            if open {
                text.push(']');
            }
            if last.is_some() {
                text.push_str(" > ");
            }
            text.push_str(&title(&self.metadata[*id]));
            open = feature.is_some();
            if let Some(feature) = feature {
                text.push_str(&format!(" [{feature}"));
            }
            last = Some(*id);
        }
        if open {
            text.push(']');
        }
        text
    }
}

/// Returns whether the declared dependency asks for `feature`.
fn declares(dependency: &Dependency, package: &Package, feature: &str) -> bool {
    let default = dependency.uses_default_features && feature == "default";
    let default = default && package.features.contains_key("default");
    default || dependency.features.iter().any(|asked| asked == feature)
}

/// Returns the name and version of a package.
pub(crate) fn title(package: &Package) -> String {
    format!("{} {}", package.name, package.version)
}
