//! Finds processes that wait for ever, without a deadline.

use std::fs;

/// Returns whether a process waits for itself: each of its threads sleeps in futex(2), so that
/// none is left to wake another.
///
/// A thread that waits for a processor does not sleep, so that a busy machine changes nothing.
#[must_use]
pub fn is_stuck(pid: i32) -> bool {
    let Some(before) = sleeping(pid) else {
        return false;
    };
    // The texts count how often a thread has slept. If they are still the same, no thread ran
    // while the others were looked at.
    !before.is_empty() && sleeping(pid) == Some(before)
}

/// Returns what the kernel says about the threads of a process, or `None` unless all of them
/// sleep in futex(2).
fn sleeping(pid: i32) -> Option<Vec<String>> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    threads
        .map(|thread| {
            let thread = thread.ok()?.path();
            let text = fs::read_to_string(thread.join("status")).ok()?;
            let place = fs::read_to_string(thread.join("wchan"));
            // gVisor does not say where a thread sleeps.
            let in_futex = place.map_or(true, |place| place.starts_with("futex"));
            (text.contains("State:\tS") && in_futex).then_some(text)
        })
        .collect()
}

/// Returns a process of a group that [`is_stuck`].
#[must_use]
pub fn stuck_in_group(group: i32) -> Option<i32> {
    let processes = fs::read_dir("/proc").ok()?;
    let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // SAFETY: the call uses no memory.
    let mut its = numbers.filter(|&pid| unsafe { libc::getpgid(pid) } == group);
    its.find(|&pid| is_stuck(pid))
}
