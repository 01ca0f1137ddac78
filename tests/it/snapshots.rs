//! What lies in memory, and a virtual machine that is cloned: a fork whose
//! memory is not wiped.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use fork_safe_uuid::{Generator, Uuid};
use seccompiler::SeccompAction;
use support::process::{fork, in_copy};
use support::sandbox::confine;
use support::uuids::{assert_all_good, make};
use support::{SLOTS, memory, ok};

use crate::guest::rows::Rows;
use crate::guest::{self, on_x86_64};

support::scenarios![
    ready_uuids_are_wiped_at_fork_and_not_dumped,
    a_clone_repeats_at_most_the_pool,
    a_clone_repeats_nothing_after_reseed,
    a_clone_repeats_nothing_unbuffered,
    clones_with_one_kernel_and_one_clock_differ {
        possible: with_hardware,
        seconds: 600
    },
    without_the_hardware_they_are_the_same {
        possible: with_hardware,
        seconds: 600
    },
    a_process_whose_memory_lost_its_marks_is_whole_after_reseed {
        possible: on_x86_64,
        seconds: 600
    },
    nothing_that_was_handed_out_is_left_in_memory {
        possible: on_x86_64,
        seconds: 600
    },
    without_clearing_the_stack_round_keys_are_found {
        possible: on_x86_64,
        seconds: 600
    },
    without_clearing_the_registers_round_keys_are_found {
        possible: on_x86_64,
        seconds: 600
    },
    nothing_of_the_parents_is_in_a_childs_memory {
        possible: on_x86_64,
        seconds: 600
    },
];

/// Wiped at fork, and not dumped.
fn protected() -> Vec<Range<usize>> {
    memory::mappings(|has| has.contains(&"wf") && has.contains(&"dd"))
}

fn ready_uuids_are_wiped_at_fork_and_not_dumped() {
    assert!(protected().is_empty());
    make(1);
    assert_eq!(protected().len(), 1);
    // No other memory of this crate is only half protected.
    assert_eq!(memory::mappings(|has| has.contains(&"wf")).len(), 1);
}

/// As a hypervisor does: memory is copied and nothing tells.
pub fn keep_on_fork() {
    memory::keep_on_fork(&protected());
}

/// From now on getrandom(2) gives each copy of this process the same bytes, as the
/// kernel of a clone does that does not know that it is one.
pub fn freeze_kernel() {
    // SAFETY: a handler of this type; zeros are valid in the structure.
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

/// In the place of the kernel: Knuth's linear congruential generator.
extern "C" fn answer_getrandom(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    static STATE: AtomicU64 = AtomicU64::new(1);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the registers of the trapped call, which is getrandom(2).
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

/// The UUIDs that a clone and the original both make, of 5000 each.
fn repeated(make: impl Fn() -> Vec<Uuid>) -> usize {
    let clones: BTreeSet<_> = in_copy(fork, &make).into_iter().collect();
    let mine = make();
    assert_all_good(&mine);
    mine.iter().filter(|id| clones.contains(id)).count()
}

fn a_clone_repeats_at_most_the_pool() {
    make(1);
    keep_on_fork();
    // All but the first are ready; that they are repeated shows that the scene is real.
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

/// Whether a control would see that the hardware's numbers are left out.
pub fn with_hardware() -> bool {
    on_x86_64() && fork_safe_uuid::status().hardware_random()
}

fn clones_with_one_kernel_and_one_clock_differ() {
    guest::assert_passes("twins", &["cloned"]);
}

/// The control: so the scene is one in which nothing else tells the clones apart.
fn without_the_hardware_they_are_the_same() {
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

fn a_process_whose_memory_lost_its_marks_is_whole_after_reseed() {
    guest::assert_passes("twins", &["thawed"]);
}

fn nothing_that_was_handed_out_is_left_in_memory() {
    guest::assert_passes("memory", &["handed-out"]);
}

/// The control. Without a switch in the changed program, which would change what
/// lies on the stack.
fn without_clearing_the_stack_round_keys_are_found() {
    let changes = [("drbg.rs", "    clear_stack();", "")];
    guest::assert_broken_by("memory", &["handed-out"], "used_keys", &changes);
}

/// The same: from them a forked child can compute its parent's next UUIDs.
fn without_clearing_the_registers_round_keys_are_found() {
    let changes = [("drbg.rs", "    sys::clear_registers();", "")];
    guest::assert_broken_by(
        "memory",
        &["handed-out"],
        "used_keys_in_registers",
        &changes,
    );
}

fn nothing_of_the_parents_is_in_a_childs_memory() {
    guest::assert_passes("memory", &["child"]);
}
