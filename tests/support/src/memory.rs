//! The mappings of this process, and memory that its copies share.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::ok;

/// Returns the addresses of the mappings for whose `VmFlags` in /proc/self/smaps `wanted`
/// returns true.
pub fn mappings(wanted: impl Fn(&[&str]) -> bool) -> Vec<Range<usize>> {
    let smaps = fs::read_to_string("/proc/self/smaps").expect("proc");
    let mut range = None;
    let mut found = vec![];
    for line in smaps.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            let flags: Vec<_> = flags.split_whitespace().collect();
            found.extend(range.take().filter(|_| wanted(&flags)));
        } else {
            range = addresses(line).or(range);
        }
    }
    found
}

/// Returns the addresses at the beginning of a line of maps or smaps.
fn addresses(line: &str) -> Option<Range<usize>> {
    let (start, end) = line.split_once(' ')?.0.split_once('-')?;
    let hex = |text| usize::from_str_radix(text, 16).ok();
    Some(hex(start)?..hex(end)?)
}

/// Makes forks copy mappings that the kernel would otherwise wipe in the child, as a
/// hypervisor does when it clones a machine.
pub fn keep_on_fork(mappings: &[Range<usize>]) {
    assert!(!mappings.is_empty());
    for range in mappings {
        // SAFETY: the call changes nothing in this process, only in its later children.
        ok(unsafe { libc::madvise(range.start as *mut _, range.len(), libc::MADV_KEEPONFORK) });
    }
}

/// Returns whether a file whose path contains `path` is mapped.
pub fn is_mapped(path: &str) -> bool {
    let maps = fs::read_to_string("/proc/self/maps").expect("proc");
    maps.contains(path)
}

/// Returns the image of the vDSO, or `None` if the kernel maps none.
pub fn vdso() -> Option<Vec<u8>> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("[vdso]"))?;
    let range = addresses(line)?;
    let mut image = vec![0; range.len()];
    let memory = File::open("/proc/self/mem").ok()?;
    memory.read_exact_at(&mut image, range.start as u64).ok()?;
    Some(image)
}

/// Maps zeroed memory that all later copies of this process share. It is never unmapped, and
/// a page takes memory only when it is written.
pub fn map_shared(bytes: usize) -> *mut libc::c_void {
    // SAFETY: the kernel chooses the address of the new memory.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    assert_ne!(memory, libc::MAP_FAILED);
    memory
}
