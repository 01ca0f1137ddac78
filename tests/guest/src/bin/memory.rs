//! Searches all memory that this process can write to for secrets that must be gone.
//!
//! - `memory to-come` searches for what gives away the UUIDs to come: the round keys of the key
//!   that made them, in this process and in its vector registers; and also the next key and the
//!   ready UUIDs, in a forked child. It may be compiled in any way.
//! - `memory handed-out` searches for UUIDs that were handed out and for the seed. Without
//!   optimisation, it would find its own copies.
//! - `memory threads` measures the memory that is left by threads that make UUIDs until
//!   they end.
//!
//! Each search prints a row, such as `used_keys=0`: how often it has found the secret. This
//! program keeps the secrets inverted, so that it does not find its own copies.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::arch::asm;
use std::arch::x86_64::{__m128i, _mm_aeskeygenassist_si128, _mm_shuffle_epi32};
use std::ffi::c_void;
use std::fs;
use std::hint::black_box;
use std::io::{Read, Write};
use std::mem::transmute;
use std::process::exit;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use fork_safe_uuid::source::{EntropySource, Kernel};
use fork_safe_uuid::{Error, Generator, Uuid, fill_v4, new_v4, reseed};
use support::SLOTS;

/// 16 bytes, inverted.
type Hidden = u128;

/// Inverts a secret. In assembler, as a compiler may leave a copy on the stack.
fn hide(bytes: &[u8; 16]) -> Hidden {
    let mut hidden: Hidden = 0;
    // SAFETY: reads the array, and writes the integer and declared registers.
    unsafe {
        asm!(
            "movdqu xmm0, [{from}]",
            "pcmpeqd xmm1, xmm1",
            "pxor xmm1, xmm0",
            "movdqu [{to}], xmm1",
            "pxor xmm0, xmm0",
            from = in(reg) bytes,
            to = in(reg) &raw mut hidden,
            out("xmm0") _,
            out("xmm1") _,
            options(nostack)
        );
    }
    hidden
}

/// Returns the start, the end and the flags of each mapping that can be written to.
// It does not use `support::memory`, whose stack frames would overwrite a part of the stack
// that this program searches.
fn mappings() -> Vec<(usize, usize, String)> {
    let smaps = fs::read_to_string("/proc/self/smaps").expect("proc");
    let mut found = vec![];
    let mut range = None;
    for line in smaps.lines() {
        let mut words = line.split(' ');
        if let Some((start, end)) = words.next().and_then(|range| range.split_once('-')) {
            let hex = |text| usize::from_str_radix(text, 16).expect("an address");
            let writable = words.next().is_some_and(|rights| rights.starts_with("rw"));
            range = writable.then(|| (hex(start), hex(end)));
        } else if let (Some(flags), Some((start, end))) = (line.strip_prefix("VmFlags:"), range) {
            found.push((start, end, flags.to_owned()));
        }
    }
    found
}

/// Returns whether a mapping still exists: musl unmaps the memory of the list itself.
fn is_mapped(start: usize, end: usize) -> bool {
    let address = ptr::with_exposed_provenance_mut(start);
    // SAFETY: msync(2) changes nothing in a private mapping, and fails if there is none.
    unsafe { libc::msync(address, end - start, libc::MS_ASYNC) == 0 }
}

/// Returns the bytes of a mapping.
fn bytes(start: usize, end: usize) -> &'static [u8] {
    // SAFETY: it is mapped while the caller reads it, and this process has one thread.
    unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(start), end - start) }
}

/// Returns the page of the calling thread, which is the first of the only mapping that has
/// this size and is not dumped.
fn page() -> &'static [u8] {
    let pages: Vec<_> = mappings()
        .into_iter()
        .filter(|(start, end, flags)| end - start == 64 * 4096 && flags.contains("dd"))
        .collect();
    assert_eq!(pages.len(), 1);
    &bytes(pages[0].0, pages[0].1)[..4096]
}

