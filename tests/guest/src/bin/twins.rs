//! Makes UUIDs in two copies of this process, and counts those that both make.
//!
//! - `twins cloned`: the copies are clones of a virtual machine whose kernel does not know
//!   that it was cloned. They keep their memory, and they have the same random numbers from
//!   the kernel, the same process id and the same clock. Only the processor's random
//!   numbers differ.
//! - `twins thawed`: the process was restored by CRIU before 4.2, so that the kernel wipes
//!   no memory any more. It calls `reseed`, and is copied.
//!
//! It prints a row for each kind of UUID. `in_both` is how many of them both copies made.
//! It fails if that is more than `limit`, which is what the crate promises.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::collections::BTreeSet;
use std::io::{Read, Write, pipe};
use std::process::exit;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use fork_safe_uuid::{
    Generator, Uuid, fill_v4, new_v4, now_v1, now_v6, now_v7, random_node, reseed, status,
};
use guest::{on, register};
use seccompiler::{SeccompAction, apply_filter};
use support::SLOTS;
use support::memory::mappings;
use support::seccomp::filter;

/// How many UUIDs are made before the process is copied.
const BEFORE: usize = 3;

/// How many UUIDs each copy makes.
const AFTER: usize = 2000;

/// How many blocks are made before the seed is renewed.
const BLOCKS_PER_SEED: usize = 4096;

static IS_FROZEN: AtomicBool = AtomicBool::new(false);

/// Replaces the libc's function.
///
/// # Safety
///
/// `time` is valid for a write, as for clock_gettime(2).
// SAFETY: it has the type of the libc's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(id: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    // SAFETY: the caller vouches for the pointer.
    unsafe {
        if IS_FROZEN.load(Relaxed) {
            *time = libc::timespec {
                tv_sec: 1_800_000_000,
                tv_nsec: 0,
            };
            return 0;
        }
        libc::syscall(libc::SYS_clock_gettime, id, time) as libc::c_int
    }
}

/// How many requests the kernel answers before the process is copied.
static COUNTDOWN: AtomicU64 = AtomicU64::new(u64::MAX);

/// Answers getrandom(2) and getpid(2) with the same values in each copy of this process.
/// The random numbers are those of Marsaglia's xorshift.
extern "C" fn answer(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    static STATE: AtomicU64 = AtomicU64::new(0x9e37_79b9_7f4a_7c15);
    // SAFETY: the kernel passed this context to this handler.
    if unsafe { *register(context, libc::REG_RAX) } == libc::SYS_getpid {
        // SAFETY: as above.
        unsafe { *register(context, libc::REG_RAX) = 1234 };
        return;
    }
    if COUNTDOWN.fetch_sub(1, Relaxed) == 0 {
        become_twins();
    }
    // SAFETY: as above. The call is getrandom(2), because no other is trapped, so that these
    // are a buffer and its length.
    unsafe {
        let to = *register(context, libc::REG_RDI) as *mut u8;
        let len = *register(context, libc::REG_RSI);
        for byte in slice::from_raw_parts_mut(to, len as usize) {
            let mut state = STATE.load(Relaxed);
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            STATE.store(state, Relaxed);
            *byte = (state >> 32) as u8;
        }
        *register(context, libc::REG_RAX) = len;
    }
}

/// Replaces the kernel's random numbers, the process id and the clock.
fn freeze() {
    IS_FROZEN.store(true, Relaxed);
    on(libc::SIGSYS, answer);
    let calls = [libc::SYS_getrandom, libc::SYS_getpid];
    let filter = filter(&calls, SeccompAction::Trap, SeccompAction::Allow);
    apply_filter(&filter.expect("x86-64")).expect("a filter");
}

/// Replaces all memory that the kernel wipes at a fork by ordinary memory with the same
/// content. CRIU does so, and a snapshot of a machine keeps such memory.
fn lose_marks() {
    let is_wiped = |flags: &[&str]| flags.contains(&"wf");
    for range in mappings(is_wiped) {
        let (address, len) = (
            ptr::with_exposed_provenance_mut::<u8>(range.start),
            range.len(),
        );
        // SAFETY: the memory is mapped, and the new mapping has the same content. This
        // process has one thread.
        unsafe {
            let content = slice::from_raw_parts(address, len).to_vec();
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            let access = libc::PROT_READ | libc::PROT_WRITE;
            assert_eq!(
                libc::mmap(address.cast(), len, access, flags, -1, 0),
                address.cast()
            );
            ptr::copy_nonoverlapping(content.as_ptr(), address, len);
        }
    }
    assert!(mappings(is_wiped).is_empty());
}

/// Whether this process is the copy that `become_twins` made.
static IS_SECOND: AtomicBool = AtomicBool::new(false);

/// Makes one copy of this process, which continues as this one does.
fn become_twins() {
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        -1 => panic!("no fork"),
        0 => IS_SECOND.store(true, Relaxed),
        _ => {}
    }
}

/// Runs `prepare` and `make` in a new process, and returns what `make` returns in two copies of
/// it. One of the two functions makes the copies.
fn both(prepare: impl FnOnce(), make: impl FnOnce() -> Vec<Uuid>) -> [Vec<Uuid>; 2] {
    let (first, second) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
    // SAFETY: this process has one thread.
    if unsafe { libc::fork() } == 0 {
        prepare();
        let bytes: Vec<_> = make().iter().flat_map(|id| id.into_bytes()).collect();
        let [mut writer, mut other] = [first.1, second.1];
        if IS_SECOND.load(Relaxed) {
            std::mem::swap(&mut writer, &mut other);
        }
        // The reader of the other pipe waits until all its writers are closed.
        drop(other);
        writer.write_all(&bytes).expect("a pipe");
        exit(0);
    }
    [first, second].map(|(mut reader, writer)| {
        drop(writer);
        let mut bytes = vec![];
        reader.read_to_end(&mut bytes).expect("a pipe");
        let (ids, _) = bytes.as_chunks();
        ids.iter().map(|&id| Uuid::from_bytes(id)).collect()
    })
}

