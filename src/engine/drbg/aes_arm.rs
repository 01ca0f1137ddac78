//! AES-128 in counter mode with the instructions of 64-bit Arm (`FEAT_AES`).
//!
//! It is written in assembler for the same reason as that of x86. All round keys and eight
//! blocks fit into registers, so no secret is in memory.

use core::arch::asm;
use core::mem::offset_of;

use super::Key;
use super::backend::{Backend, groups};
use crate::format::{Block, Form};
use crate::sys;

pub(super) static AES: &[Backend] = &[Backend {
    name: "AES of Arm",
    is_there: sys::has_aes,
    any: by_1,
    wide: &[(8, by_8)],
}];

/// What the assembler reads. None of it is secret.
#[repr(C, align(16))]
struct Work {
    /// The counter block of the next key.
    first: Block,
    /// What to add to it for the next block.
    step: [u32; 4],
    /// What to add after the first group.
    back: [u32; 4],
    keep: Block,
    set: Block,
}

/// Encrypts the blocks in these registers. `aese` adds its key before the round, not after it.
macro_rules! encrypt {
    ($blocks:literal) => {
        encrypt!($blocks: 16 17 18 19 20 21 22 23 24)
    };
    ($blocks:literal: $($key:literal)*) => {
        concat!(
            $(
                ".irp n, ", $blocks, "\n",
                "aese v\\n\\().16b, v", $key, ".16b\n",
                "aesmc v\\n\\().16b, v\\n\\().16b\n",
                ".endr\n",
            )*
            ".irp n, ", $blocks, "\n",
            "aese v\\n\\().16b, v25.16b\n",
            "eor v\\n\\().16b, v\\n\\().16b, v26.16b\n",
            ".endr",
        )
    };
}

/// Defines a function that makes `$group` blocks at once, in the registers `$blocks`.
macro_rules! by {
    ($name:ident: $group:literal, $blocks:literal) => {
        #[target_feature(enable = "aes")]
        unsafe fn $name(key: &mut Key, first: Block, form: Form, dest: &mut [Block]) {
            let (groups, back) = groups(dest.len(), $group);
            let work = Work {
                first,
                step: [1, 0, 0, 0],
                back: [(back as u32).wrapping_neg(), 0, 0, 0],
                keep: form.keep,
                set: form.set,
            };
            // SAFETY: the caller promises that the processor has the instructions, and that
            // `dest` is empty or has room for a group. They write to the first half of `key`, to
            // the `groups` groups of `dest`, of which `back` blocks are made twice, and to
            // registers that are declared as clobbered.
            unsafe {
                asm!(
                    // The key schedule (FIPS 197, section 5.2). On four equal columns, `aese` is
                    // `SubWord`, because `ShiftRows` does not change them.
                    "ld1 {{v16.16b}}, [x1]",
                    "mov v0.16b, v16.16b",
                    "movi v1.4s, #0",
                    "movi v2.4s, #1",
                    ".irp key, 17,18,19,20,21,22,23,24,25,26",
                    "dup v3.4s, v0.s[3]",
                    "aese v3.16b, v1.16b",
                    "ushr v4.4s, v3.4s, #8",
                    "sli v4.4s, v3.4s, #24",
                    "eor v4.16b, v4.16b, v2.16b",
                    "ext v5.16b, v1.16b, v0.16b, #12",
                    "eor v0.16b, v0.16b, v5.16b",
                    "ext v5.16b, v1.16b, v0.16b, #8",
                    "eor v0.16b, v0.16b, v5.16b",
                    "eor v0.16b, v0.16b, v4.16b",
                    "mov v\\key\\().16b, v0.16b",
                    "shl v2.4s, v2.4s, #1",
                    ".if \\key == 24",
                    "movi v2.4s, #27",
                    ".endif",
                    ".endr",
                    "ldr q27, [x0, {first}]",
                    "ldr q28, [x0, {step}]",
                    "ldr q29, [x0, {back}]",
                    "ldr q30, [x0, {keep}]",
                    "ldr q31, [x0, {set}]",
                    "mov v0.16b, v27.16b",
                    encrypt!("0"),
                    "st1 {{v0.16b}}, [x1]",
                    "cbz x3, 3f",
                    "add v27.4s, v27.4s, v28.4s",
                    "2:",
                    concat!(".irp n, ", $blocks),
                    "mov v\\n\\().16b, v27.16b",
                    "add v27.4s, v27.4s, v28.4s",
                    ".endr",
                    encrypt!($blocks),
                    concat!(".irp n, ", $blocks),
                    "and v\\n\\().16b, v\\n\\().16b, v30.16b",
                    "orr v\\n\\().16b, v\\n\\().16b, v31.16b",
                    "str q\\n, [x2], #16",
                    ".endr",
                    "sub x2, x2, x4",
                    "mov x4, #0",
                    "add v27.4s, v27.4s, v29.4s",
                    "movi v29.4s, #0",
                    "subs x3, x3, #1",
                    "b.ne 2b",
                    "3:",
                    // From a round key or a block, a child that inherits registers
                    // could compute its parent's ready UUIDs.
                    ".irp n, 0,1,2,3,4,5,6,7,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
                    "movi v\\n\\().2d, #0",
                    ".endr",
                    first = const offset_of!(Work, first),
                    step = const offset_of!(Work, step),
                    back = const offset_of!(Work, back),
                    keep = const offset_of!(Work, keep),
                    set = const offset_of!(Work, set),
                    in("x0") &raw const work,
                    in("x1") key.as_mut_ptr(),
                    inout("x2") dest.as_mut_ptr() => _,
                    inout("x3") groups => _,
                    inout("x4") back * 16 => _,
                    clobber_abi("C"),
                    options(nostack)
                );
            }
        }
    };
}

by!(by_1: 1, "0");
by!(by_8: 8, "0,1,2,3,4,5,6,7");