fn hidden_key() -> Hidden {
    hide(page()[16..].first_chunk().expect("a page"))
}

fn hidden_slots() -> Vec<Hidden> {
    page()[32..32 + 16 * SLOTS]
        .as_chunks()
        .0
        .iter()
        .map(hide)
        .filter(|&slot| slot != !0)
        .collect()
}

/// Returns how often memory contains one of `hidden`, at any address.
#[inline(never)]
fn found(hidden: &[Hidden]) -> usize {
    let mut sorted = hidden.to_vec();
    sorted.sort_unstable();
    mappings()
        .into_iter()
        .filter(|&(start, end, _)| is_mapped(start, end))
        .flat_map(|(start, end, _)| black_box(bytes(start, end)).windows(16))
        .filter(|window| {
            let here = u128::from_ne_bytes((*window).try_into().expect("16 bytes"));
            here != 0 && sorted.binary_search(&!here).is_ok()
        })
        .count()
}

/// Returns the round keys of AES-128, each of which gives away the others. Another process
/// computes them, so that no copy is left here.
fn round_keys(key: Hidden) -> Vec<Hidden> {
    let (mut output, mut input) = std::io::pipe().expect("a pipe");
    // SAFETY: this process has one thread.
    if unsafe { libc::fork() } == 0 {
        // SAFETY: the processor has AES instructions, as `main` has asserted.
        let keys = unsafe { expand((!key).to_ne_bytes()) };
        for key in keys {
            input.write_all(&hide(&key).to_ne_bytes()).expect("a pipe");
        }
        exit(0);
    }
    drop(input);
    let mut bytes = vec![];
    output.read_to_end(&mut bytes).expect("a pipe");
    let keys = bytes.as_chunks().0.iter();
    keys.map(|&key| Hidden::from_ne_bytes(key)).collect()
}

/// Expands a key (FIPS 197, section 5.2).
#[target_feature(enable = "aes")]
unsafe fn expand(key: [u8; 16]) -> [[u8; 16]; 11] {
    let mut keys = [key; 11];
    macro_rules! round {
        ($($round:literal $constant:literal),*) => {$(
            // SAFETY: both are 16 bytes.
            let word: [u32; 4] = unsafe {
                let before: __m128i = transmute(keys[$round - 1]);
                let assisted = _mm_aeskeygenassist_si128::<$constant>(before);
                transmute(_mm_shuffle_epi32::<0xff>(assisted))
            };
            // SAFETY: as above.
            let mut words: [u32; 4] = unsafe { transmute(keys[$round - 1]) };
            words[0] ^= word[0];
            for i in 1..4 {
                words[i] ^= words[i - 1];
            }
            // SAFETY: as above.
            keys[$round] = unsafe { transmute::<[u32; 4], [u8; 16]>(words) };
        )*};
    }
    round!(1 0x01, 2 0x02, 3 0x04, 4 0x08, 5 0x10, 6 0x20, 7 0x40, 8 0x80, 9 0x1b, 10 0x36);
    keys
}

/// Prints a row, and returns whether memory contains none of `hidden`.
fn is_gone(key: &str, hidden: &[Hidden]) -> bool {
    eprintln!("searches for {key}");
    let count = found(hidden);
    println!("{}", guest::row(&[(key, &count)]));
    count == 0
}

/// Prints a row, and returns whether memory contains all of `hidden`. This is the control
/// of the search.
fn is_there(key: &str, hidden: &[Hidden]) -> bool {
    eprintln!("searches for {key}");
    let count = found(hidden);
    let at_least = hidden.len();
    println!("{}", guest::row(&[(key, &count), ("at_least", &at_least)]));
    count >= at_least
}

/// The vector registers.
type Registers = [[u8; 64]; 32];

