//! Evaluates `cfg` conditions.

use std::collections::BTreeSet;

use syn::punctuated::Punctuated;
use syn::{Attribute, Item, Meta, Token};

/// The conditions under which a package is compiled.
pub(crate) struct Conditions<'a> {
    pub(crate) features: &'a BTreeSet<String>,
    pub(crate) target: &'a str,
}

impl Conditions<'_> {
    /// Returns whether `cfg` or `test` certainly leaves an item out.
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

    /// Returns the attributes in a `cfg_attr`, or none if its condition certainly fails.
    pub(crate) fn conditional(&self, list: &syn::MetaList) -> Vec<Meta> {
        let parser = Punctuated::<Meta, Token![,]>::parse_terminated;
        let inner = list.parse_args_with(parser).into_iter().flatten();
        let inner: Vec<_> = inner.collect();
        match inner.first().map(|condition| self.holds(condition)) {
            Some(Some(false)) => vec![],
            _ => inner.into_iter().skip(1).collect(),
        }
    }

    /// Returns whether a condition holds, or `None` if that is not known.
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

/// Returns the value of an expression that is a string.
pub(super) fn string(value: &syn::Expr) -> Option<String> {
    match value {
        syn::Expr::Lit(syn::ExprLit {
            lit: syn::Lit::Str(text),
            ..
        }) => Some(text.value()),
        _ => None,
    }
}

/// Returns the attributes of an item.
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
