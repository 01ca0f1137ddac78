//! A host that loads the plugin and forks workers. Their threads use the plugin, and the workers
//! unload it while the threads still run.
//!
//! ```text
//! cd examples/plugin && cargo run
//! ```
//!
//! The exit status is 0 if no UUID was repeated and no worker crashed.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_void};
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::sync::Barrier;
use std::{env, mem, thread};

type NewId = unsafe extern "C" fn(*mut [u8; 16]) -> i32;

const WORKERS: usize = 4;
const THREADS: usize = 2;
const IDS: usize = 1000;

fn main() -> ExitCode {
    let path = env::current_exe()
        .expect("proc")
        .with_file_name("libplugin.so");
    let path = CString::new(path.to_str().expect("text")).expect("no zero in it");
    // SAFETY: the path ends in a zero byte.
    let plugin = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    assert!(!plugin.is_null(), "{path:?}: {:?}", problem());
    // SAFETY: the library is open, and the name ends in a zero byte.
    let new_id = unsafe { libc::dlsym(plugin, c"plugin_new_id".as_ptr()) };
    assert!(!new_id.is_null(), "{:?}", problem());
    // SAFETY: the plugin has a function of this type under that name.
    let new_id = unsafe { mem::transmute::<*mut c_void, NewId>(new_id) };

    // The host uses the plugin before it forks.
    let mut ids = BTreeSet::from([make(new_id)]);
    let (mut output, input) = io::pipe().expect("a pipe");
    let workers = [(); WORKERS].map(|()| {
        // SAFETY: this process has one thread.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            worker(plugin, new_id, &input);
            // SAFETY: the worker ends without running its parent's destructors.
            unsafe { libc::_exit(0) };
        }
        pid
    });
    drop(input);
    let mut bytes = Vec::new();
    output.read_to_end(&mut bytes).expect("the workers");
    let crashed = workers.into_iter().filter(|&pid| {
        let mut status = -1;
        // SAFETY: the pointer leads to an int.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        status != 0
    });
    let crashed = crashed.count();
    ids.extend(bytes.as_chunks().0);
    let missing = 1 + WORKERS * THREADS * IDS - ids.len();
    println!(
        "{} UUIDs, {missing} repeated or missing, {crashed} workers crashed",
        ids.len()
    );
    ExitCode::from(u8::from(missing + crashed > 0))
}

/// Makes UUIDs in several threads, and unloads the plugin before the threads end.
fn worker(plugin: *mut c_void, new_id: NewId, mut input: &io::PipeWriter) {
    let (made, unloaded) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let ids: Vec<_> = (0..IDS).map(|_| make(new_id)).collect();
                (&*input).write_all(ids.as_flattened()).expect("the host");
                made.wait();
                unloaded.wait();
                // The thread ends after the library was unloaded.
            });
        }
        made.wait();
        // SAFETY: the host does not call the plugin any more.
        unsafe { libc::dlclose(plugin) };
        unloaded.wait();
    });
    input.flush().expect("the host");
}

/// Makes a UUID by the plugin.
fn make(new_id: NewId) -> [u8; 16] {
    let mut id = [0; 16];
    // SAFETY: the plugin is loaded and writes 16 bytes.
    assert_eq!(unsafe { new_id(&raw mut id) }, 0, "no entropy");
    id
}

/// Returns the error of the last call of dlopen(3) or dlsym(3).
fn problem() -> Option<&'static CStr> {
    // SAFETY: one thread calls this, and the text lives until the next call.
    unsafe {
        let text = libc::dlerror();
        (!text.is_null()).then(|| CStr::from_ptr(text))
    }
}
