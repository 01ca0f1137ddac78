//! Draws in a sandbox in which opening any file is death.
//!
//! Built with `-C target-feature=+crt-static` by the scenario that runs it.

use std::collections::{BTreeMap, BTreeSet};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

fn main() {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("proc");
    assert!(!maps.contains("libc.so"), "to be linked statically");
    let who = std::env::args().nth(1);
    let calls = [libc::SYS_openat, libc::SYS_openat2, SYS_OPEN];
    let filter: BpfProgram = SeccompFilter::new(
        calls
            .map(|call| (call, vec![]))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
        SeccompAction::Allow,
        SeccompAction::KillProcess,
        std::env::consts::ARCH
            .try_into()
            .expect("a known architecture"),
    )
    .and_then(TryInto::try_into)
    .expect("a filter");
    apply_filter(&filter).expect("seccomp");

    match who.as_deref() {
        Some("ours") => {
            let ids: BTreeSet<_> = (0..1000).map(|_| fork_safe_uuid::new_v4()).collect();
            assert_eq!(ids.len(), 1000);
        }
        Some("peer") => getrandom::fill(&mut [0; 16]).expect("entropy"),
        _ => panic!("ours or peer?"),
    }
}

#[cfg(target_arch = "x86_64")]
const SYS_OPEN: i64 = libc::SYS_open;
/// Newer architectures have no open(2).
#[cfg(not(target_arch = "x86_64"))]
const SYS_OPEN: i64 = libc::SYS_openat;
