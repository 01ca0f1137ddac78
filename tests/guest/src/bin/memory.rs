//! Searches all memory that this process can write to for what must not be
//! there any more.
//!
//! `memory handed-out`: UUIDs that were handed out, the key that made them, its
//! round keys, and the seed; these keys in the vector registers, too. `memory child`: in a forked child, the parent's key
//! and ready UUIDs. `memory threads`: memory left behind by threads that made
//! UUIDs to their very end.
//!
//! What is searched for is kept inverted, so that it is not found here.
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

use fork_safe_uuid::source::{EntropySource, Kernel};
use fork_safe_uuid::{Error, Generator, Uuid, fill_v4, new_v4, reseed};
use support::SLOTS;

/// 16 bytes, inverted.
type Hidden = u128;

/// By reference, inlined, and inverted at once: no copy is left on the stack.
#[inline(always)]
fn hide(bytes: &[u8; 16]) -> Hidden {
    black_box(!u128::from_ne_bytes(*bytes))
}

/// Start, end and smaps' flags of each mapping that can be written to.
// Not by `support::memory`: other stack frames would leave other copies where this program
// searches.
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

/// Whether it is still there: musl gives back what the list was read into.
fn is_mapped(start: usize, end: usize) -> bool {
    let address = ptr::with_exposed_provenance_mut(start);
    // SAFETY: msync(2) changes nothing of a private mapping, and refuses what is
    // not mapped.
    unsafe { libc::msync(address, end - start, libc::MS_ASYNC) == 0 }
}

/// A mapping's bytes.
fn bytes(start: usize, end: usize) -> &'static [u8] {
    // SAFETY: mapped while it is looked at, and one thread runs.
    unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(start), end - start) }
}

/// The calling thread's page: the first of the only undumped mapping of this
/// size.
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

/// How often one of `hidden` stands in memory, at any address.
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

/// What AES-128 makes of a key, of which each round's gives away the others.
/// In a process of its own, which leaves nothing here.
fn round_keys(key: Hidden) -> Vec<Hidden> {
    let (mut output, mut input) = std::io::pipe().expect("a pipe");
    // SAFETY: one thread.
    if unsafe { libc::fork() } == 0 {
        // SAFETY: the processor has AES instructions, as `main` saw.
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

/// FIPS 197, section 5.2, by the instruction for it.
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

/// Whether nothing of it is there.
fn is_gone(what: &str, hidden: &[Hidden]) -> bool {
    let count = found(hidden);
    if count != 0 {
        println!("{what}: found {count} times");
    }
    count == 0
}

/// Whether all of it is there, as it must be for the search to be worth
/// anything.
fn is_there(what: &str, hidden: &[Hidden]) -> bool {
    let count = found(hidden);
    if count < hidden.len() {
        println!("{what}: found {count} of {}", hidden.len());
    }
    count >= hidden.len()
}

/// The vector registers, as the last call left them, and how often one of
/// `hidden` stands in them; searched in a process of its own, which leaves
/// nothing here.
#[inline(always)]
fn is_not_in_registers(what: &str, hidden: &[Hidden]) -> bool {
    let mut registers = [[0_u8; 64]; 32];
    let address = registers.as_mut_ptr();
    // SAFETY: stores what the processor has of these registers to an array that
    // has room for all.
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
    }
    let (mut status, mut good) = (0, true);
    // SAFETY: one thread; the pointer leads to an int.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            let found = registers
                .as_flattened()
                .windows(16)
                .filter(|window| {
                    hidden
                        .iter()
                        .any(|hidden| hidden.to_ne_bytes().map(|byte| !byte) == **window)
                })
                .count();
            libc::_exit(found.min(100) as i32);
        }
        libc::waitpid(pid, &raw mut status, 0);
    }
    black_box(&mut registers).as_flattened_mut().fill(0);
    if status != 0 {
        println!("{what}: found {} times in registers", status >> 8);
        good = false;
    }
    good
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
    // The caller's copy.
    black_box(&mut ids).fill(Uuid::nil());
    hidden
}

