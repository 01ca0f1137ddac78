//! Searches for copies of a UUID that a call leaves behind.

use std::path::Path;
use std::process::Command;

use crate::{library, programs};

support::scenarios![no_copy_of_a_uuid_is_left_on_the_stack];

/// Makes the loader bind all of a program's calls at its start.
const AT_ONCE: &str = "-Wl,-z,now";

/// A UUID may be the secret of a session.
fn no_copy_of_a_uuid_is_left_on_the_stack() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("secrets");
    programs::compile("secrets.c", &program, &["-luuid", AT_ONCE], "cc");
    let run = |what: &[&str]| {
        let mut command = Command::new(&program);
        command.env("LD_LIBRARY_PATH", library::prefix().join("lib"));
        library::printed(command.args(what))
    };
    // The control is a function of the program that plants a copy.
    assert_eq!(run(&[]), "plant\n");
    // Without wiped memory, no UUIDs are kept ready, and each is drawn from the kernel.
    assert_eq!(run(&["stateless"]), "plant\n");

    // The second control is libuuid. It is compiled with the system's header, as not every
    // libuuid has a function for version 7.
    let system = directory.path().join("system");
    let source = Path::new(library::HERE).join("tests/c/secrets.c");
    library::run(
        Command::new("cc")
            .arg("-o")
            .arg(&system)
            .arg(source)
            .args(["-luuid", AT_ONCE]),
    );
    // The variable is for libuuid's own calls. This library is linked with the option.
    let left = library::printed(Command::new(system).env("LD_BIND_NOW", "1"));
    assert!(
        left.contains("uuid_generate_random\n"),
        "libuuid was mended? {left}"
    );
}
