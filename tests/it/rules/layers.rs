//! The layers of `src`: which module may import from which.
//!
//! - The children of one module have no circle of imports.
//! - The children whose `mod` lines follow the comment [`ORDERED`] import only from those below
//!   them.
//! - A module may import everything from its children. They import only types, traits and
//!   constants from it, except for [`FUNCTIONS_FROM_ABOVE`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::tags::{SOURCES, files};

support::scenarios![
    each_module_imports_only_from_those_below_it,
    no_modules_import_from_each_other_in_a_circle,
    only_listed_modules_import_functions_from_above,
    what_breaks_a_layer_is_found,
];

const ORDERED: &str = "// From top to bottom; each module imports only from those below it.";

/// The functions that modules import from those that they are in, with the name of the module.
const FUNCTIONS_FROM_ABOVE: [(&str, &str); 6] = [
    ("getrandom", "keeping_errno"),
    ("gregorian", "count_step"),
    ("identity", "checked"),
    ("other", "since_1970"),
    ("time", "try_new_v4"),
    ("order", "count_step"),
];

/// The names of a module and those that it is in, such as `["pool", "page"]`.
type Module = Vec<String>;

/// The code of each module, without its tests.
type Sources = BTreeMap<Module, String>;

/// The imports between the children of one module.
type Imports = BTreeSet<(String, String)>;

fn sources() -> Sources {
    let src = Path::new(SOURCES);
    let mut sources = Sources::new();
    for file in files(src) {
        let path = file.strip_prefix(src).expect("a file of src");
        let name = |name: &std::ffi::OsStr| name.to_str().expect("a name").to_owned();
        let mut module: Module = path.with_extension("").iter().map(name).collect();
        if module == ["lib"] {
            module.clear();
        }
        let text = fs::read_to_string(&file).expect("a file");
        let code = text.split("#[cfg(test)]\nmod tests {").next();
        if module.last().is_none_or(|name| name != "tests") {
            sources.insert(module, code.expect("code").to_owned());
        }
    }
    sources
}

/// A module, and the name of one of its items, or an empty one if the path ends at the module.
type Item = (Module, String);

/// Adds the items to which a path leads, such as `page::{self, Page}` from `module`.
fn follow(sources: &Sources, mut module: Module, mut path: &str, found: &mut Vec<Item>) {
    loop {
        if let Some(group) = path.strip_prefix('{') {
            for item in items(group) {
                follow(sources, module.clone(), item.trim(), found);
            }
            return;
        }
        let end = path.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let (name, rest) = path.split_at(end.unwrap_or(path.len()));
        let inner = [&module[..], &[name.to_owned()]].concat();
        if name == "super" {
            module.pop();
        } else if sources.contains_key(&inner) {
            module = inner;
        } else {
            found.push((module, name.to_owned()));
            return;
        }
        match rest.strip_prefix("::") {
            Some(rest) => path = rest,
            None => break,
        }
    }
    found.push((module, String::new()));
}

/// Returns the items of a group, which begins behind its brace.
fn items(group: &str) -> Vec<&str> {
    let (mut items, mut begin, mut depth) = (vec![], 0, 0);
    for (at, letter) in group.char_indices() {
        if depth == 0 && matches!(letter, ',' | '}') {
            items.push(&group[begin..at]);
            begin = at + 1;
        }
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            _ => {}
        }
    }
    items
}

/// Returns what a module imports from this crate.
fn imports_of(sources: &Sources, module: &Module) -> Vec<Item> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let lines: Vec<_> = sources[module].lines().filter(is_code).collect();
    let code = lines.join("\n");
    let mut found = vec![];
    for (at, prefix) in code.match_indices("crate::") {
        follow(sources, vec![], &code[at + prefix.len()..], &mut found);
    }
    for (at, _) in code.match_indices("super::") {
        if !code[..at].ends_with("super::") {
            follow(sources, module.clone(), &code[at..], &mut found);
        }
    }
    found
}

/// Returns the imports between the children of each module.
fn imports(sources: &Sources) -> BTreeMap<Module, Imports> {
    let mut all = BTreeMap::<Module, Imports>::new();
    for from in sources.keys() {
        for (to, _) in imports_of(sources, from) {
            let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if let (Some(from_child), Some(to_child)) = (from.get(common), to.get(common)) {
                let edges = all.entry(from[..common].to_vec()).or_default();
                edges.insert((from_child.clone(), to_child.clone()));
            }
        }
    }
    all
}

