//! The search for a function in the vDSO, the image that the kernel maps into each process.
//! The tests search whole and damaged copies of it. They do nothing where there is no image
//! (emulators, 32 bits).
//!
//! These are not unit tests, so that they are not in the published package.
#![cfg(target_os = "linux")]

use elf::abi;

use copy::*;
use image::{HEADERS, function, length};

mod copy;
#[path = "../../src/sys/linux/vdso/image.rs"]
mod image;

#[track_caller]
fn assert_none(image: Image) {
    assert_eq!(image.found(), None);
}

#[test]
fn a_function_is_found_without_section_headers() {
    let Some(image) = Image::of_this_process() else {
        return;
    };
    let found = image.found();
    assert!(found.is_some());
    for offset in [0, u64::MAX] {
        for count in [0_u16, u16::MAX] {
            let image = image.clone().with_number(E_SHOFF, offset);
            assert_eq!(image.with(E_SHNUM, &count.to_ne_bytes()).found(), found);
        }
    }
}

#[test]
fn a_function_is_found_by_either_hash_table() {
    let Some(image) = Image::of_this_process() else {
        return;
    };
    let found = image.found();
    let tables = [abi::DT_HASH, abi::DT_GNU_HASH];
    // The words of `DT_HASH` have 64 bits on s390x, for which the `elf` crate does not
    // provide. The vDSO has no getrandom there.
    let is_readable = |tag| tag != abi::DT_HASH || !cfg!(target_arch = "s390x");
    for (one, other) in [(tables[0], tables[1]), (tables[1], tables[0])] {
        let without = image.clone().without(one);
        assert_eq!(
            without.found(),
            found.filter(|_| image.entry(other).is_some() && is_readable(other))
        );
        assert_none(without.without(other));
    }
    assert_eq!(function(&image.bytes, b"__vdso_no_such_function"), None);
    assert_eq!(function(&image.bytes, b""), None);
}

#[test]
fn an_image_may_be_linked_at_any_address() {
    const ADDRESS: u64 = 0xffff_ffff_ff70_0000;
    let Some(mut image) = Image::of_this_process() else {
        return;
    };
    let found = image.found();
    let symbols = Vec::from_iter(image.symbols());
    for tag in [
        abi::DT_SYMTAB,
        abi::DT_STRTAB,
        abi::DT_HASH,
        abi::DT_GNU_HASH,
    ] {
        if let Some(at) = image.entry(tag) {
            image = image.with_added(at + D_VAL, ADDRESS);
        }
    }
    for at in symbols {
        image = image.with_added(at + ST_VALUE, ADDRESS);
    }
    for at in image.segments() {
        image = image.with_added(at + P_VADDR, ADDRESS);
    }
    assert_eq!(image.found(), found);
    // The function's address is now below the first byte of the image.
    let load = image.segment(abi::PT_LOAD);
    assert_none(image.with_number(load + P_VADDR, u64::MAX));
}

#[test]
fn a_truncated_image_has_no_function() {
    let Some(image) = Image::of_this_process() else {
        return;
    };
    for len in 0..image.bytes.len() {
        assert_eq!(function(&image.bytes[..len], image.name), None, "{len}");
    }
    let long = [&image.bytes[..], &[0; 5000]].concat();
    assert_eq!(function(&long, image.name), image.found());
    let headers = &image.bytes[..HEADERS.min(image.bytes.len())];
    assert_eq!(length(headers), Some(image.bytes.len()));
}

#[test]
fn odd_headers_mean_that_there_is_no_function() {
    let Some(image) = Image::of_this_process() else {
        return;
    };
    let other_endian = if cfg!(target_endian = "little") { 2 } else { 1 };
    for (at, byte) in [
        (0, 0),
        (abi::EI_CLASS, abi::ELFCLASS32),
        (abi::EI_DATA, other_endian),
        (abi::EI_VERSION, 0),
    ] {
        assert_none(image.clone().with(at, &[byte]));
    }
    for (at, number) in [
        (E_TYPE, abi::ET_EXEC),
        (E_PHENTSIZE, 0),
        (E_PHENTSIZE, 55),
        (E_PHENTSIZE, 57),
        (E_PHNUM, 0),
        (E_PHNUM, 73),
        (E_PHNUM, u16::MAX),
    ] {
        assert_none(image.clone().with(at, &number.to_ne_bytes()));
    }
    for offset in [u64::MAX, u64::MAX - 100, 1 << 32, HEADERS as u64 - 56] {
        assert_none(image.clone().with_number(E_PHOFF, offset));
    }
    // A 32-bit header has the same fields in other places.
    let narrow = image.clone().with(abi::EI_CLASS, &[abi::ELFCLASS32]);
    let narrow = narrow.with(28, &64_u32.to_ne_bytes());
    let narrow = narrow.with(42, &image.bytes[E_PHENTSIZE..][..4]);
    assert_none(narrow);
    // The program headers are beyond the first page.
    let mut far = image.clone().with_number(E_PHOFF, HEADERS as u64);
    far.bytes.resize(2 * HEADERS, 0);
    assert_none(far.with(HEADERS, &image.bytes[64..][..4 * 56]));

    let load = image.segment(abi::PT_LOAD);
    let mut long = image.clone().with_number(load + P_FILESZ, 2 << 20);
    long.bytes.resize(2 << 20, 0);
    assert_none(long);
    for size in [0, u64::MAX, 1 << 40] {
        assert_none(image.clone().with_number(load + P_FILESZ, size));
    }
    for (tag, value) in [
        (abi::DT_SYMENT, 16),
        (abi::DT_STRSZ, 0),
        (abi::DT_STRSZ, u64::MAX),
        (abi::DT_STRTAB, u64::MAX),
        (abi::DT_SYMTAB, u64::MAX),
    ] {
        let entry = image.entry(tag).expect("an entry");
        assert_none(image.clone().with_number(entry + D_VAL, value));
        assert_none(image.clone().without(tag));
    }
}

