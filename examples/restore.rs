//! After a virtual machine was restored: `reseed()`, here from a signal handler,
//! which whatever notices the restore sends (`systemctl kill --signal=USR1`
//! from a udev rule, a hook of the platform).
//!
//! ```text
//! cargo run --example restore
//! ```
//!
//! A fork whose memory is not wiped plays the clone. The exit status is 0 if the
//! clone repeats what was ready without the signal, and nothing with it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use fork_safe_uuid::Uuid;

const UUIDS: usize = 5000;

/// `reseed()` takes no lock and allocates nothing: a handler may call it.
extern "C" fn on_restore(_: libc::c_int) {
    fork_safe_uuid::reseed();
}

fn main() -> ExitCode {
    let handler = on_restore as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the handler calls what a handler may call.
    unsafe { libc::signal(libc::SIGUSR1, handler) };

    let [silent, told] = [false, true].map(repeated);
    println!("repeated by a clone: {silent} of {UUIDS}; after reseed(): {told}");
    let as_promised = (1..=251).contains(&silent) && told == 0;
    ExitCode::from(u8::from(!as_promised))
}

/// How many UUIDs both of two clones make.
fn repeated(told: bool) -> usize {
    // The machine runs, then it is copied.
    let _ = fork_safe_uuid::new_v4();
    keep_on_fork();
    let (mut output, mut input) = io::pipe().expect("a pipe");
    let resume = || {
        if told {
            // SAFETY: its handler returns.
            unsafe { libc::raise(libc::SIGUSR1) };
        }
        (0..UUIDS).map(|_| fork_safe_uuid::new_v4())
    };
    // SAFETY: this process has one thread.
    if unsafe { libc::fork() } == 0 {
        for id in resume() {
            input.write_all(id.as_bytes()).expect("the original");
        }
        // SAFETY: ends the clone without the original's destructors.
        unsafe { libc::_exit(0) };
    }
    drop(input);
    let mine: BTreeSet<_> = resume().collect();
    let mut clones = Vec::new();
    output.read_to_end(&mut clones).expect("the clone");
    let clones = clones.as_chunks::<16>().0;
    assert_eq!(clones.len(), UUIDS, "the clone died");
    let is_mine = |id: &&[u8; 16]| mine.contains(&Uuid::from_bytes(**id));
    clones.iter().filter(is_mine).count()
}

/// Takes back what a hypervisor does not do: that copied memory is wiped.
fn keep_on_fork() {
    let smaps = fs::read_to_string("/proc/self/smaps").expect("proc");
    let mut range = "";
    for line in smaps.lines() {
        match line.split_once(' ') {
            Some((first, _)) if first.contains('-') => range = first,
            Some(("VmFlags:", flags)) if flags.split(' ').any(|flag| flag == "wf") => {
                let (start, end) = range.split_once('-').expect("a range");
                let [start, end] =
                    [start, end].map(|at| usize::from_str_radix(at, 16).expect("an address"));
                let advice = libc::MADV_KEEPONFORK;
                // SAFETY: changes what a copy of this process finds there, and
                // nothing in this one.
                let result = unsafe { libc::madvise(start as *mut _, end - start, advice) };
                assert_eq!(result, 0);
            }
            _ => {}
        }
    }
}