/// Gives the same bytes again and again.
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
    let mut ids = make(SLOTS);
    let key = hidden_key();
    let keys = round_keys(key);
    let mut good = is_there("the next key", &[key]);
    ids.extend(make(1));
    good &= is_gone("a key that made UUIDs", &keys);
    good &= is_there("ready UUIDs", &hidden_slots());
    ids.extend(make(SLOTS + 50));
    ids.extend(make_many::<7>());
    ids.extend(make_many::<500>());
    ids.extend(make_unbuffered());
    good &= is_gone("UUIDs that were handed out", &ids);

    // Another key, since to look at registers takes the stack that was looked at.
    reseed();
    make(SLOTS);
    let keys = round_keys(hidden_key());
    let mut id = new_v4();
    good &= is_not_in_registers("a key that made UUIDs", &keys);
    ids.push(hide(id.as_bytes()));
    *black_box(&mut id) = Uuid::nil();
    good &= is_gone("the UUID of that key", &ids);

    reseed();
    ids = make(10);
    good &= is_gone("those of a new seed", &ids);

    let generator = Generator::new().with_source(Fixed);
    ids = (0..300)
        .map(|_| hide(generator.new_v4().as_bytes()))
        .collect();
    good &= is_gone("those of a source", &ids);
    good & is_gone("its seed", &[SEED])
}

#[inline(never)]
fn make_unbuffered() -> Vec<Hidden> {
    let generator = Generator::unbuffered();
    (0..50)
        .map(|_| hide(generator.new_v4().as_bytes()))
        .collect()
}

fn child() -> bool {
    make(5);
    let mut secrets = hidden_slots();
    secrets.push(hidden_key());
    let mut good = is_there("the parent's, in the parent", &secrets);
    // SAFETY: one thread; the pointer leads to an int.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            let mut good = is_gone("the parent's, in the child", &secrets);
            make(5);
            good &= is_gone("when the child has made some", &secrets);
            exit(i32::from(!good));
        }
        let mut status = 0;
        libc::waitpid(pid, &raw mut status, 0);
        good &= status == 0;
    }
    good
}

/// Threads whose last destructors make UUIDs, and again when they are run
/// again.
fn threads() -> bool {
    fn churn(threads: usize, key: libc::pthread_key_t) {
        for _ in 0..threads {
            std::thread::spawn(move || {
                make_one();
                // SAFETY: the key is never deleted; any value will do.
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
        // SAFETY: written before there are threads. glibc runs the destructors
        // four times at the most.
        unsafe { libc::pthread_setspecific(KEY, ptr::dangling::<u8>().cast()) };
    }
    // A UUID first, so that the library's keys are older.
    make_one();
    // SAFETY: one thread.
    let key = unsafe {
        assert_eq!(libc::pthread_key_create(&raw mut KEY, Some(late)), 0);
        KEY
    };
    churn(10, key);
    // Mappings side by side are told as one, so their sizes are summed.
    let size = || mappings().iter().map(|map| map.1 - map.0).sum::<usize>();
    let before = size();
    churn(2000, key);
    let after = size();
    // 2000 pages would be eight times as much; the rest is the allocator's.
    let flat = after <= before + (1 << 20);
    if !flat {
        println!("{after} bytes are mapped, and before the threads {before}");
    }
    flat
}

fn main() {
    let test = match std::env::args().nth(1).as_deref() {
        Some("handed-out") => handed_out,
        Some("child") => child,
        Some("threads") => threads,
        _ => panic!("handed-out, child or threads"),
    };
    // Loads what the standard library loads once.
    assert!(std::is_x86_feature_detected!("aes"));
    Kernel.fill(&mut [0; 16]).expect("the kernel");
    exit(i32::from(!test()));
}
