//! A shared library that contains this crate. The program unloads it while threads still run
//! that have used it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::thread;

use fork_safe_uuid::Uuid;
use support::harness::step;
use support::libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW, Symbol};
use support::memory;
use support::process::status_of;
use support::uuids::assert_all_good;

use crate::guest::{self, on_x86_64};

support::scenarios![
    a_thread_outlives_the_library_that_it_loaded { possible: can_load },
    three_threads_outlive_a_library_that_another_thread_unloads { possible: can_load },
    a_thread_crashes_if_it_calls_an_unloaded_library_when_it_ends { possible: can_load },
    a_library_loaded_again_and_again_repeats_nothing { possible: can_load },
    the_crate_registers_no_callback_at_the_end_of_a_thread { possible: can_load },
];

/// Returns whether this program can load a shared library. A static program cannot.
fn can_load() -> bool {
    on_x86_64() && cfg!(all(target_env = "gnu", not(target_feature = "crt-static")))
}

/// The library of `tests/plugin`.
struct Loaded(Library);

impl Loaded {
    fn new(path: &Path) -> Self {
        assert!(!is_mapped(path));
        // SAFETY: the library does nothing when it is loaded.
        Self(unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.expect("a library"))
    }

    /// Returns a function that makes UUIDs, and works as long as the library is loaded.
    fn maker(&self) -> impl Fn(usize) -> Vec<Uuid> + Copy + Send + 'static {
        type Make = unsafe extern "C" fn(*mut Uuid, usize);
        // SAFETY: the library's function has this type.
        let make: Symbol<Make> = unsafe { self.0.get(b"loaded_make") }.expect("its function");
        let make = *make;
        move |count| {
            let mut ids = vec![Uuid::nil(); count];
            // SAFETY: scenarios call it while the library is loaded. It writes `count` UUIDs.
            unsafe { make(ids.as_mut_ptr(), count) };
            ids
        }
    }

    /// Registers a function of the library that is called when the calling thread ends.
    fn call_back(&self) {
        // SAFETY: the library's function has this type.
        unsafe {
            let call_back: Symbol<extern "C" fn()> =
                self.0.get(b"loaded_call_back").expect("its function");
            call_back();
        }
    }

    fn unload(self, path: &Path) {
        self.0.close().expect("dlclose");
        assert!(!is_mapped(path), "the library was not unloaded");
    }
}

fn is_mapped(path: &Path) -> bool {
    memory::is_mapped(path.to_str().expect("UTF-8"))
}

/// Starts a thread that loads the library, calls `using`, unloads the library, and ends.
fn in_a_thread<T: Send + 'static>(
    library: &Path,
    using: impl FnOnce(&Loaded) -> T + Send + 'static,
) -> T {
    let path = library.to_owned();
    let worker = thread::spawn(move || {
        let loaded = Loaded::new(&path);
        let result = using(&loaded);
        loaded.unload(&path);
        result
    });
    worker.join().expect("no panic")
}

/// Some hosts load a plugin in a worker thread and unload it before that thread ends.
fn a_thread_outlives_the_library_that_it_loaded() {
    let library = guest::build_library();
    let status =
        status_of(|| assert_all_good(&in_a_thread(&library, |loaded| loaded.maker()(3000))));
    assert_eq!(status, 0, "the thread crashed when it ended");
}

fn three_threads_outlive_a_library_that_another_thread_unloads() {
    const THREADS: usize = 3;
    let library = guest::build_library();
    let status = status_of(|| {
        let (made, unloaded) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
        let loaded = Loaded::new(&library);
        let make = loaded.maker();
        thread::scope(|scope| {
            let threads = [(); THREADS].map(|()| {
                scope.spawn(|| {
                    let ids = make(3000);
                    made.wait();
                    unloaded.wait();
                    ids
                })
            });
            made.wait();
            loaded.unload(&library);
            unloaded.wait();
            let ids = threads.map(|thread| thread.join().expect("no panic"));
            assert_all_good(&ids.concat());
        });
    });
    assert_eq!(status, 0, "a thread crashed when it ended");
}

/// The control: the same library registers a destructor, which is called when the thread ends.
fn a_thread_crashes_if_it_calls_an_unloaded_library_when_it_ends() {
    let library = guest::build_library();
    let status = status_of(|| in_a_thread(&library, Loaded::call_back));
    assert_eq!(status, libc::SIGSEGV, "the destructor was not called");
}

/// Returns the size of the address space of this process in KiB.
fn mapped() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("proc");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let size = size.and_then(|text| text.trim().strip_suffix(" kB"));
    size.expect("proc").parse().expect("a number")
}

/// If each round used two keys for thread-local values, the 1024 keys of glibc would not
/// suffice. Each round leaves memory mapped, because an unloaded library is not told that a
/// thread has ended.
fn a_library_loaded_again_and_again_repeats_nothing() {
    const ROUNDS: usize = 600;
    let library = guest::build_library();
    let round = || in_a_thread(&library, |loaded| loaded.maker()(30));
    let mut ids = round();
    let before = mapped();
    for number in 0..ROUNDS {
        step(format_args!("round {number}"));
        ids.extend(round());
    }
    let grown = (mapped() - before) / ROUNDS;
    println!("each round leaves {grown} KiB of address space mapped");
    assert!(grown <= 600, "{grown} KiB a round");
    assert_all_good(&ids);
}

/// Returns the object code of the standard library.
fn object_code_of_std(directory: &str) -> Vec<u8> {
    let entries = fs::read_dir(directory).expect("a directory");
    let files = entries.map(|entry| entry.expect("an entry").path());
    let is_it = |path: &PathBuf| {
        let file = path.file_name().and_then(|name| name.to_str());
        file.is_some_and(|file| file.starts_with("libstd-") && file.ends_with(".rlib"))
    };
    let code: Vec<u8> = files
        .filter(is_it)
        .flat_map(|path| fs::read(path).expect("an rlib"))
        .collect();
    assert!(!code.is_empty(), "there is no libstd");
    code
}

/// pthread_key_create(3) takes a lock, which may be held for ever in a child of `_Fork`.
/// pthread_setspecific(3) may allocate. And a destructor may have been unloaded when it is
/// called.
fn the_crate_registers_no_callback_at_the_end_of_a_thread() {
    const CALLS: [&str; 3] = [
        "pthread_key_create",
        "pthread_setspecific",
        "__cxa_thread_atexit_impl",
    ];
    let called = |code: &[u8]| {
        CALLS.map(|name| {
            step(format_args!("searches for {name}"));
            let name = [name.as_bytes(), b"\0"].concat();
            code.windows(name.len()).any(|window| window == name)
        })
    };
    assert_eq!(called(&guest::build_objects()), [false; 3]);

    // The control: the standard library calls all three.
    let rustc = Command::new("rustc")
        .args(["--print", "target-libdir"])
        .output();
    let std = guest::text(&rustc.expect("rustc"));
    assert_eq!(called(&object_code_of_std(std.trim())), [true; 3]);
}