/// Prints the row of a kind, and returns whether both copies made at most `limit` of them.
fn is_within(kind: &str, [first, second]: [Vec<Uuid>; 2], limit: usize) -> bool {
    assert_eq!(first.len(), second.len());
    assert!(!first.is_empty());
    let second: BTreeSet<_> = second.into_iter().collect();
    let in_both = first.iter().filter(|id| second.contains(id)).count();
    let row = guest::row(&[
        ("kind", &kind),
        ("made", &first.len()),
        ("in_both", &in_both),
        ("limit", &limit),
    ]);
    println!("{row}");
    in_both <= limit
}

type Make<'a> = &'a dyn Fn() -> Uuid;

fn times(count: usize, make: impl Fn() -> Uuid) -> Vec<Uuid> {
    (0..count).map(|_| make()).collect()
}

/// Copies the process, calls `then` in both copies, and makes UUIDs.
fn cloned(make: Make<'_>, then: fn()) -> [Vec<Uuid>; 2] {
    let prepare = || {
        times(BEFORE, make);
        freeze();
        lose_marks();
        become_twins();
        then();
    };
    both(prepare, || times(AFTER, make))
}

/// Copies the process inside a request, when the request draws its second seed.
fn cloned_in_bulk() -> [Vec<Uuid>; 2] {
    let prepare = || {
        let _ = new_v4();
        reseed();
        freeze();
        lose_marks();
        COUNTDOWN.store(1, Relaxed);
    };
    let make = || {
        let mut ids = vec![Uuid::nil(); 3 * BLOCKS_PER_SEED];
        fill_v4(&mut ids);
        ids
    };
    both(prepare, make)
}

/// Makes a UUID of 16 bytes of the kernel.
fn kernel() -> Uuid {
    let mut bytes = [0; 16];
    // SAFETY: the kernel writes at most 16 bytes to an array that has room for them.
    let got = unsafe { libc::syscall(libc::SYS_getrandom, bytes.as_mut_ptr(), bytes.len(), 0) };
    assert_eq!(got, 16);
    Uuid::from_bytes(bytes)
}

fn are_clones_as_promised() -> bool {
    let unbuffered = Generator::unbuffered();
    let generator = Generator::new();
    let all_ready = SLOTS - BEFORE;
    let nothing = || {};
    let kernel = cloned(&kernel, nothing);
    assert_eq!(kernel[0], kernel[1], "the kernel tells the copies apart");
    let v6 = || now_v6(&random_node());
    let v1 = || now_v1(&random_node());
    let kinds: [(_, Make<'_>, fn(), _); 7] = [
        ("new_v4", &new_v4, nothing, all_ready),
        ("Generator::new", &|| generator.new_v4(), nothing, all_ready),
        ("now_v7", &now_v7, nothing, all_ready),
        ("unbuffered", &|| unbuffered.new_v4(), nothing, 0),
        ("unbuffered now_v7", &|| unbuffered.now_v7(), nothing, 0),
        ("now_v6, after reseed", &v6, reseed, 0),
        ("now_v1, after reseed", &v1, reseed, 0),
    ];
    kinds
        .map(|(kind, make, then, limit)| is_within(kind, cloned(make, then), limit))
        .into_iter()
        .chain([is_within("fill_v4", cloned_in_bulk(), BLOCKS_PER_SEED)])
        .fold(true, |all, is_within| all & is_within)
}

/// Removes the marks, calls `reseed`, makes a UUID, and copies the process. The clock stands
/// still, so that it does not tell the copies apart.
fn thawed(make: Make<'_>) -> [Vec<Uuid>; 2] {
    let prepare = || {
        times(BEFORE, make);
        lose_marks();
        IS_FROZEN.store(true, Relaxed);
        reseed();
        make();
        become_twins();
    };
    both(prepare, || times(AFTER, make))
}

/// Removes the marks and copies the process, so that the two are as two restored processes,
/// and calls `reseed` in both. The clock stands still here, too.
fn thawed_twice(make: Make<'_>) -> [Vec<Uuid>; 2] {
    let prepare = || {
        times(BEFORE, make);
        lose_marks();
        IS_FROZEN.store(true, Relaxed);
        become_twins();
        reseed();
    };
    both(prepare, || times(AFTER, make))
}

fn are_thawed_as_promised() -> bool {
    let unbuffered = Generator::unbuffered();
    let v6 = || now_v6(&random_node());
    let v1 = || now_v1(&random_node());
    let kinds: [(&str, Make<'_>); 5] = [
        ("new_v4", &new_v4),
        ("now_v7", &now_v7),
        ("now_v6", &v6),
        ("now_v1", &v1),
        ("unbuffered", &|| unbuffered.new_v4()),
    ];
    kinds
        .map(|(kind, make)| {
            is_within(&format!("{kind}, restored twice"), thawed_twice(make), 0)
                & is_within(&format!("{kind}, then forked"), thawed(make), 0)
        })
        .into_iter()
        .fold(true, |all, is_within| all & is_within)
}

fn main() {
    println!("{}", status());
    let scene = std::env::args().nth(1);
    let is_promised = match scene.as_deref() {
        Some("cloned") => are_clones_as_promised(),
        Some("thawed") => are_thawed_as_promised(),
        _ => panic!("cloned or thawed?"),
    };
    exit(i32::from(!is_promised));
}
