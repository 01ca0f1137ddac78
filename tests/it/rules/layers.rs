//! The order of the modules: each one imports only from those below it in `src/lib.rs`.

use std::fs;
use std::path::Path;

use super::tags::{SOURCES, files};

support::scenarios![each_module_imports_only_from_those_below_it];

fn each_module_imports_only_from_those_below_it() {
    let src = Path::new(SOURCES);
    let root = fs::read_to_string(src.join("lib.rs")).expect("a file");
    let modules: Vec<_> = root
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "))
        .filter_map(|line| line.strip_suffix(';'))
        .collect();
    let floor = |module: &str| modules.iter().position(|other| *other == module);
    let mut imports = 0;
    for file in files(src) {
        let within = file
            .strip_prefix(src)
            .expect("a file of src")
            .with_extension("");
        let mut names = within.iter().map(|name| name.to_str().expect("a name"));
        let Some(from) = names.next().and_then(floor) else {
            assert_eq!(within, Path::new("lib"), "no module of lib.rs");
            continue;
        };
        if names.any(|name| name == "tests") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a file");
        let code = text.split("#[cfg(test)]\nmod tests {").next();
        let lines = code.expect("code").lines();
        for line in lines.filter(|line| !line.trim_start().starts_with("//")) {
            for path in line.split("crate::").skip(1) {
                let end = path.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
                let to = floor(&path[..end.unwrap_or(path.len())]);
                let place = file.display();
                assert!(
                    to.is_some_and(|to| to >= from),
                    "{place}: {line}\n{modules:?}"
                );
                imports += 1;
            }
        }
    }
    // Each module but the lowest imports one at least.
    assert!(imports >= modules.len() - 1, "{imports}");
}
