//! Tests the functions that libuuid does not have, of `uuid/fork_safe_uuid.h`.

use std::collections::BTreeSet;
use std::ffi::{c_char, c_int};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::ptr;

use fork_safe_uuid::Uuid;
use libloading::os::unix::Library;
use support::seccomp::SYS_OPEN;
use support::{SLOTS, memory, process, sandbox};

use crate::library::{self, Generate, function};
use crate::programs;

support::scenarios![
    the_example_gets_another_node_after_a_restore,
    the_header_is_strict_c90_and_cplusplus98 {
        possible: programs::has_headers
    },
    a_clone_repeats_nothing_after_reseed,
    a_sandbox_without_entropy_has_uuids_after_prepare,
    prepare_says_what_a_sandbox_must_allow,
    texts_are_truncated_as_by_snprintf,
];

type Prepare = unsafe extern "C" fn(*mut c_char, usize) -> c_int;
type Reseed = unsafe extern "C" fn();
type Status = unsafe extern "C" fn(*mut c_char, usize) -> usize;

/// The example of the README runs with either library.
fn the_example_gets_another_node_after_a_restore() {
    let example = fs::read_to_string(Path::new(library::HERE).join("tests/c/fork_safe.c"));
    let readme = fs::read_to_string(Path::new(library::HERE).join("README.md"));
    let block = format!("```c\n{}```\n", example.expect("a file"));
    assert!(
        readme.expect("a file").contains(&block),
        "the README has another example"
    );

    let directory = tempfile::tempdir().expect("a directory");
    let compilers = [("cc", "-pie"), ("cc", "-no-pie"), ("clang", "-pie")];
    for (compiler, kind) in compilers {
        if compiler != "cc" && !programs::has(compiler, compiler) {
            continue;
        }
        let program = directory.path().join("fork_safe");
        let position = if kind == "-pie" { "-fPIE" } else { "-fno-pie" };
        // It is linked to the system's library, as a distribution's programs are.
        library::run(
            Command::new(compiler)
                .args(["-Wall", "-Wextra", "-Werror", "-O2", position, kind, "-o"])
                .arg(&program)
                .arg("-I")
                .arg(library::prefix().join("include"))
                .arg(Path::new(library::HERE).join("tests/c/fork_safe.c"))
                .arg("-luuid"),
        );
        let run = |libraries: &Path| {
            let output = library::run(Command::new(&program).env("LD_LIBRARY_PATH", libraries));
            let text = String::from_utf8(output.stdout).expect("UTF-8");
            let ids: Vec<Uuid> = text.lines().map(|id| id.parse().expect("a UUID")).collect();
            let said = String::from_utf8(output.stderr).expect("UTF-8");
            (ids[0].get_node_id() == ids[1].get_node_id(), said)
        };
        let (same, said) = run(&library::prefix().join("lib"));
        assert!(!same, "{compiler} {kind}");
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        assert!(lines[0].starts_with("UUIDs by source: kernel; "), "{said}");
        assert!(lines[1].starts_with("now by source: kernel; "), "{said}");
        // The control: with libuuid, both UUIDs have the same node.
        let (same, said) = run(Path::new(""));
        assert!(same, "libuuid was mended?");
        assert_eq!(said, "the system's libuuid\n");
    }
}