#[test]
fn only_a_defined_function_in_executable_memory_is_one() {
    let Some(image) = Image::of_this_process() else {
        return;
    };
    let (symbol, load) = (image.symbol(), image.segment(abi::PT_LOAD));
    let unsized_one = image.clone().with_number(symbol + ST_SIZE, 0);
    assert_eq!(unsized_one.found(), image.found());
    let len = image.bytes.len() as u64;
    for (field, number) in [
        (ST_SIZE, len),
        (ST_SIZE, u64::MAX),
        (ST_VALUE, len),
        (ST_VALUE, u64::MAX),
    ] {
        assert_none(image.clone().with_number(symbol + field, number));
        assert_none(unsized_one.clone().with_number(symbol + ST_VALUE, len));
    }
    assert_none(image.clone().with(symbol + ST_SHNDX, &[0; 2]));
    assert_none(image.clone().with(symbol + ST_INFO, &[abi::STT_OBJECT]));
    assert_none(image.with(load + P_FLAGS, &abi::PF_R.to_ne_bytes()));
}

#[test]
fn of_several_segments_one_has_the_function() {
    let Some(image) = Image::of_this_process() else {
        return;
    };
    let found = image.found();
    let (load, note) = (image.segment(abi::PT_LOAD), image.segment(abi::PT_NOTE));
    let two = image.clone().with(note, &abi::PT_LOAD.to_ne_bytes());
    assert_eq!(two.found(), found, "the function is in the first segment");

    let whole = Vec::from(&image.bytes[load..][..56]);
    let two = two
        .with(note, &whole)
        .with(load + P_FLAGS, &abi::PF_R.to_ne_bytes());
    assert_eq!(two.found(), found, "the function is in the second segment");

    // An address is in both segments, and would lead to two places.
    let two = image.with(note, &abi::PT_LOAD.to_ne_bytes());
    assert_none(two.with_added(note + P_VADDR, 4096));
}

#[test]
fn a_hash_chain_without_an_end_is_abandoned() {
    let Some(image) = Image::of_this_process() else {
        return;
    };
    let absent = b"__vdso_no_such_function";
    let number = |at: usize| u32::from_ne_bytes(*image.bytes[at..].first_chunk().expect("four"));
    if image.entry(abi::DT_HASH).is_some() {
        let at = image.value(abi::DT_HASH);
        let mut image = image.clone().without(abi::DT_GNU_HASH);
        // Each bucket and each link of a chain leads to the first symbol.
        for index in 2..2 + number(at) + number(at + 4) {
            image = image.with(at + 4 * index as usize, &1_u32.to_ne_bytes());
        }
        assert_eq!(function(&image.bytes, absent), None);
    }
    if image.entry(abi::DT_GNU_HASH).is_some() {
        let at = image.value(abi::DT_GNU_HASH);
        let [buckets, first, words] = [0, 4, 8].map(|field| number(at + field));
        let mut image = image.clone().without(abi::DT_HASH);
        let mut index = at + 16;
        for _ in 0..words {
            image = image.with_number(index, u64::MAX);
            index += 8;
        }
        for _ in 0..buckets {
            image = image.with(index, &first.to_ne_bytes());
            index += 4;
        }
        // A link with the lowest bit ends a chain. No byte after the buckets has that bit.
        for at in index..image.bytes.len() {
            image.bytes[at] &= 0xfe;
        }
        assert_eq!(function(&image.bytes, absent), None);
    }
}

#[test]
fn a_damaged_image_has_its_function_inside_or_none() {
    let Some(image) = Image::of_this_process() else {
        return;
    };
    let len = image.bytes.len();
    let check = |bytes: &[u8]| {
        for name in [image.name, b"__vdso_getrandom", b"no such function"] {
            assert!(function(bytes, name).is_none_or(|offset| offset < len));
        }
        length(&bytes[..HEADERS.min(len)]);
    };
    for image in [image.clone(), image.clone().without(abi::DT_GNU_HASH)] {
        let mut bytes = image.bytes;
        for at in 0..len {
            for flipped in [0xff, 0x80, 0x01] {
                bytes[at] ^= flipped;
                check(&bytes);
                bytes[at] ^= flipped;
            }
        }
        // Several bytes are changed at once, most of them in the tables, which come first.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 16) as usize % below
        };
        for _ in 0..5_000 {
            let mut bytes = bytes.clone();
            for _ in 0..=random(8) {
                bytes[random(0x600)] = random(256) as u8;
            }
            check(&bytes);
        }
    }
}
