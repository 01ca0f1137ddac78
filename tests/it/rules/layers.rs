//! The layers of `src`: which module may import from which.
//!
//! Between the modules of one file or folder, imports have no circle. A file whose `mod` lines
//! follow the comment [`ORDERED`] promises more: each of these modules imports only from those
//! below it. A module and its own children may import from each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::tags::{SOURCES, files};

support::scenarios![
    each_module_imports_only_from_those_below_it,
    no_modules_import_from_each_other_in_a_circle,
    a_circle_and_an_import_from_above_are_found,
];

const ORDERED: &str = "// From top to bottom; each module imports only from those below it.";

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

/// Adds the modules to which a path leads, such as `page::{self, Page}` from `module`.
fn follow(sources: &Sources, mut module: Module, mut path: &str, found: &mut Vec<Module>) {
    loop {
        if let Some(group) = path.strip_prefix('{') {
            for item in items(group) {
                follow(sources, module.clone(), item.trim(), found);
            }
            return;
        }
        let end = path.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let (name, rest) = path.split_at(end.unwrap_or(path.len()));
        if name == "super" {
            module.pop();
        } else {
            let inner = [&module[..], &[name.to_owned()]].concat();
            if !sources.contains_key(&inner) {
                break;
            }
            module = inner;
        }
        match rest.strip_prefix("::") {
            Some(rest) => path = rest,
            None => break,
        }
    }
    found.push(module);
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

/// Returns the imports between the children of each module.
fn imports(sources: &Sources) -> BTreeMap<Module, Imports> {
    let mut all = BTreeMap::<Module, Imports>::new();
    for (from, code) in sources.iter().filter(|(from, _)| !from.is_empty()) {
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let code = code.lines().filter(is_code).collect::<Vec<_>>().join("\n");
        let mut found = vec![];
        for (at, prefix) in code.match_indices("crate::") {
            follow(sources, vec![], &code[at + prefix.len()..], &mut found);
        }
        for (at, _) in code.match_indices("super::") {
            if !code[..at].ends_with("super::") {
                follow(sources, from.clone(), &code[at..], &mut found);
            }
        }
        for to in found {
            let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if let (Some(from_child), Some(to_child)) = (from.get(common), to.get(common)) {
                let edges = all.entry(from[..common].to_vec()).or_default();
                edges.insert((from_child.clone(), to_child.clone()));
            }
        }
    }
    all
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
    println!("{imports:#?}");
    assert!(imports.len() > 1, "only lib.rs has modules that import");
    for (module, imports) in imports {
        let circle = circle(&imports);
        assert!(circle.is_empty(), "{module:?}: {circle:?}");
    }
}

/// The control.
fn a_circle_and_an_import_from_above_are_found() {
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
            "// crate::bottom\nuse crate::{bottom, top::right::Other};\n",
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
}