fn the_header_is_strict_c90_and_cplusplus98() {
    let directory = tempfile::tempdir().expect("a directory");
    let source = directory.path().join("strict.c");
    let text = "#include <uuid/uuid.h>
#include <uuid/fork_safe_uuid.h>
UUID_DEFINE(one, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
int main(void) { struct timeval at; return uuid_time64(one, &at) != uuid_time(one, NULL); }
";
    fs::write(&source, text).expect("a file");
    let compile = |options: &[&str], include: &Path| {
        let mut command = Command::new(options[0]);
        command
            .args(&options[1..])
            .args(["-Wall", "-Wextra", "-Werror", "-fsyntax-only"]);
        command.arg("-I").arg(include).arg(&source);
        command.output().expect("a compiler")
    };
    let strict = [
        &["cc", "-std=c90", "-Wpedantic"][..],
        &["cc", "-std=c90", "-Wpedantic", "-DFORK_SAFE_UUID_WEAK"],
        &["cc", "-std=c2x", "-Wpedantic"],
        &["c++", "-x", "c++", "-std=c++98", "-pedantic-errors"],
    ];
    let include = library::prefix().join("include");
    for options in strict {
        let output = compile(options, &include);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{options:?}: {errors}");
    }
    // The control: the header without the function, and with a variadic macro.
    let changed = directory.path().join("uuid");
    fs::create_dir(&changed).expect("a directory");
    let header = |name: &str| fs::read_to_string(include.join("uuid").join(name)).expect("a file");
    fs::write(changed.join("fork_safe_uuid.h"), header("fork_safe_uuid.h")).expect("a file");
    for (from, to) in [
        ("\nextern time_t uuid_time64(", "\nextern time_t other("),
        (
            "#define UUID_DEFINE_UNUSED __a",
            "#define OTHER(...)\n#define UUID_DEFINE_UNUSED __a",
        ),
    ] {
        let text = header("uuid.h");
        assert!(text.contains(from), "{from}");
        fs::write(changed.join("uuid.h"), text.replacen(from, to, 1)).expect("a file");
        for options in [strict[0], strict[3]] {
            assert!(
                !compile(options, directory.path()).status.success(),
                "{options:?}"
            );
        }
    }
}

/// Returns UUIDs of each version that has random bits or a node.
fn make(library: &Library) -> Vec<Uuid> {
    let names = [
        "uuid_generate",
        "uuid_generate_time_v7",
        "uuid_generate_time",
    ];
    let mut ids = vec![];
    for name in names {
        // SAFETY: the function has this type in `uuid.h`.
        let generate: Generate = unsafe { function(library, name) };
        for _ in 0..300 {
            let mut id = Uuid::nil();
            // SAFETY: `id` is a `uuid_t`.
            unsafe { generate(&mut id) };
            ids.push(id);
        }
    }
    ids
}

/// A clone is a fork in which no mapping is wiped: the memory is copied, and nothing tells the
/// process.
fn a_clone_repeats_nothing_after_reseed() {
    let ours = library::load(library::ours());
    // SAFETY: the function has this type in `fork_safe_uuid.h`.
    let reseed: Reseed = unsafe { function(&ours, "fork_safe_uuid_reseed") };
    let before = make(&ours);
    memory::keep_on_fork(&memory::mappings(|flags| flags.contains(&"wf")));
    let clones = |restored: &dyn Fn()| {
        let clone = || {
            process::in_copy(process::fork, || {
                restored();
                make(&ours)
            })
        };
        let mut ids = before.clone();
        ids.extend(clone());
        ids.extend(clone());
        let nodes = ids
            .iter()
            .filter_map(Uuid::get_node_id)
            .collect::<BTreeSet<_>>();
        let count = ids.len();
        (
            count - ids.into_iter().collect::<BTreeSet<_>>().len(),
            nodes.len(),
        )
    };
    // SAFETY: the function may be called anywhere.
    assert_eq!(clones(&|| unsafe { reseed() }), (0, 3));
    // The control: the clones repeat the ready UUIDs of one thread, and have one node.
    let (repeated, nodes) = clones(&|| ());
    assert!((1..=SLOTS).contains(&repeated), "{repeated}");
    assert_eq!(nodes, 1);
}

fn a_sandbox_without_entropy_has_uuids_after_prepare() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("refused");
    let link = ["-pthread", "-Wl,--no-as-needed", "-luuid"];
    programs::compile("refused.c", &program, &link, "cc");
    let run = |what: &str| {
        let mut command = Command::new(&program);
        command.arg(what).env("LD_PRELOAD", library::ours());
        command.output().expect("refused").status.success()
    };
    assert!(run("prepared"));
    assert!(!run("uuid_generate"), "the control had entropy");
}

fn prepare_says_what_a_sandbox_must_allow() {
    let ours = library::load(library::ours());
    // SAFETY: the function has this type in `fork_safe_uuid.h`.
    let prepare: Prepare = unsafe { function(&ours, "fork_safe_uuid_prepare") };
    let said_in = |refused: &[libc::c_long]| {
        let said = process::in_copy(process::fork, || {
            if !refused.is_empty() {
                sandbox::refuse(refused, libc::EPERM);
            }
            let mut text = [0_u8; 512];
            // SAFETY: the pointers lead to errno and to that many bytes.
            let result = unsafe {
                *libc::__errno_location() = 1234;
                let result = prepare(text.as_mut_ptr().cast(), text.len());
                assert_eq!(*libc::__errno_location(), 1234);
                result
            };
            let mut first = [0; 16];
            first[0] = result as u8;
            let blocks = text
                .as_chunks()
                .0
                .iter()
                .map(|&block| Uuid::from_bytes(block));
            [Uuid::from_bytes(first)]
                .into_iter()
                .chain(blocks)
                .collect()
        });
        let bytes: Vec<u8> = said.iter().flat_map(|id| id.into_bytes()).collect();
        let text = String::from_utf8(bytes[16..].to_vec()).expect("UTF-8");
        (bytes[0] as i8, text.trim_end_matches('\0').to_owned())
    };
    let opens = [libc::SYS_openat, SYS_OPEN];
    let (result, text) = said_in(&[]);
    assert!(
        result == 0 && text.starts_with("source: kernel; "),
        "{text}"
    );
    let (result, text) = said_in(&opens);
    assert!(result == 1 && text.contains("/dev/urandom: "), "{text}");
    let all: Vec<_> = opens.into_iter().chain([libc::SYS_getrandom]).collect();
    let (result, text) = said_in(&all);
    assert!(
        result == -1 && text.starts_with("no entropy source: "),
        "{text}"
    );
}

fn texts_are_truncated_as_by_snprintf() {
    let ours = library::load(library::ours());
    // SAFETY: the functions have these types in `fork_safe_uuid.h`.
    let (status, prepare): (Status, Prepare) = unsafe {
        (
            function(&ours, "fork_safe_uuid_status"),
            function(&ours, "fork_safe_uuid_prepare"),
        )
    };
    // SAFETY: each buffer has as many bytes as the call is told.
    unsafe {
        let length = status(ptr::null_mut(), 0);
        assert!(prepare(ptr::null_mut(), 0) >= 0);
        let mut whole = [1_u8; 512];
        let length_now = status(whole.as_mut_ptr().cast(), whole.len());
        assert!(length > 20 && length_now > 20 && whole[length_now] == 0);
        assert!(!whole[..length_now].contains(&0) && whole[length_now + 1] == 1);
        let mut cut = [1_u8; 12];
        assert_eq!(status(cut.as_mut_ptr().cast(), 10), length_now);
        assert_eq!(cut[..9], whole[..9]);
        assert_eq!(cut[9..], [0, 1, 1]);
        assert_eq!(status(cut.as_mut_ptr().cast(), 1), length_now);
        assert_eq!(cut[0], 0);
    }
}