/// Returns the functions that a module imports from the modules that it is in.
fn functions_from_above(sources: &Sources) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for from in sources.keys() {
        for (to, name) in imports_of(sources, from) {
            let is_function = name.starts_with(|first: char| first.is_ascii_lowercase());
            if let Some(last) = from.last()
                && is_function
                && from.starts_with(&to)
            {
                found.insert((last.clone(), name));
            }
        }
    }
    found
}

/// Returns the `mod` lines of a file, from top to bottom.
fn children(code: &str) -> Vec<&str> {
    let lines = code.lines().filter_map(|line| line.split_once("mod "));
    let is_item = |visibility: &str| visibility.is_empty() || visibility.starts_with("pub");
    lines
        .filter(|(visibility, _)| is_item(visibility))
        .filter_map(|(_, name)| name.strip_suffix(';'))
        .collect()
}

/// Returns the imports that lead up in the order of `children`.
fn upwards<'a>(children: &[&str], imports: &'a Imports) -> Vec<&'a (String, String)> {
    let floor = |name: &str| children.iter().position(|child| *child == name);
    let leads_up = |(from, to): &&(String, String)| floor(from) > floor(to);
    imports.iter().filter(leads_up).collect()
}

/// Returns the imports that are part of a circle, or lead to one.
fn circle(imports: &Imports) -> Imports {
    let mut rest = imports.clone();
    loop {
        let importing: BTreeSet<_> = rest.iter().map(|(from, _)| from.clone()).collect();
        let count = rest.len();
        rest.retain(|(_, to)| importing.contains(to));
        if rest.len() == count {
            return rest;
        }
    }
}

fn each_module_imports_only_from_those_below_it() {
    let sources = sources();
    let imports = imports(&sources);
    let ordered = sources.iter().filter(|(_, code)| code.contains(ORDERED));
    let mut names = vec![];
    for (module, code) in ordered {
        let children = children(code);
        let upwards = upwards(&children, &imports[module]);
        assert!(upwards.is_empty(), "{module:?}: {upwards:?}\n{children:?}");
        // Each module but the lowest imports at least one.
        assert!(imports[module].len() >= children.len() - 1);
        names.push(module.join("::"));
    }
    assert!(
        names.contains(&String::new()),
        "lib.rs has no order any more"
    );
}

fn no_modules_import_from_each_other_in_a_circle() {
    let imports = imports(&sources());
    assert!(imports.len() > 1, "only lib.rs has modules that import");
    for (module, imports) in imports {
        let circle = circle(&imports);
        assert!(circle.is_empty(), "{module:?}: {circle:?}");
    }
}

fn only_listed_modules_import_functions_from_above() {
    let listed = FUNCTIONS_FROM_ABOVE.map(|(module, name)| (module.to_owned(), name.to_owned()));
    assert_eq!(functions_from_above(&sources()), listed.into());
}

/// The control.
fn what_breaks_a_layer_is_found() {
    let file = |path: &str, code: &str| {
        let module = path.split_terminator("::").map(str::to_owned).collect();
        (module, code.to_owned())
    };
    let sources = Sources::from([
        file("", "mod top;\npub(crate) mod bottom;\n"),
        file("top", "mod left;\nmod right;\n"),
        file(
            "top::left",
            "use super::{\n    Item,\n    right::{self, Other},\n};\n",
        ),
        file("top::right", "fn f() { crate::top::left::g() }\n"),
        file(
            "bottom",
            "// crate::top\nuse crate::{Item, run, top::right::Other};\n",
        ),
    ]);
    let imports = imports(&sources);
    let edge = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let top = &imports[&vec!["top".to_owned()]];
    assert_eq!(
        circle(top),
        [edge("left", "right"), edge("right", "left")].into()
    );
    let root = &imports[&vec![]];
    assert_eq!(*root, [edge("bottom", "top")].into());
    assert!(circle(root).is_empty());
    assert_eq!(upwards(&children(&sources[&vec![]]), root).len(), 1);
    assert_eq!(
        functions_from_above(&sources),
        [edge("bottom", "run")].into()
    );
}
