//! The sources of a package: its modules, and what each name in them stands for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{Package, TargetKind};
use syn::punctuated::Punctuated;
use syn::{Attribute, Item, Meta, Token, UseTree};

/// A path as its segments.
pub(crate) type Segments = Vec<String>;

/// What a `use` or a type alias makes a name stand for, seen from its own module.
/// A name may stand for several things under different `cfg`s.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) bound: BTreeMap<String, Vec<Segments>>,
    pub(crate) globs: Vec<Segments>,
    /// Functions, types and the like that are defined here.
    pub(crate) defined: BTreeSet<String>,
    /// Variables of a block.
    pub(crate) variables: BTreeSet<String>,
}

#[derive(Default)]
pub(crate) struct Module {
    pub(crate) names: Names,
    parent: usize,
    children: BTreeMap<String, usize>,
    path: Segments,
}

/// A file, and the module that it is.
pub(crate) struct Source {
    /// Relative to the package.
    pub(crate) file: String,
    pub(crate) module: usize,
    pub(crate) items: Vec<Item>,
}

/// The conditions under which a package is compiled.
pub(crate) struct Conditions<'a> {
    pub(crate) features: &'a BTreeSet<String>,
    pub(crate) target: &'a str,
}

/// One library or program of a package.
pub(crate) struct Sources<'a> {
    conditions: &'a Conditions<'a>,
    package: PathBuf,
    /// Paths in `use` begin at the root of the crate.
    old: bool,
    externs: &'a BTreeSet<String>,
    pub(crate) modules: Vec<Module>,
    pub(crate) files: Vec<Source>,
    /// What could not be parsed.
    pub(crate) unread: Vec<String>,
    seen: BTreeSet<PathBuf>,
    /// What `cfg` leaves out.
    left_out: Vec<PathBuf>,
}

/// Beyond it a name stands for itself by way of others.
const DEPTH: usize = 24;

impl<'a> Sources<'a> {
    /// Reads what starts at `root`. `externs` are the names of other crates.
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
                        // Such a file is like `mod.rs`.
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

    /// The files that `#[path]` names, also within `cfg_attr`.
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

    pub(crate) fn child_of(&self, parent: usize, name: &syn::Ident) -> Option<usize> {
        let children = &self.modules[parent].children;
        children.get(&name.to_string()).copied()
    }

    /// Files that no `mod` item leads to: it may be inside a macro.
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

    /// What a path in `module` may stand for, from the names of other crates on.
    /// `blocks` are the blocks around it, the innermost last.
    pub(crate) fn resolve(
        &self,
        module: usize,
        blocks: &[Names],
        path: &[String],
    ) -> Vec<Segments> {
        let mut found = vec![];
        self.look_up(module, blocks, path, None, DEPTH, &mut found);
        found
    }

