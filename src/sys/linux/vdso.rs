//! getrandom without a system call: a function of the vDSO, the small library
//! that the kernel maps into each process (vdso(7)).
//!
//! Since Linux 6.11 on x86-64, 6.12 on arm64 and others. glibc calls it since
//! 2.41; this finds it on any libc.

use core::ffi::{c_int, c_uint, c_void};
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::slice;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use elf::ElfBytes;
use elf::endian::NativeEndian;

/// What a thread lends the function: its key and its buffered bytes, of a
/// layout that the kernel keeps to itself.
///
/// The alignment keeps it from crossing a page, as the kernel asks.
#[repr(C, align(256))]
pub(crate) struct VdsoState([AtomicU64; 32]);

impl VdsoState {
    /// Makes it what a new one is: without a key, and not in use.
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

/// The size that the kernel named, known before there is a state. Relaxed: it
/// is the same whoever asks.
static STATE_SIZE: AtomicUsize = AtomicUsize::new(0);

/// Fills a prefix of `dest` and returns its length, or an errno; `None` where
/// there is no such function.
pub(crate) fn vdso_getrandom(dest: &mut [u8], state: &VdsoState) -> Option<Result<usize, i32>> {
    let function = function()?;
    let opaque = state.0.as_ptr().cast_mut().cast();
    // SAFETY: `dest` is writable and that long; `state` is memory as the kernel
    // asked for it, lent to this thread alone, and of atomics, so that it may
    // change.
    let result = unsafe {
        function(
            dest.as_mut_ptr(),
            dest.len(),
            0,
            opaque,
            STATE_SIZE.load(Relaxed),
        )
    };
    Some(usize::try_from(result).map_err(|_| -result as i32))
}

/// Maps `len` bytes for states, with the protection and flags that the kernel
/// names (`MAP_DROPPABLE`: zeroed in a forked child, and at worst at any time).
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
    // SAFETY: with this size and no buffer the function fills the structure,
    // and does nothing else.
    let result = unsafe {
        function(
            ptr::null_mut(),
            0,
            0,
            params.as_mut_ptr().cast(),
            usize::MAX,
        )
    };
    // SAFETY: zeros are a valid value already.
    (result == 0).then(|| unsafe { params.assume_init() })
}

/// Looks the function up once.
fn function() -> Option<Function> {
    /// Its address, or one of these. Relaxed: the value is all there is, and
    /// two threads that look at once find the same.
    static ADDRESS: AtomicUsize = AtomicUsize::new(UNKNOWN);
    const UNKNOWN: usize = 0;
    const NONE: usize = 1;

    let address = match ADDRESS.load(Relaxed) {
        UNKNOWN => {
            let found = find().unwrap_or(NONE);
            ADDRESS.store(found, Relaxed);
            found
        }
        known => known,
    };
    // SAFETY: the symbol's address in the image that the kernel mapped, and the
    // type that the kernel gives the function.
    (address != NONE).then(|| unsafe { core::mem::transmute::<usize, Function>(address) })
}

fn find() -> Option<usize> {
    const HEADER: usize = 64;
    const ELFCLASS64: u8 = 2;

    // SAFETY: looks a number up in a table.
    let base = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) } as usize;
    if base == 0 {
        return None;
    }
    // SAFETY: the kernel mapped an ELF image there, which begins with a header
    // and is never changed.
    let header: &[u8; HEADER] = unsafe { &*(base as *const [u8; HEADER]) };
    if header[4] != ELFCLASS64 {
        return None;
    }
    // The image ends with its section headers (elf(5)).
    let offset = u64::from_ne_bytes(*header[40..].first_chunk()?) as usize;
    let size = usize::from(u16::from_ne_bytes(*header[58..].first_chunk()?));
    let count = usize::from(u16::from_ne_bytes(*header[60..].first_chunk()?));
    let len = offset + size * count;
    // SAFETY: as above; the kernel maps the whole image.
    let image = unsafe { slice::from_raw_parts(base as *const u8, len) };

    let file = ElfBytes::<NativeEndian>::minimal_parse(image).ok()?;
    let (symbols, names) = file.dynamic_symbol_table().ok()??;
    let symbol = symbols.iter().find(|symbol| {
        // The name on x86 and loongarch, and on all others.
        let known: [&[u8]; 2] = [b"__vdso_getrandom", b"__kernel_getrandom"];
        names
            .get_raw(symbol.st_name as usize)
            .is_ok_and(|name| known.contains(&name))
    })?;
    // The image is linked at 0.
    Some(base + symbol.st_value as usize)
}
