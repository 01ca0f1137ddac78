//! The names that the items of a module or block define or import.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Item, UseTree};

/// A path as its segments.
pub(crate) type Segments = Vec<String>;

/// The names of a module or a block, and what `use` items and type aliases bind them to. A
/// name may be bound to several paths under different `cfg`s.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) bound: BTreeMap<String, Vec<Segments>>,
    pub(crate) globs: Vec<Segments>,
    /// Functions, types and other items that are defined here.
    pub(crate) defined: BTreeSet<String>,
    /// The variables of a block.
    pub(crate) variables: BTreeSet<String>,
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

/// Returns the path of a type that is a plain path, or one in parentheses.
pub(crate) fn segments(ty: &syn::Type) -> Option<Segments> {
    match ty {
        syn::Type::Path(ty) if ty.qself.is_none() => Some(plain(&ty.path)),
        syn::Type::Paren(ty) => segments(&ty.elem),
        syn::Type::Group(ty) => segments(&ty.elem),
        _ => None,
    }
}

/// Returns the names in a path, after an empty one if it begins with `::`.
pub(crate) fn plain(path: &syn::Path) -> Segments {
    let start = path.leading_colon.map(|_| String::new());
    let names = path
        .segments
        .iter()
        .map(|segment| segment.ident.to_string());
    start.into_iter().chain(names).collect()
}