    fn look_up(
        &self,
        module: usize,
        blocks: &[Names],
        path: &[String],
        skip: Option<&str>,
        depth: usize,
        found: &mut Vec<Segments>,
    ) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let Some(depth) = depth.checked_sub(1) else {
            return;
        };
        match &**first {
            "" => return found.push(rest.to_vec()),
            "crate" => return self.walk(0, rest, depth, found),
            "self" => return self.walk(module, rest, depth, found),
            "super" => return self.walk(self.modules[module].parent, rest, depth, found),
            _ => {}
        }
        if let Some((block, outer)) = blocks.split_last() {
            let done = self.names(module, outer, block, path, skip, depth, found);
            if !done {
                self.look_up(module, outer, path, skip, depth, found);
            }
            return;
        }
        if self.within(module, path, skip, depth, found) {
            return;
        }
        if self.externs.contains(first) {
            found.push(path.to_vec());
        } else if self.old && module != 0 {
            self.walk(0, path, depth, found);
        }
    }

    /// What a path stands for from within a module, as other modules write it.
    fn walk(&self, module: usize, path: &[String], depth: usize, found: &mut Vec<Segments>) {
        match path.first().map(String::as_str) {
            None => {}
            Some("super") => self.walk(self.modules[module].parent, &path[1..], depth, found),
            Some("self") => self.walk(module, &path[1..], depth, found),
            Some(_) => {
                self.within(module, path, None, depth, found);
            }
        }
    }

    /// Whether the module knows the first segment.
    fn within(
        &self,
        module: usize,
        path: &[String],
        skip: Option<&str>,
        depth: usize,
        found: &mut Vec<Segments>,
    ) -> bool {
        let Some(depth) = depth.checked_sub(1) else {
            return true;
        };
        let (here, first) = (&self.modules[module], &path[0]);
        if let Some(child) = here.children.get(first)
            && skip != Some(first)
        {
            self.walk(*child, &path[1..], depth, found);
            // A function or a type may have the same name.
            if path.len() > 1 && !here.names.bound.contains_key(first) {
                return true;
            }
        }
        self.names(module, &[], &here.names, path, skip, depth, found)
    }

    #[expect(clippy::too_many_arguments, reason = "where, what, and the result")]
    fn names(
        &self,
        module: usize,
        outer: &[Names],
        names: &Names,
        path: &[String],
        skip: Option<&str>,
        depth: usize,
        found: &mut Vec<Segments>,
    ) -> bool {
        let (first, rest) = (&path[0], &path[1..]);
        if rest.is_empty() && names.variables.contains(first) {
            return true;
        }
        if skip != Some(first)
            && let Some(bound) = names.bound.get(first)
        {
            for target in bound {
                let whole = [target, rest].concat();
                // `use uuid;` does not stand for itself.
                let skip = (target.first() == Some(first)).then_some(&**first);
                self.look_up(module, outer, &whole, skip, depth, found);
            }
            return true;
        }
        if names.defined.contains(first) && skip != Some(first) {
            return true;
        }
        for glob in &names.globs {
            // In a glob's own path, names come from elsewhere.
            if glob.first() != Some(first) {
                let whole = [glob, path].concat();
                self.look_up(module, outer, &whole, skip, depth / 2, found);
            }
        }
        // Any name may come from another crate's glob, so the search goes on.
        false
    }
}

impl Names {
    /// Notes what an item defines or imports.
    pub(crate) fn item(&mut self, item: &Item) {
        let mut define = |ident: &syn::Ident| self.defined.insert(ident.to_string());
        match item {
            Item::Use(item) => {
                let start = match item.leading_colon {
                    Some(_) => vec![String::new()],
                    None => vec![],
                };
                self.tree(&item.tree, start);
            }
            Item::ExternCrate(item) => {
                let name = item.ident.to_string();
                let target = match &*name {
                    "self" => vec!["crate".to_owned()],
                    _ => vec![String::new(), name.clone()],
                };
                let local = item.rename.as_ref().map_or(name, |(_, to)| to.to_string());
                self.bind(local, target);
            }
            Item::Type(item) => match segments(&item.ty) {
                Some(target) => self.bind(item.ident.to_string(), target),
                None => drop(define(&item.ident)),
            },
            Item::Fn(item) => drop(define(&item.sig.ident)),
            Item::Struct(item) => drop(define(&item.ident)),
            Item::Enum(item) => drop(define(&item.ident)),
            Item::Union(item) => drop(define(&item.ident)),
            Item::Trait(item) => drop(define(&item.ident)),
            Item::Const(item) => drop(define(&item.ident)),
            Item::Static(item) => drop(define(&item.ident)),
            _ => {}
        }
    }

    fn bind(&mut self, name: String, target: Segments) {
        self.bound.entry(name).or_default().push(target);
    }

    fn tree(&mut self, tree: &UseTree, mut path: Segments) {
        match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                self.tree(&tree.tree, path);
            }
            UseTree::Name(tree) if tree.ident == "self" => {
                if let Some(last) = path.last() {
                    self.bind(last.clone(), path);
                }
            }
            UseTree::Name(tree) => {
                path.push(tree.ident.to_string());
                self.bind(tree.ident.to_string(), path);
            }
            UseTree::Rename(tree) => {
                if tree.ident != "self" {
                    path.push(tree.ident.to_string());
                }
                self.bind(tree.rename.to_string(), path);
            }
            UseTree::Glob(_) => self.globs.push(path),
            UseTree::Group(tree) => {
                for tree in &tree.items {
                    self.tree(tree, path.clone());
                }
            }
        }
    }
}

