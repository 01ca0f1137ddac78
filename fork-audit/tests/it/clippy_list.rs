//! Compares the list of `examples/switch/clippy.toml` with the sources of `uuid`: the list has
//! each public function that draws from a random source or reads the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use syn::visit::{self, Visit};
use syn::{ImplItem, Item, TraitItem, Type, Visibility};

/// The functions of `uuid` that draw or read the clock themselves, with their modules.
const BEGINNINGS: [&str; 4] = ["rng::u128", "rng::u64", "rng::u16", "timestamp::now"];

/// A function: whether it is public, and the functions that it names.
#[derive(Default)]
struct Function {
    is_public: bool,
    names: BTreeSet<String>,
}

/// The functions by `Type::name`, or by `module::name` if they belong to no type.
type Functions = BTreeMap<String, Function>;

/// Collects the last two names of each path, and the names of methods.
#[derive(Default)]
struct Names<'a> {
    ty: Option<&'a str>,
    found: BTreeSet<String>,
}

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut names: Vec<_> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if let (Some(ty), Some(first)) = (self.ty, names.first_mut())
            && first == "Self"
        {
            ty.clone_into(first);
        }
        let last = &names[names.len().saturating_sub(2)..];
        self.found.insert(last.join("::"));
        visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.found.insert(format!(".{}", call.method));
        visit::visit_expr_method_call(self, call);
    }
}

/// Adds the functions of `items` to `all`. The method of a trait counts as drawing if it
/// draws in one of the types that implement the trait.
fn functions(items: &[Item], module: &str, all: &mut Functions) {
    let mut note = |name: String, is_public: bool, ty: Option<&str>, block: &syn::Block| {
        let mut names = Names {
            ty,
            ..Names::default()
        };
        names.visit_block(block);
        let function = all.entry(name).or_default();
        function.is_public |= is_public;
        function.names.extend(names.found);
    };
    let (mut inner, mut statics) = (vec![], vec![]);
    for item in items {
        match item {
            Item::Fn(item) => {
                let name = format!("{module}::{}", item.sig.ident);
                let is_public = matches!(item.vis, Visibility::Public(_));
                note(name, is_public, None, &item.block);
            }
            Item::Impl(item) => {
                let Type::Path(ty) = &*item.self_ty else {
                    continue;
                };
                let ty = ty.path.segments.last().map(|last| last.ident.to_string());
                let ty = ty.expect("a name");
                let of = item.trait_.as_ref();
                let of = of.and_then(|(path, _)| Some(path.segments.last()?.ident.to_string()));
                for inner in &item.items {
                    if let ImplItem::Fn(inner) = inner {
                        let is_public = matches!(inner.vis, Visibility::Public(_));
                        let owner = of.as_ref().unwrap_or(&ty);
                        let name = format!("{owner}::{}", inner.sig.ident);
                        note(name, is_public, Some(&ty), &inner.block);
                    }
                }
            }
            Item::Trait(item) => {
                for inner in &item.items {
                    if let TraitItem::Fn(inner) = inner {
                        let name = format!("{}::{}", item.ident, inner.sig.ident);
                        let is_public = matches!(item.vis, Visibility::Public(_));
                        let none = syn::parse_str("{}").expect("a block");
                        note(
                            name,
                            is_public,
                            None,
                            inner.default.as_ref().unwrap_or(&none),
                        );
                    }
                }
            }
            Item::Static(item) => {
                // Its value may name a function: `LazyLock::new(ContextV1::new_random)`.
                let mut names = Names::default();
                names.visit_expr(&item.expr);
                statics.push((item.ident.to_string(), names.found));
                continue;
            }
            Item::Mod(item) if item.ident != "tests" && item.ident != "test_util" => {
                inner.push((item.ident.to_string(), &item.content));
                continue;
            }
            _ => {}
        }
    }
    for (name, found) in statics {
        all.entry(name).or_default().names.extend(found);
    }
    for (name, content) in inner {
        if let Some((_, items)) = content {
            functions(items, &name, all);
        }
    }
}

/// Returns the public functions that draw, according to the sources in a directory.
fn drawing(src: &Path) -> BTreeSet<String> {
    let mut all = Functions::new();
    for entry in fs::read_dir(src).expect("sources").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            let file = syn::parse_file(&text).expect("Rust");
            let module = path.file_stem().unwrap_or_default().to_string_lossy();
            functions(&file.items, &module, &mut all);
        }
    }
    for beginning in BEGINNINGS {
        assert!(
            all.contains_key(beginning),
            "uuid draws elsewhere than in {beginning}"
        );
    }
    let mut drawing: BTreeSet<String> = BEGINNINGS.map(str::to_owned).into();
    loop {
        let before = drawing.len();
        for (name, function) in &all {
            let draws = drawing.iter().any(|drawn| {
                let (_, last) = drawn.rsplit_once("::").unwrap_or(("", drawn));
                let is_method = drawn.starts_with(char::is_uppercase);
                let by_itself =
                    *drawn == format!("timestamp::{last}") && name.starts_with("Timestamp::");
                function.names.contains(drawn)
                    || is_method && function.names.contains(&format!(".{last}"))
                    || by_itself && function.names.contains(last)
            });
            if draws {
                drawing.insert(name.clone());
            }
        }
        if drawing.len() == before {
            break;
        }
    }
    // Only functions of a type are public: the modules with free functions are private.
    drawing.retain(|name| all[name].is_public && name.starts_with(char::is_uppercase));
    drawing
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the folder with the sources of the `uuid` in the lock file.
fn uuid() -> PathBuf {
    let cargo = env::var_os("CARGO").expect("run by cargo");
    let output = Command::new(cargo)
        .current_dir(root())
        .args(["metadata", "--format-version", "1"])
        .output()
        .expect("cargo");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let mut uuid = packages.iter().filter(|package| package["name"] == "uuid");
    let found = uuid.next().expect("uuid");
    assert!(uuid.next().is_none(), "two versions of uuid");
    let manifest = found["manifest_path"].as_str().expect("a path");
    Path::new(manifest).with_file_name("src")
}

/// Returns the functions of `uuid` that `clippy.toml` lists.
fn listed() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("examples/switch/clippy.toml")).expect("clippy.toml");
    let toml: toml::Table = text.parse().expect("TOML");
    let methods = toml["disallowed-methods"].as_array().expect("a list");
    let paths = methods
        .iter()
        .map(|method| method["path"].as_str().expect("a path"));
    let paths = paths.filter_map(|path| path.strip_prefix("uuid::"));
    paths.map(str::to_owned).collect()
}

#[test]
fn each_function_of_uuid_that_draws_is_listed() {
    assert_eq!(drawing(&uuid()), listed());
}

#[test]
fn a_new_function_that_draws_is_noticed() {
    let copy = tempfile::tempdir().expect("a directory");
    for entry in fs::read_dir(uuid()).expect("sources").flatten() {
        if entry.path().is_file() {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("a copy");
        }
    }
    let new = "use crate::Uuid;\nimpl Uuid {\n\
        pub fn new_v9() -> Self { Self::helper() }\n\
        fn helper() -> Self { Uuid::from_u128(crate::rng::u128()) }\n\
        pub fn still() -> Self { Uuid::nil() }\n}\n";
    fs::write(copy.path().join("v9.rs"), new).expect("a source");
    let found = drawing(copy.path());
    let new: Vec<_> = found.difference(&listed()).cloned().collect();
    assert_eq!(new, ["Uuid::new_v9"]);
}
