//! Reads the sources of a package, and resolves the names in its modules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{Package, TargetKind};
use syn::{Attribute, Item, Meta};

use self::conditions::string;
pub(crate) use self::conditions::{Conditions, attributes};
pub(crate) use self::names::{Names, Segments, plain, segments};

mod conditions;
mod names;
mod resolve;

#[derive(Default)]
struct Module {
    names: Names,
    parent: usize,
    children: BTreeMap<String, usize>,
    path: Segments,
}

/// A source file, and the module that it contains.
pub(crate) struct Source {
    /// The path, relative to the package.
    pub(crate) file: String,
    pub(crate) module: usize,
    pub(crate) items: Vec<Item>,
}

/// One library or program of a package.
pub(crate) struct Sources<'a> {
    conditions: &'a Conditions<'a>,
    package: PathBuf,
    /// The edition is 2015, in which paths in `use` begin at the root of the crate.
    old: bool,
    externs: &'a BTreeSet<String>,
    modules: Vec<Module>,
    pub(crate) files: Vec<Source>,
    /// The files that could not be parsed.
    pub(crate) unread: Vec<String>,
    seen: BTreeSet<PathBuf>,
    /// The files that `cfg` leaves out.
    left_out: Vec<PathBuf>,
}

impl<'a> Sources<'a> {
    /// Reads the file `root` and the files of its modules. `externs` are the names of other
    /// crates.
    pub(crate) fn read(
        package: &Package,
        root: &Path,
        with_orphans: bool,
        conditions: &'a Conditions,
        externs: &'a BTreeSet<String>,
    ) -> Self {
        let mut sources = Self {
            conditions,
            package: package.manifest_path.with_file_name("").into(),
            old: package.edition.as_str() == "2015",
            externs,
            modules: vec![Module::default()],
            files: vec![],
            unread: vec![],
            seen: BTreeSet::new(),
            left_out: vec![],
        };
        let directory = root.parent().unwrap_or(root).to_owned();
        sources.file(root, 0, &directory);
        if with_orphans {
            sources.orphans(&directory, &directory, 0);
        }
        sources
    }

    fn file(&mut self, file: &Path, module: usize, directory: &Path) {
        if !self.seen.insert(file.to_owned()) {
            return;
        }
        let name = file.strip_prefix(&self.package).unwrap_or(file);
        let name = name.display().to_string();
        let parsed = fs::read_to_string(file).map(|text| syn::parse_file(&text));
        let Ok(Ok(parsed)) = parsed else {
            self.unread.push(name);
            return;
        };
        self.items(&parsed.items, module, file, directory, false);
        self.files.push(Source {
            file: name,
            module,
            items: parsed.items,
        });
    }

    /// Notes the names of a module, and follows its `mod` items.
    fn items(&mut self, items: &[Item], module: usize, file: &Path, at: &Path, inline: bool) {
        for item in items {
            let is_left_out = self.conditions.exclude(attributes(item));
            if let Item::Mod(child) = item {
                let name = child.ident.to_string();
                let paths = self.paths(&child.attrs, file, at, inline);
                let nested = at.join(&name);
                let below = nested.join("mod.rs");
                if is_left_out {
                    self.left_out.extend(paths);
                    self.left_out.extend([nested.with_extension("rs"), nested]);
                    continue;
                }
                let index = self.child(module, &name);
                if let Some((_, items)) = &child.content {
                    self.items(items, index, file, &nested, true);
                } else {
                    for path in paths {
                        // Its child modules are in its own folder, as those of a `mod.rs`.
                        let directory = path.parent().unwrap_or(at).to_owned();
                        self.file(&path, index, &directory);
                    }
                    for path in [nested.with_extension("rs"), below] {
                        if path.is_file() {
                            self.file(&path, index, &nested);
                        }
                    }
                }
            } else if !is_left_out {
                self.modules[module].names.item(item);
            }
        }
    }

    /// Returns the existing files that `#[path]` names, also within `cfg_attr`.
    fn paths(&self, attrs: &[Attribute], file: &Path, at: &Path, inline: bool) -> Vec<PathBuf> {
        let base = if inline { Some(at) } else { file.parent() };
        let mut metas: Vec<Meta> = attrs.iter().map(|a| a.meta.clone()).collect();
        let mut paths = vec![];
        while let Some(meta) = metas.pop() {
            match meta {
                Meta::NameValue(pair) if pair.path.is_ident("path") => {
                    if let Some(value) = string(&pair.value) {
                        paths.extend(base.map(|base| base.join(value)));
                    }
                }
                Meta::List(list) if list.path.is_ident("cfg_attr") => {
                    metas.extend(self.conditions.conditional(&list));
                }
                _ => {}
            }
        }
        paths.retain(|path| path.is_file());
        paths
    }

    /// Returns the module `name` in `parent`, which it adds if there is none.
    fn child(&mut self, parent: usize, name: &str) -> usize {
        if let Some(child) = self.modules[parent].children.get(name) {
            return *child;
        }
        let index = self.modules.len();
        let mut path = self.modules[parent].path.clone();
        path.push(name.to_owned());
        self.modules.push(Module {
            parent,
            path,
            ..Module::default()
        });
        let children = &mut self.modules[parent].children;
        children.insert(name.to_owned(), index);
        index
    }

    /// Returns the module `name` in `parent`, if there is one.
    pub(crate) fn child_of(&self, parent: usize, name: &syn::Ident) -> Option<usize> {
        let children = &self.modules[parent].children;
        children.get(&name.to_string()).copied()
    }

    /// Reads the files that no `mod` item leads to: the item may be inside a macro.
    fn orphans(&mut self, directory: &Path, top: &Path, module: usize) {
        let Ok(entries) = fs::read_dir(directory) else {
            return;
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let is_program = directory == top && matches!(&*name, "main" | "bin" | "lib");
            if is_program || self.left_out.contains(&path) || self.seen.contains(&path) {
                continue;
            }
            if path.is_dir() {
                let child = self.child(module, &name);
                self.orphans(&path, top, child);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let module = match &*name {
                    "mod" => module,
                    name => self.child(module, name),
                };
                self.file(&path, module, &path.with_extension(""));
            }
        }
    }
}

/// Returns the root file of the library, and those of the programs if `with_programs` is
/// set. The flag is set for the first one, beside which [`Sources::read`] then looks for
/// orphans.
pub(crate) fn starts(package: &Package, with_programs: bool) -> Vec<(PathBuf, bool)> {
    let is = |kinds: &[TargetKind], program: bool| {
        kinds.iter().any(|kind| match kind {
            TargetKind::Bin => program,
            TargetKind::Lib
            | TargetKind::RLib
            | TargetKind::DyLib
            | TargetKind::CDyLib
            | TargetKind::StaticLib => !program,
            _ => false,
        })
    };
    let of = |program: bool| {
        let targets = package.targets.iter();
        targets
            .filter(move |target| is(&target.kind, program))
            .map(|target| PathBuf::from(target.src_path.as_path()))
    };
    let mut starts: Vec<_> = of(false).collect();
    if with_programs {
        starts.extend(of(true));
    }
    let mut first = true;
    let starts = starts.into_iter();
    starts
        .map(|path| (path, std::mem::take(&mut first)))
        .collect()
}