/// Stores the vector registers that the processor has, inverted.
#[inline(always)]
fn store_registers(to: &mut Registers) {
    let address = to.as_mut_ptr();
    // SAFETY: the array has room for all of them.
    unsafe {
        if is_x86_feature_detected!("avx512f") {
            asm!(
                ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
                "vmovdqu64 [{0} + 64 * \\n], zmm\\n",
                ".endr",
                in(reg) address
            );
        } else if is_x86_feature_detected!("avx") {
            asm!(
                ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
                "vmovdqu [{0} + 64 * \\n], ymm\\n",
                ".endr",
                in(reg) address
            );
        } else {
            asm!(
                ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
                "movdqu [{0} + 64 * \\n], xmm\\n",
                ".endr",
                in(reg) address
            );
        }
        asm!(
            "2: not qword ptr [{at}]",
            "add {at}, 8",
            "cmp {at}, {end}",
            "jne 2b",
            at = inout(reg) address => _,
            end = in(reg) address.add(to.len()),
            options(nostack)
        );
    }
}

/// What the thread that makes UUIDs is to do, or has done.
static STEP: AtomicU32 = AtomicU32::new(0);
const EMPTY: u32 = 1;
const REFILL: u32 = 2;
const REFILLED: u32 = 3;

/// Waits for a step without a call, which would overwrite what others have left on the stack.
#[inline(always)]
fn await_step(step: u32) {
    // SAFETY: reads the static.
    unsafe {
        asm!(
            "2: pause",
            "cmp dword ptr [{at}], {step:e}",
            "jne 2b",
            at = in(reg) STEP.as_ptr(),
            step = in(reg) step,
            options(nostack)
        );
    }
}

/// The thread that makes UUIDs empties its pool, and later makes it refill. Nothing else runs on
/// its stack afterwards.
#[inline(never)]
fn empty_and_refill(registers: &mut Registers) {
    make(SLOTS);
    STEP.store(EMPTY, SeqCst);
    await_step(REFILL);
    black_box(new_v4());
    store_registers(registers);
    // SAFETY: writes to the static, without a call as in `await_step`.
    unsafe {
        asm!(
            "mov dword ptr [{at}], {step:e}",
            at = in(reg) STEP.as_ptr(),
            step = in(reg) REFILLED,
            options(nostack)
        );
    }
    // The process ends first.
    await_step(u32::MAX);
}

fn to_come() -> bool {
    let registers: &'static mut Registers = Box::leak(Box::new([[0; 64]; 32]));
    let stored = ptr::from_ref(registers);
    std::thread::spawn(|| empty_and_refill(registers));
    await_step(EMPTY);
    let key = hidden_key();
    let used = round_keys(key);
    // The control of the search. The UUID that comes next replaces this key.
    let mut good = is_there("next_key", &[key]);
    STEP.store(REFILL, SeqCst);
    await_step(REFILLED);
    good &= is_gone("used_keys", &used);

    let mut secrets = hidden_slots();
    secrets.push(hidden_key());
    secrets.extend(&used);
    // SAFETY: the thread has stored them, and no longer writes to them.
    let registers = unsafe { &*stored }.as_flattened();
    let in_registers = registers
        .windows(16)
        .filter(|window| {
            let inverted = u128::from_ne_bytes((*window).try_into().expect("16 bytes"));
            secrets.contains(&inverted)
        })
        .count();
    println!("{}", guest::row(&[("in_registers", &in_registers)]));
    good &= in_registers == 0;

    // SAFETY: the other thread is in no function of the libc. The pointer leads to an int.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            let mut good = is_gone("parents_in_child", &secrets);
            make(5);
            good &= is_gone("parents_in_child_later", &secrets);
            exit(i32::from(!good));
        }
        let mut status = 0;
        libc::waitpid(pid, &raw mut status, 0);
        good &= status == 0;
    }
    good & is_there("parents_in_parent", &secrets[..secrets.len() - used.len()])
}

