//! No entropy at all.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::Path;

use fork_safe_uuid::Uuid;

use crate::library::{self, Generate};
use crate::scene;

crate::scenarios![without_entropy_the_process_ends_and_says_why];

const GENERATORS: [&str; 6] = [
    "uuid_generate",
    "uuid_generate_random",
    "uuid_generate_time",
    "uuid_generate_time_safe",
    "uuid_generate_time_v6",
    "uuid_generate_time_v7",
];

fn without_entropy_the_process_ends_and_says_why() {
    // The control: it makes one of time and process id, and says nothing.
    let (status, text) = in_the_dark(Path::new("libuuid.so.1"), "uuid_generate_random");
    assert_eq!((status, text.as_str()), (0, ""), "libuuid was mended?");

    for name in GENERATORS {
        let (status, text) = in_the_dark(&library::ours(), name);
        assert!(libc::WIFSIGNALED(status), "{name}: {status:#x} {text}");
        assert_eq!(libc::WTERMSIG(status), libc::SIGABRT, "{name}: {text}");
        assert!(
            text.starts_with("libuuid: no entropy source: getrandom(2): "),
            "{name}: {text}"
        );
        assert!(text.ends_with("sandbox\n"), "{name}: {text}");
    }
}

/// Calls a generator in a child that gets no entropy; returns how it ended, and
/// what it said.
fn in_the_dark(library: &Path, name: &str) -> (i32, String) {
    let library = library::load(library);
    // SAFETY: they all write a `uuid_t`, and one returns an int as well.
    let generate: Generate = unsafe { library::function(&library, name) };
    let (mut output, input) = scene::pipe();
    let child = scene::ok(scene::fork());
    if child == 0 {
        scene::refuse(
            &[libc::SYS_getrandom, libc::SYS_openat, libc::SYS_open],
            libc::EPERM,
        );
        let mut id = Uuid::nil();
        // SAFETY: a `uuid_t`; the child ends without the harness.
        unsafe {
            libc::dup2(input.as_raw_fd(), 2);
            generate(&mut id);
            libc::_exit(0);
        }
    }
    drop(input);
    let mut text = String::new();
    output.read_to_string(&mut text).expect("a pipe");
    let mut status = 0;
    // SAFETY: the pointer leads to an int.
    scene::ok(unsafe { libc::waitpid(child, &raw mut status, 0) });
    (status, text)
}
