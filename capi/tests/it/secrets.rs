//! Copies of a UUID that a call leaves behind.

use std::path::Path;
use std::process::Command;

use crate::{library, programs};

support::scenarios![no_copy_of_a_uuid_is_left_on_the_stack];

/// A UUID may be a session's secret.
fn no_copy_of_a_uuid_is_left_on_the_stack() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("secrets");
    programs::compile("secrets.c", &program, &["-luuid"], "cc");
    let run = |what: &[&str]| {
        let mut command = Command::new(&program);
        command.env("LD_LIBRARY_PATH", library::prefix().join("lib"));
        library::printed(command.args(what))
    };
    // The control is a function of the program's own.
    assert_eq!(run(&[]), "copy\n");
    // Each UUID from the kernel: there is no memory to keep others in.
    assert_eq!(run(&["stateless"]), "copy\n");

    // And the system's, which has other functions of version 7 or none.
    let system = directory.path().join("system");
    let source = Path::new(library::HERE).join("tests/c/secrets.c");
    library::run(
        Command::new("cc")
            .arg("-o")
            .arg(&system)
            .arg(source)
            .arg("-luuid"),
    );
    let left = library::printed(&mut Command::new(system));
    assert!(
        left.contains("uuid_generate_random\n"),
        "libuuid was mended? {left}"
    );
}