#[inline(never)]
fn make(count: usize) -> Vec<Hidden> {
    (0..count).map(|_| hide(new_v4().as_bytes())).collect()
}

#[inline(never)]
fn make_many<const COUNT: usize>() -> Vec<Hidden> {
    let mut ids = [Uuid::nil(); COUNT];
    fill_v4(&mut ids);
    let hidden = ids.iter().map(|id| hide(id.as_bytes())).collect();
    // This clears the only copy that is not inverted.
    black_box(&mut ids).fill(Uuid::nil());
    hidden
}

/// A source that always returns the same bytes.
struct Fixed;

const SEED: Hidden = 0x8a5c_1f73_0b96_e42d_57a0_cc18_3ef9_6b64;

impl EntropySource for Fixed {
    fn fill(&self, dest: &mut [u8]) -> Result<(), Error> {
        for (byte, hidden) in dest.iter_mut().zip(black_box(SEED).to_ne_bytes()) {
            *byte = !hidden;
        }
        Ok(())
    }
}

fn handed_out() -> bool {
    let mut ids = make(2 * SLOTS + 50);
    ids.extend(make_many::<7>());
    ids.extend(make_many::<500>());
    ids.extend(make_unbuffered());
    let mut good = is_gone("handed_out", &ids);

    reseed();
    ids = make(10);
    good &= is_gone("of_a_new_seed", &ids);

    let generator = Generator::new().with_source(Fixed);
    ids = (0..300)
        .map(|_| hide(generator.new_v4().as_bytes()))
        .collect();
    good &= is_gone("of_a_source", &ids);
    good & is_gone("seed_of_the_source", &[SEED])
}

#[inline(never)]
fn make_unbuffered() -> Vec<Hidden> {
    let generator = Generator::unbuffered();
    (0..50)
        .map(|_| hide(generator.new_v4().as_bytes()))
        .collect()
}

/// Starts threads whose last destructors make UUIDs each time that they run.
fn threads() -> bool {
    fn churn(threads: usize, key: libc::pthread_key_t) {
        for _ in 0..threads {
            std::thread::spawn(move || {
                make_one();
                // SAFETY: the key is never deleted, and the destructor takes any value.
                unsafe { libc::pthread_setspecific(key, ptr::dangling::<u8>().cast()) };
            })
            .join()
            .expect("no panic");
        }
    }
    fn make_one() {
        black_box((new_v4(), Generator::unbuffered().new_v4()));
    }
    static mut KEY: libc::pthread_key_t = 0;
    extern "C" fn late(_: *mut c_void) {
        make_one();
        // SAFETY: the key was written before there were threads. glibc runs the destructors
        // at most four times.
        unsafe { libc::pthread_setspecific(KEY, ptr::dangling::<u8>().cast()) };
    }
    // This makes the library create its keys before this one.
    make_one();
    // SAFETY: this process has one thread.
    let key = unsafe {
        assert_eq!(libc::pthread_key_create(&raw mut KEY, Some(late)), 0);
        KEY
    };
    churn(10, key);
    // The kernel may merge neighbouring mappings, so the sizes are compared.
    let size = || mappings().iter().map(|map| map.1 - map.0).sum::<usize>();
    let before = size();
    churn(2000, key);
    let after = size();
    // 2000 pages are eight times as much as this limit, which is for the allocator.
    let left = after.saturating_sub(before).saturating_sub(1 << 20);
    println!("{}", guest::row(&[("bytes_left_by_threads", &left)]));
    left == 0
}

fn main() {
    let test = match std::env::args().nth(1).as_deref() {
        Some("to-come") => to_come,
        Some("handed-out") => handed_out,
        Some("threads") => threads,
        _ => panic!("to-come, handed-out or threads?"),
    };
    // This fills the standard library's cache of the processor's features.
    assert!(std::is_x86_feature_detected!("aes"));
    Kernel.fill(&mut [0; 16]).expect("the kernel");
    exit(i32::from(!test()));
}
