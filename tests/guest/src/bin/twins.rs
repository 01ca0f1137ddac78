//! Makes the same UUIDs in two copies of this process, and counts those that both
//! make.
//!
//! `twins cloned`: clones of a virtual machine that no kernel was told of. The
//! copies keep their memory; the kernel's generator, the process id and the clock
//! are the same for both. Only the processor's numbers are not.
//!
//! `twins thawed`: a process that CRIU before 4.2 restored, so that no memory is
//! wiped any more. It calls `reseed`, and is then copied.
//!
//! Each line says what was made and how many of it both made. The exit status is 0
//! if there are no more of them than is promised.
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

/// Made before the process is copied, and afterwards by each copy.
const BEFORE: usize = 3;
const AFTER: usize = 2000;

/// Blocks that are made of one seed.
const BLOCKS_PER_SEED: usize = 4096;

static IS_FROZEN: AtomicBool = AtomicBool::new(false);

/// Stands before the libc's.
///
/// # Safety
///
/// As clock_gettime(2).
// SAFETY: the type of the libc's.
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

/// A number of the kernel's, counted down at each answer; the process is cloned
/// before the last.
static COUNTDOWN: AtomicU64 = AtomicU64::new(u64::MAX);

/// The kernel's answers, the same in each copy of this process, by Marsaglia's
/// xorshift.
extern "C" fn answer(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    static STATE: AtomicU64 = AtomicU64::new(0x9e37_79b9_7f4a_7c15);
    // SAFETY: the number of the trapped call.
    if unsafe { *register(context, libc::REG_RAX) } == libc::SYS_getpid {
        // SAFETY: its result.
        unsafe { *register(context, libc::REG_RAX) = 1234 };
        return;
    }
    if COUNTDOWN.fetch_sub(1, Relaxed) == 0 {
        become_twins();
    }
    // SAFETY: the arguments of getrandom(2), which alone is trapped beside getpid(2).
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

/// From now on the kernel's generator, the process id and the clock are this
/// program's.
fn freeze() {
    IS_FROZEN.store(true, Relaxed);
    on(libc::SIGSYS, answer);
    let calls = [libc::SYS_getrandom, libc::SYS_getpid];
    let filter = filter(&calls, SeccompAction::Trap, SeccompAction::Allow);
    apply_filter(&filter.expect("x86-64")).expect("a filter");
}

/// Puts ordinary memory with the same content in the place of all that is wiped,
/// as CRIU does, and as a snapshot of a machine keeps it.
fn lose_marks() {
    let is_wiped = |flags: &[&str]| flags.contains(&"wf");
    for range in mappings(is_wiped) {
        let (address, len) = (
            ptr::with_exposed_provenance_mut::<u8>(range.start),
            range.len(),
        );
        // SAFETY: mapped, and the new mapping has the same content; one thread runs.
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

/// Whether this is the copy of the two that was made by `become_twins`.
static IS_SECOND: AtomicBool = AtomicBool::new(false);

/// Makes one copy of this process, which continues as this one does.
fn become_twins() {
    // SAFETY: one thread runs.
    match unsafe { libc::fork() } {
        -1 => panic!("no fork"),
        0 => IS_SECOND.store(true, Relaxed),
        _ => {}
    }
}

/// Returns what `make` returns in two processes, of which one becomes two in
/// `prepare` or in `make`.
fn both(prepare: impl FnOnce(), make: impl FnOnce() -> Vec<Uuid>) -> [Vec<Uuid>; 2] {
    let (first, second) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
    // SAFETY: one thread runs.
    if unsafe { libc::fork() } == 0 {
        prepare();
        let bytes: Vec<_> = make().iter().flat_map(|id| id.into_bytes()).collect();
        let [mut writer, mut other] = [first.1, second.1];
        if IS_SECOND.load(Relaxed) {
            std::mem::swap(&mut writer, &mut other);
        }
        // Whoever reads the other waits for its end.
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

/// Prints what both have, and returns whether it is as promised.
fn is_as_promised(what: &str, [mine, others]: [Vec<Uuid>; 2], promised: usize) -> bool {
    assert_eq!(mine.len(), others.len());
    assert!(!mine.is_empty());
    let others: BTreeSet<_> = others.into_iter().collect();
    let repeated = mine.iter().filter(|id| others.contains(id)).count();
    let kept = repeated <= promised;
    let verdict = if kept { "" } else { "BROKEN " };
    println!(
        "{verdict}{what}: {repeated} of {} in both, at most {promised}",
        mine.len()
    );
    kept
}

fn times(count: usize, make: impl Fn() -> Uuid) -> Vec<Uuid> {
    (0..count).map(|_| make()).collect()
}

/// Makes some, is cloned, and makes more.
fn cloned(make: &dyn Fn() -> Uuid) -> [Vec<Uuid>; 2] {
    let prepare = || {
        times(BEFORE, make);
        freeze();
        lose_marks();
        become_twins();
    };
    both(prepare, || times(AFTER, make))
}

/// Is cloned inside a request, at the second seed.
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

/// The kernel's bytes, to see that they are the same for both.
fn kernel() -> Uuid {
    let mut bytes = [0; 16];
    // SAFETY: writes 16 bytes to where there is room for them.
    let got = unsafe { libc::syscall(libc::SYS_getrandom, bytes.as_mut_ptr(), bytes.len(), 0) };
    assert_eq!(got, 16);
    Uuid::from_bytes(bytes)
}

fn are_clones_as_promised() -> bool {
    let unbuffered = Generator::unbuffered();
    let generator = Generator::new();
    let all_ready = SLOTS - BEFORE;
    let kernel = cloned(&kernel);
    assert_eq!(kernel[0], kernel[1], "not the same kernel");
    [
        is_as_promised("new_v4", cloned(&new_v4), all_ready),
        is_as_promised("Generator::new", cloned(&|| generator.new_v4()), all_ready),
        is_as_promised("now_v7", cloned(&now_v7), all_ready),
        is_as_promised("unbuffered", cloned(&|| unbuffered.new_v4()), 0),
        is_as_promised("unbuffered now_v7", cloned(&|| unbuffered.now_v7()), 0),
        is_as_promised("fill_v4", cloned_in_bulk(), BLOCKS_PER_SEED),
    ]
    .iter()
    .all(|&kept| kept)
}

/// Loses the marks, calls `reseed`, makes one, and is copied.
fn thawed(make: &dyn Fn() -> Uuid) -> [Vec<Uuid>; 2] {
    let prepare = || {
        times(BEFORE, make);
        lose_marks();
        reseed();
        make();
        become_twins();
    };
    both(prepare, || times(AFTER, make))
}

/// Is copied while its marks are lost, as two restored processes are, which then
/// call `reseed`.
fn thawed_twice(make: &dyn Fn() -> Uuid) -> [Vec<Uuid>; 2] {
    let prepare = || {
        times(BEFORE, make);
        lose_marks();
        become_twins();
        reseed();
    };
    both(prepare, || times(AFTER, make))
}

fn are_thawed_as_promised() -> bool {
    let unbuffered = Generator::unbuffered();
    let v6 = || now_v6(&random_node());
    let v1 = || now_v1(&random_node());
    let kinds: [(&str, &dyn Fn() -> Uuid); 5] = [
        ("new_v4", &new_v4),
        ("now_v7", &now_v7),
        ("now_v6", &v6),
        ("now_v1", &v1),
        ("unbuffered", &|| unbuffered.new_v4()),
    ];
    kinds
        .iter()
        .map(|(what, make)| {
            is_as_promised(&format!("{what}, restored twice"), thawed_twice(make), 0)
                & is_as_promised(&format!("{what}, then forked"), thawed(make), 0)
        })
        .fold(true, |all, kept| all & kept)
}

fn main() {
    println!("{}", status());
    let scene = std::env::args().nth(1);
    let kept = match scene.as_deref() {
        Some("cloned") => are_clones_as_promised(),
        Some("thawed") => are_thawed_as_promised(),
        _ => panic!("twins cloned|thawed"),
    };
    exit(if kept { 0 } else { 1 });
}
