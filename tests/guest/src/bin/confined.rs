//! Makes UUIDs in a sandbox that kills the process if it opens any file.
//!
//! The scenario that runs it builds it with `-C target-feature=+crt-static`.

use std::collections::BTreeSet;

use seccompiler::{SeccompAction, apply_filter};
use support::memory::is_mapped;
use support::seccomp::{SYS_OPEN, filter};

fn main() {
    assert!(!is_mapped("libc.so"), "linked dynamically");
    let generator = std::env::args().nth(1);
    let calls = [libc::SYS_openat, libc::SYS_openat2, SYS_OPEN];
    let filter = filter(&calls, SeccompAction::KillProcess, SeccompAction::Allow);
    apply_filter(&filter.expect("a known architecture")).expect("seccomp");

    match generator.as_deref() {
        Some("crate") => {
            let ids: BTreeSet<_> = (0..1000).map(|_| fork_safe_uuid::new_v4()).collect();
            assert_eq!(ids.len(), 1000);
        }
        Some("peer") => getrandom::fill(&mut [0; 16]).expect("entropy"),
        _ => panic!("crate or peer?"),
    }
}
