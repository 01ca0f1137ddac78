//! AES-128 in counter mode with the instructions of 64-bit x86: AES-NI on one or on eight blocks,
//! and VAES on eight vectors of two (AVX2) or of four blocks (AVX-512).
//!
//! It is written in assembler, because a compiler may leave any value of its own code on the
//! stack or in a register. Here, round keys are only in [`Work`] and in registers, blocks only in
//! registers and in `dest`, and the last lines clear both.

use core::arch::asm;
use core::mem::offset_of;
use std::arch::is_x86_feature_detected as has;

use super::Key;
use super::backend::{Backend, groups};
use crate::format::{Block, Form};

/// The fastest first. `std` caches what the processor has, and neither locks nor allocates.
pub(super) static AES: &[Backend] = &[
    Backend {
        name: "VAES-512",
        is_there: || has!("aes") && has!("vaes") && has!("avx2") && has!("avx512f"),
        any: by_1,
        wide: &[(32, by_32), (16, by_16), (8, by_8)],
    },
    Backend {
        name: "VAES-256",
        is_there: || has!("aes") && has!("vaes") && has!("avx2"),
        any: by_1,
        wide: &[(16, by_16), (8, by_8)],
    },
    Backend {
        name: "AES-NI",
        is_there: || has!("aes"),
        any: by_1,
        wide: &[(8, by_8)],
    },
];

/// What the assembler reads, and its only memory for secrets.
#[repr(C, align(16))]
struct Work {
    /// The 11 round keys. They are zero before and after.
    keys: [Block; 11],
    /// The counter block of the next key.
    first: Block,
    /// What to add to it for each block of the first vector.
    lanes: [[u32; 4]; 4],
    /// What to add to a vector for the next one.
    step: [u32; 4],
    /// What to add to a vector after the first group.
    back: [u32; 4],
    keep: Block,
    set: Block,
}

const _: () = assert!(
    offset_of!(Work, keys) == 0,
    "the assembler finds them at `rdi`"
);

/// An instruction with its two operands, registers of one width.
#[rustfmt::skip]
macro_rules! op {
    (xmm $name:ident $to:literal $from:literal) => { concat!(stringify!($name), " xmm", $to, ", xmm", $from) };
    (ymm $name:ident $to:literal $from:literal) => { concat!("v", stringify!($name), " ymm", $to, ", ymm", $to, ", ymm", $from) };
    (zmm pxor $to:literal $from:literal) => { op!(zmm pxord $to $from) };
    (zmm pand $to:literal $from:literal) => { op!(zmm pandd $to $from) };
    (zmm por $to:literal $from:literal) => { op!(zmm pord $to $from) };
    (zmm $name:ident $to:literal $from:literal) => { concat!("v", stringify!($name), " zmm", $to, ", zmm", $to, ", zmm", $from) };
}

/// Loads 16 bytes of [`Work`] into each lane of a register.
#[rustfmt::skip]
macro_rules! load {
    (xmm $to:literal $from:literal) => { concat!("movdqa xmm", $to, ", [rdi + ", $from, "]") };
    (ymm $to:literal $from:literal) => { concat!("vbroadcasti128 ymm", $to, ", [rdi + ", $from, "]") };
    (zmm $to:literal $from:literal) => { concat!("vbroadcasti32x4 zmm", $to, ", [rdi + ", $from, "]") };
}