/// A type that is a plain path, or one in parentheses.
pub(crate) fn segments(ty: &syn::Type) -> Option<Segments> {
    match ty {
        syn::Type::Path(ty) if ty.qself.is_none() => Some(plain(&ty.path)),
        syn::Type::Paren(ty) => segments(&ty.elem),
        syn::Type::Group(ty) => segments(&ty.elem),
        _ => None,
    }
}

/// The names in a path, after an empty one where it begins with `::`.
pub(crate) fn plain(path: &syn::Path) -> Segments {
    let start = path.leading_colon.map(|_| String::new());
    let names = path
        .segments
        .iter()
        .map(|segment| segment.ident.to_string());
    start.into_iter().chain(names).collect()
}

fn string(value: &syn::Expr) -> Option<String> {
    match value {
        syn::Expr::Lit(syn::ExprLit {
            lit: syn::Lit::Str(text),
            ..
        }) => Some(text.value()),
        _ => None,
    }
}

impl Conditions<'_> {
    /// Whether `cfg` or `test` certainly leaves an item out.
    pub(crate) fn exclude(&self, attrs: &[Attribute]) -> bool {
        attrs.iter().any(|attribute| match &attribute.meta {
            Meta::List(list) if list.path.is_ident("cfg") => {
                let meta = list.parse_args::<Meta>();
                meta.is_ok_and(|meta| self.holds(&meta) == Some(false))
            }
            meta => {
                let last = meta.path().segments.last();
                last.is_some_and(|last| last.ident == "test")
            }
        })
    }

    /// The attributes in a `cfg_attr`, unless its condition certainly fails.
    pub(crate) fn conditional(&self, list: &syn::MetaList) -> Vec<Meta> {
        let parser = Punctuated::<Meta, Token![,]>::parse_terminated;
        let inner = list.parse_args_with(parser).into_iter().flatten();
        let inner: Vec<_> = inner.collect();
        match inner.first().map(|condition| self.holds(condition)) {
            Some(Some(false)) => vec![],
            _ => inner.into_iter().skip(1).collect(),
        }
    }

    /// Whether a condition holds, if that is known.
    fn holds(&self, meta: &Meta) -> Option<bool> {
        match meta {
            Meta::Path(path) => match path.get_ident()?.to_string().as_str() {
                "test" | "doc" | "doctest" | "miri" | "loom" => Some(false),
                "unix" => (!self.target.contains("windows")).then_some(true),
                "windows" => Some(self.target.contains("windows")),
                _ => None,
            },
            Meta::NameValue(pair) => {
                let value = string(&pair.value)?;
                match pair.path.get_ident()?.to_string().as_str() {
                    "feature" => Some(self.features.contains(&value)),
                    "target_os" if self.target.contains("-linux-") => Some(match &*value {
                        "android" => self.target.contains("android"),
                        "linux" => !self.target.contains("android"),
                        _ => false,
                    }),
                    _ => None,
                }
            }
            Meta::List(list) => {
                let parser = Punctuated::<Meta, Token![,]>::parse_terminated;
                let inner = list.parse_args_with(parser).ok()?;
                let inner: Vec<_> = inner.iter().map(|meta| self.holds(meta)).collect();
                let (all, decides) = match list.path.get_ident()?.to_string().as_str() {
                    "not" => return inner.first()?.map(|holds| !holds),
                    "all" => (true, false),
                    "any" => (false, true),
                    _ => return None,
                };
                if inner.contains(&Some(decides)) {
                    return Some(decides);
                }
                inner.iter().all(|one| *one == Some(all)).then_some(all)
            }
        }
    }
}

pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Where the parts of a package begin that a dependent links: the library, or
/// also its programs.
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
    // Files that only a macro leads to are looked for once, beside the first.
    let mut first = true;
    let starts = starts.into_iter();
    starts
        .map(|path| (path, std::mem::take(&mut first)))
        .collect()
}
