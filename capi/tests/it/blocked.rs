//! Tells a program that waits for ever from one that is slow.

use std::fs;
use std::io::ErrorKind;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

/// Runs a program until it ends, and returns what it printed. If it or a child of it sleeps in
/// one of the system calls, which nothing there would end, it is killed, and has no output.
pub fn run(command: &mut Command, calls: &[libc::c_long]) -> Option<Output> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a program");
    let parent = child.id();
    while child.try_wait().expect("a child").is_none() {
        let processes = [children(parent), vec![parent]].concat();
        if processes.iter().any(|&process| sleeps_in(process, calls)) {
            for process in processes {
                // SAFETY: the call takes numbers. The parent was not waited for, and sleeps or
                // waits for its children, so the ids are still theirs.
                unsafe { libc::kill(process as i32, libc::SIGKILL) };
            }
            child.wait().expect("a child");
            return None;
        }
        thread::sleep(Duration::from_millis(1));
    }
    Some(child.wait_with_output().expect("a child"))
}

/// Returns the processes that the main thread of a process has started.
fn children(process: u32) -> Vec<u32> {
    let list = read(&format!("/proc/{process}/task/{process}/children"));
    let ids = list.split_whitespace();
    ids.map(|id| id.parse().expect("a number")).collect()
}

/// Returns whether the main thread of a process sleeps in one of the calls. A thread that waits
/// for a disk does not count as asleep.
fn sleeps_in(process: u32, calls: &[libc::c_long]) -> bool {
    let state = read(&format!("/proc/{process}/stat"));
    let asleep = state
        .rsplit_once(')')
        .is_some_and(|(_, rest)| rest.starts_with(" S "));
    let call = read(&format!("/proc/{process}/syscall"));
    let call = call.split(' ').next().and_then(|call| call.parse().ok());
    asleep && call.is_some_and(|call| calls.contains(&call))
}

/// Returns the content of a file, which is empty if the process has ended.
fn read(path: &str) -> String {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => panic!("{path}: {error}"),
        content => content.unwrap_or_default(),
    }
}