/// Clears registers 0 to 15, of which 14 and 15 are not used.
#[rustfmt::skip]
macro_rules! clear {
    (xmm) => { ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n pxor xmm\\n, xmm\\n\n .endr" };
    ($wide:ident) => { "vzeroall" };
}

/// Defines a function that makes `$group` blocks at once: `$lanes` in each of the registers
/// `$blocks`.
macro_rules! by {
    ($name:ident: $group:literal, $lanes:literal, $blocks:literal, $r:ident, $move:literal) => {
        unsafe fn $name(key: &mut Key, first: Block, form: Form, dest: &mut [Block]) {
            let (groups, back) = groups(dest.len(), $group);
            let mut work = Work {
                keys: [[0; 16]; 11],
                first,
                lanes: [[1, 0, 0, 0], [2, 0, 0, 0], [3, 0, 0, 0], [4, 0, 0, 0]],
                step: [$lanes, 0, 0, 0],
                back: [(back as u32).wrapping_neg(), 0, 0, 0],
                keep: form.keep,
                set: form.set,
            };
            // SAFETY: the caller promises that the processor has the instructions, and that
            // `dest` is empty or has room for a group. They write to `work`, to the first half
            // of `key`, to the `groups` groups of `dest`, of which `back` blocks are made twice,
            // and to registers that are declared as clobbered.
            unsafe {
                asm!(
                    // The key schedule (FIPS 197, section 5.2), and the first block on the way.
                    "movdqu xmm1, [rsi]",
                    "movdqa [rdi], xmm1",
                    "movdqa xmm0, [rdi + {first}]",
                    "pxor xmm0, xmm1",
                    ".irp constant, 1,2,4,8,16,32,64,128,27,54",
                    "aeskeygenassist xmm2, xmm1, \\constant",
                    "pshufd xmm2, xmm2, 0xff",
                    "movdqa xmm3, xmm1",
                    "pslldq xmm3, 4",
                    "pxor xmm1, xmm3",
                    "movdqa xmm3, xmm1",
                    "pslldq xmm3, 8",
                    "pxor xmm1, xmm3",
                    "pxor xmm1, xmm2",
                    "add rdi, 16",
                    "movdqa [rdi], xmm1",
                    ".if \\constant - 54",
                    "aesenc xmm0, xmm1",
                    ".else",
                    "aesenclast xmm0, xmm1",
                    ".endif",
                    ".endr",
                    "sub rdi, 160",
                    "movdqu [rsi], xmm0",
                    "test rcx, rcx",
                    "jz 3f",
                    load!($r "9" "{first}"),
                    concat!($move, " ", stringify!($r), "8, [rdi + {lanes}]"),
                    op!($r paddd "9" "8"),
                    load!($r "10" "{step}"),
                    load!($r "11" "{back}"),
                    load!($r "12" "{keep}"),
                    load!($r "13" "{set}"),
                    "2:",
                    concat!(".irp n, ", $blocks),
                    load!($r "\\n" "0"),
                    op!($r pxor "\\n" "9"),
                    op!($r paddd "9" "10"),
                    ".endr",
                    ".irp round, 16,32,48,64,80,96,112,128,144",
                    load!($r "8" "\\round"),
                    concat!(".irp n, ", $blocks),
                    op!($r aesenc "\\n" "8"),
                    ".endr",
                    ".endr",
                    load!($r "8" "160"),
                    concat!(".irp n, ", $blocks),
                    op!($r aesenclast "\\n" "8"),
                    op!($r pand "\\n" "12"),
                    op!($r por "\\n" "13"),
                    concat!($move, " [rdx + 16 * ", $lanes, " * \\n], ", stringify!($r), "\\n"),
                    ".endr",
                    concat!("lea rdx, [rdx + rax + 16 * ", $group, "]"),
                    "xor eax, eax",
                    op!($r paddd "9" "11"),
                    op!($r pxor "11" "11"),
                    "dec rcx",
                    "jnz 2b",
                    "3:",
                    // From a round key or a block, a child that inherits registers or
                    // this memory could compute its parent's ready UUIDs.
                    clear!($r),
                    ".irp round, 0,16,32,48,64,80,96,112,128,144,160",
                    "movdqa [rdi + \\round], xmm0",
                    ".endr",
                    first = const offset_of!(Work, first),
                    lanes = const offset_of!(Work, lanes),
                    step = const offset_of!(Work, step),
                    back = const offset_of!(Work, back),
                    keep = const offset_of!(Work, keep),
                    set = const offset_of!(Work, set),
                    inout("rdi") &raw mut work => _,
                    in("rsi") key.as_mut_ptr(),
                    inout("rdx") dest.as_mut_ptr() => _,
                    inout("rcx") groups => _,
                    inout("rax") (back * 16).wrapping_neg() => _,
                    // The registers that any function of the System V ABI may change include all
                    // vector registers; on Windows, "C" would leave some out.
                    clobber_abi("sysv64"),
                    options(nostack)
                );
            }
        }
    };
}

by!(by_1: 1, 1, "0", xmm, "movdqu");
by!(by_8: 8, 1, "0,1,2,3,4,5,6,7", xmm, "movdqu");
by!(by_16: 16, 2, "0,1,2,3,4,5,6,7", ymm, "vmovdqu");
by!(by_32: 32, 4, "0,1,2,3,4,5,6,7", zmm, "vmovdqu64");
