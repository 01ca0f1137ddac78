//! Calls `reseed()` after a virtual machine was restored. Here a signal handler calls it. A
//! udev rule or a hook of the platform can send the signal, for example by
//! `systemctl kill --signal=USR1`.
//!
//! ```text
//! cargo run --example restore
//! ```
//!
//! A forked child whose memory is not wiped takes the place of the clone. The exit status is 0
//! if the clone repeats only UUIDs that were ready without the signal, and none with it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use fork_safe_uuid::Uuid;

const UUIDS: usize = 5000;

/// `reseed()` takes no lock and does not allocate, so that a signal handler may call it.
extern "C" fn on_restore(_: libc::c_int) {
    fork_safe_uuid::reseed();
}

fn main() -> ExitCode {
    let handler = on_restore as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the handler calls only what a signal handler may call.
    unsafe { libc::signal(libc::SIGUSR1, handler) };

    let [silent, told] = [false, true].map(repeated);
    println!("repeated by a clone: {silent} of {UUIDS}; after reseed(): {told}");
    let as_promised = (1..=251).contains(&silent) && told == 0;
    ExitCode::from(u8::from(!as_promised))
}

/// Returns how many UUIDs both the original and its clone make. If `told`, both get the
/// signal.
fn repeated(told: bool) -> usize {
    // The machine has made a UUID before it is copied.
    let _ = fork_safe_uuid::new_v4();
    keep_on_fork();
    let (mut output, mut input) = io::pipe().expect("a pipe");
    let resume = || {
        if told {
            // SAFETY: the handler is set, and returns.
            unsafe { libc::raise(libc::SIGUSR1) };
        }
        (0..UUIDS).map(|_| fork_safe_uuid::new_v4())
    };
    // SAFETY: this process has one thread.
    if unsafe { libc::fork() } == 0 {
        for id in resume() {
            input.write_all(id.as_bytes()).expect("the original");
        }
        // SAFETY: the clone ends without running the original's destructors.
        unsafe { libc::_exit(0) };
    }
    drop(input);
    let original: BTreeSet<_> = resume().collect();
    let mut clones = Vec::new();
    output.read_to_end(&mut clones).expect("the clone");
    let clones = clones.as_chunks::<16>().0;
    assert_eq!(clones.len(), UUIDS, "the clone died");
    let is_repeated = |id: &&[u8; 16]| original.contains(&Uuid::from_bytes(**id));
    clones.iter().filter(is_repeated).count()
}

/// Makes forks copy the memory that the kernel would wipe, as a hypervisor does.
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
                // SAFETY: the call changes nothing in this process, only in its later
                // children.
                let result = unsafe { libc::madvise(start as *mut _, end - start, advice) };
                assert_eq!(result, 0);
            }
            _ => {}
        }
    }
}
