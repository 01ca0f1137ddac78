//! A virtual machine that is cloned. A forked child whose memory is not wiped takes the place
//! of the clone.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use fork_safe_uuid::{Generator, Uuid};
use seccompiler::SeccompAction;
use support::process::{fork, in_copy};
use support::sandbox::confine;
use support::uuids::{assert_all_good, make};
use support::{SLOTS, memory, ok};

use crate::guest::rows::Rows;
use crate::guest::{self, on_x86_64};
use crate::p2::snapshots::protected;

support::scenarios![
    a_clone_repeats_at_most_the_pool,
    a_clone_repeats_nothing_after_reseed,
    a_clone_repeats_nothing_unbuffered,
    clones_with_one_kernel_and_one_clock_differ {
        possible: with_hardware
    },
    without_hardware_random_numbers_the_clones_are_the_same {
        possible: with_hardware
    },
    a_process_whose_memory_lost_its_marks_is_marked_again_by_reseed {
        possible: on_x86_64
    },
];

/// Makes later forks copy the memory of the crate, as a hypervisor does, instead of wiping it.
pub fn keep_on_fork() {
    memory::keep_on_fork(&protected());
}

/// Makes getrandom(2) return the same bytes in each copy of this process, as in two clones of
/// a machine whose kernel is not told that it was cloned.
pub fn freeze_kernel() {
    // SAFETY: the handler has this type, and zeros are valid in the structure.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = answer_getrandom as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        ok(libc::sigaction(
            libc::SIGSYS,
            &raw const action,
            std::ptr::null_mut(),
        ));
    }
    confine(&[libc::SYS_getrandom], SeccompAction::Trap);
}

/// Answers getrandom(2) in place of the kernel, by Knuth's linear congruential generator.
extern "C" fn answer_getrandom(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    static STATE: AtomicU64 = AtomicU64::new(1);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: these are the registers of the trapped call, which is getrandom(2).
    unsafe {
        let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let to = registers[libc::REG_RDI as usize] as *mut u8;
        let len = registers[libc::REG_RSI as usize];
        for byte in std::slice::from_raw_parts_mut(to, len as usize) {
            let state = STATE.load(Relaxed);
            let next = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            STATE.store(next, Relaxed);
            *byte = (next >> 56) as u8;
        }
        registers[libc::REG_RAX as usize] = len;
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (context, &STATE);
}

/// Returns how many UUIDs a clone and the original both make, of 5000 each.
fn repeated(make: impl Fn() -> Vec<Uuid>) -> usize {
    let clones: BTreeSet<_> = in_copy(fork, &make).into_iter().collect();
    let original = make();
    assert_all_good(&original);
    original.iter().filter(|id| clones.contains(id)).count()
}

fn a_clone_repeats_at_most_the_pool() {
    make(1);
    keep_on_fork();
    // All of them were ready but the first. The repetition shows that the child is a clone.
    assert_eq!(repeated(|| make(5000)), SLOTS - 1);
}

fn a_clone_repeats_nothing_after_reseed() {
    make(1);
    keep_on_fork();
    let repeated = repeated(|| {
        fork_safe_uuid::reseed();
        make(5000)
    });
    assert_eq!(repeated, 0);
}

fn a_clone_repeats_nothing_unbuffered() {
    make(1);
    keep_on_fork();
    let unbuffered = Generator::unbuffered();
    assert_eq!(
        repeated(|| (0..5000).map(|_| unbuffered.new_v4()).collect()),
        0
    );
}

/// Returns whether this processor has random numbers, without which the control shows nothing.
pub fn with_hardware() -> bool {
    on_x86_64() && fork_safe_uuid::status().hardware_random()
}

fn clones_with_one_kernel_and_one_clock_differ() {
    guest::assert_passes("twins", &["cloned"]);
}

/// The control: without the processor's random numbers, nothing else makes the clones differ.
fn without_hardware_random_numbers_the_clones_are_the_same() {
    let [twins] = guest::build_changed(["twins"], &guest::WITHOUT_HARDWARE);
    let text = guest::text(&guest::run(&twins, &["cloned"]));
    let rows = Rows::read(&text);
    for (kind, count) in [
        ("new_v4", 2000),
        ("Generator::new", 2000),
        ("now_v7", 2000),
        ("unbuffered", 2000),
        ("unbuffered now_v7", 2000),
        ("fill_v4", 12288),
    ] {
        assert_eq!(rows.count_of(kind, "in_both"), count, "{text}");
    }
}

fn a_process_whose_memory_lost_its_marks_is_marked_again_by_reseed() {
    guest::assert_passes("twins", &["thawed"]);
}
