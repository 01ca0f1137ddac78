//! getrandom without a system call: a function of the vDSO, the small library
//! that the kernel maps into each process (vdso(7)).
//!
//! | architecture | since Linux |
//! | --- | --- |
//! | x86-64 | 6.11 |
//! | arm64 | 6.12 |
//! | riscv64 | 7.2 or earlier (7.2 is the oldest that was tried) |
//! | any other | not called, even if the kernel has it |
//!
//! glibc calls it since 2.41. This module finds it with each libc.

use core::ffi::{c_int, c_uint, c_void};
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::slice;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

mod image;

/// Whether the function is called on this architecture. It is if it was tried on real kernels
/// and returns a length or a negative errno, as a C function does.
///
/// On powerpc it returns a *positive* errno and sets a flag that C cannot read,
/// so EPERM looks like one byte and ENOSYS like 38. On the other architectures (s390x,
/// loongarch64, 32-bit and big-endian ones) it was not tried.
const CHECKED: bool = cfg!(all(
    any(
        target_arch = "x86_64",  // Linux 6.12, 6.18, 7.3
        target_arch = "aarch64", // Linux 6.12, 7.3
        target_arch = "riscv64", // Linux 7.2
    ),
    target_pointer_width = "64",
    target_endian = "little",
));

/// The memory that a thread lends the function for its key and its buffered bytes. Only the
/// kernel knows the layout.
///
/// It is aligned so that it does not cross a page, as the kernel demands.
#[repr(C, align(256))]
pub(crate) struct VdsoState([AtomicU64; 32]);

// Each element of an array must be inside a page, too.
const _: () = assert!(size_of::<VdsoState>() == align_of::<VdsoState>());

impl VdsoState {
    pub(crate) fn clear(&self) {
        self.0.iter().for_each(|word| word.store(0, Relaxed));
    }
}

/// `getrandom(2)` with an opaque state and its size (lib/vdso/getrandom.c).
type Function = unsafe extern "C" fn(*mut u8, usize, c_uint, *mut c_void, usize) -> isize;

/// `struct vgetrandom_opaque_params` (include/uapi/linux/random.h).
#[repr(C)]
struct Params {
    size_of_opaque_state: u32,
    mmap_prot: u32,
    mmap_flags: u32,
    reserved: [u32; 13],
}

/// The size of a state that the kernel named. It is known before there is a state. Relaxed: it
/// is the same for each thread.
static STATE_SIZE: AtomicUsize = AtomicUsize::new(0);

/// Fills a prefix of `dest` and returns its length, or `None` if there is no such function, it
/// fails, or it returns more than was asked for.
pub(crate) fn vdso_getrandom(dest: &mut [u8], state: &VdsoState) -> Option<usize> {
    let function = function()?;
    let opaque = state.0.as_ptr().cast_mut().cast();
    // SAFETY: `dest` is writable and that long. `state` is memory as the kernel asked for it,
    // is lent only to this thread, and consists of atomics, so that it may change.
    let result = unsafe {
        function(
            dest.as_mut_ptr(),
            dest.len(),
            0,
            opaque,
            STATE_SIZE.load(Relaxed),
        )
    };
    answer(result, dest.len())
}

/// Returns the result as a length of up to `asked`, or `None` if it is a negative errno, or
/// neither.
#[inline]
fn answer(result: isize, asked: usize) -> Option<usize> {
    // A negative number is greater than any length.
    Some(result as usize).filter(|&length| length <= asked)
}

/// Maps `len` bytes for states, with the protection and flags that the kernel names. With
/// `MAP_DROPPABLE`, the kernel zeroes them in a forked child, and may do so at any time.
pub(crate) fn map_vdso_states(len: usize) -> Option<NonNull<u8>> {
    let params = params()?;
    let size = params.size_of_opaque_state as usize;
    if size > size_of::<VdsoState>() {
        return None;
    }
    STATE_SIZE.store(size, Relaxed);
    // SAFETY: asks for new memory at an address of the kernel's choice.
    let memory = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            params.mmap_prot as c_int,
            params.mmap_flags as c_int,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return None;
    }
    NonNull::new(memory.cast())
}

fn params() -> Option<Params> {
    let function = function()?;
    let mut params = MaybeUninit::<Params>::zeroed();
    // SAFETY: with this size and no buffer, the function only fills the structure.
    let result = unsafe {
        function(
            ptr::null_mut(),
            0,
            0,
            params.as_mut_ptr().cast(),
            usize::MAX,
        )
    };
    // SAFETY: zeros are a valid value.
    (result == 0).then(|| unsafe { params.assume_init() })
}

fn function() -> Option<Function> {
    /// The function's address, or one of the two constants. Relaxed: it guards nothing, and two
    /// threads that look at once find the same.
    static ADDRESS: AtomicUsize = AtomicUsize::new(UNKNOWN);
    const UNKNOWN: usize = 0;
    const NONE: usize = 1;

    if !CHECKED {
        return None;
    }
    let address = match ADDRESS.load(Relaxed) {
        UNKNOWN => {
            let found = find().unwrap_or(NONE);
            ADDRESS.store(found, Relaxed);
            found
        }
        known => known,
    };
    // SAFETY: it is the symbol's address in the image that the kernel mapped, and the type is
    // the one that the kernel gives the function.
    (address != NONE).then(|| unsafe { core::mem::transmute::<usize, Function>(address) })
}

fn find() -> Option<usize> {
    let image = image()?;
    // The first name is that on x86 and RISC-V, and the second that on Arm.
    let offset = image::function(image, b"__vdso_getrandom")
        .or_else(|| image::function(image, b"__kernel_getrandom"))?;
    Some(image.as_ptr().addr() + offset)
}

fn image() -> Option<&'static [u8]> {
    // SAFETY: looks a number up in a table.
    let base = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) } as usize as *const u8;
    if base.is_null() {
        return None;
    }
    // SAFETY: the kernel mapped an ELF image there, which has at least a page and never
    // changes.
    let headers = unsafe { slice::from_raw_parts(base, image::HEADERS) };
    let len = image::length(headers)?;
    // SAFETY: as above, and the kernel maps the whole image, to the end of what its headers say
    // is loaded.
    Some(unsafe { slice::from_raw_parts(base, len) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_up_to_what_was_asked_for_is_an_answer() {
        for length in [0, 5, 16] {
            assert_eq!(answer(length as isize, 16), Some(length));
        }
    }

    #[test]
    fn a_negative_errno_is_no_answer() {
        for errno in [libc::EPERM, libc::EINTR, libc::ENOSYS, 4095] {
            assert_eq!(answer(-errno as isize, 16), None);
        }
    }

    #[test]
    fn a_positive_errno_of_powerpc_is_no_answer_where_it_is_no_length() {
        assert_eq!(answer(libc::ENOSYS as isize, 16), None);
        assert_eq!(answer(libc::EPERM as isize, 0), None);
    }

    #[test]
    fn what_is_neither_a_length_nor_an_errno_is_no_answer() {
        for result in [17, isize::MAX, -4096, isize::MIN] {
            assert_eq!(answer(result, 16), None);
        }
    }

    #[test]
    fn the_vdso_is_used_only_where_its_convention_was_checked() {
        let checked = ["x86_64", "aarch64", "riscv64"].contains(&std::env::consts::ARCH);
        assert!(checked || function().is_none());
    }
}
