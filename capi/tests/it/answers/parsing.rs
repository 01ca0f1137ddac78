//! Parses texts, most of which are no UUIDs.

use std::ffi::{CString, c_int};
use std::ptr;

use fork_safe_uuid::Uuid;
use libloading::os::unix::Library;
use support::{memory, ok, process};

use super::Numbers;
use crate::library::{Parse, ParseRange, both, function};

support::scenarios![
    millions_of_texts_are_parsed_as_libuuid_parses_them { seconds: 120 },
    no_byte_after_the_text_is_read,
];

const UNTOUCHED: Uuid = Uuid::from_bytes([0xA5; 16]);

fn millions_of_texts_are_parsed_as_libuuid_parses_them() {
    let libraries = both();
    // SAFETY: the functions have these types in `uuid.h`.
    let (parse, range): ([Parse; 2], [ParseRange; 2]) = unsafe {
        (
            libraries.each_ref().map(|l| function(l, "uuid_parse")),
            libraries
                .each_ref()
                .map(|l| function(l, "uuid_parse_range")),
        )
    };
    let mut numbers = Numbers(1);
    let mut good = 0;
    for _ in 0..3_000_000 {
        let text = CString::new(text(&mut numbers)).expect("no zero byte");
        let parsed = parse.map(|parse| {
            let mut id = UNTOUCHED;
            // SAFETY: the pointers lead to a string and a `uuid_t`.
            (unsafe { parse(text.as_ptr(), &mut id) }, id)
        });
        let [theirs, ours] = parsed;
        assert_eq!(ours, theirs, "{text:?}");
        assert!(ours.0 == 0 || ours == (-1, UNTOUCHED), "{text:?}");
        good += i32::from(ours.0 == 0);

        let [theirs, ours] = range.map(|parse| {
            let (mut id, bytes) = (UNTOUCHED, text.as_bytes());
            // SAFETY: the pointers lead to the two ends of the string and a `uuid_t`.
            let result = unsafe { parse(text.as_ptr(), text.as_ptr().add(bytes.len()), &mut id) };
            (result, id)
        });
        assert_eq!(ours, theirs, "{text:?}");
    }
    assert!(
        (300_000..2_700_000).contains(&good),
        "{good} of 3000000 texts are UUIDs"
    );
}

/// Returns a UUID as text with up to three errors, or in another notation.
fn text(numbers: &mut Numbers) -> Vec<u8> {
    let id = numbers.id();
    let mut text = match numbers.below(20) {
        0 => id.simple().to_string(),
        1 => id.braced().to_string(),
        2 => id.urn().to_string(),
        3..9 => format!("{id:X}").to_uppercase(),
        _ => id.to_string(),
    }
    .into_bytes();
    for _ in 0..numbers.below(4) {
        let at = numbers.below(text.len());
        let near = *b"0123456789abcdefABCDEF-gG/:@`+ x{}\t";
        let byte = match numbers.below(3) {
            0 => 1 + numbers.below(255) as u8,
            _ => near[numbers.below(near.len())],
        };
        match numbers.below(4) {
            0 => text.insert(at, byte),
            1 => drop(text.remove(at)),
            2 => text[at] = byte,
            _ => {
                let other = numbers.below(text.len());
                text.swap(at, other);
            }
        }
    }
    text
}

fn no_byte_after_the_text_is_read() {
    let [theirs, ours] = both();
    // SAFETY: the two pages are new, and nothing accesses the second one any more.
    let end = unsafe {
        let page = libc::sysconf(libc::_SC_PAGESIZE) as usize;
        let end = memory::map_shared(2 * page).cast::<u8>().add(page);
        ok(libc::mprotect(end.cast(), page, libc::PROT_NONE));
        end
    };

    // One text has no final zero byte, and a range ends at the last byte that can be read.
    // SAFETY: all bytes are before the end of the first page.
    let (endless, range) = unsafe {
        ptr::copy_nonoverlapping([b'a'; 37].as_ptr(), end.sub(37), 37);
        let endless = in_child(&ours, |parse, _| {
            parse(end.sub(37).cast(), &mut Uuid::nil())
        });
        let control = in_child(&theirs, |parse, _| {
            parse(end.sub(37).cast(), &mut Uuid::nil())
        });
        let text = Uuid::NAMESPACE_DNS.to_string();
        ptr::copy_nonoverlapping(text.as_ptr(), end.sub(36), 36);
        let range =
            |_: Parse, range: ParseRange| range(end.sub(36).cast(), end.cast(), &mut Uuid::nil());
        (
            [endless, control],
            [in_child(&ours, range), in_child(&theirs, range)],
        )
    };
    let crashed = Err(libc::SIGSEGV);
    assert_eq!(endless, [Ok(-1), crashed], "libuuid was mended?");
    assert_eq!(range, [Ok(0), Ok(0)]);
}

/// Makes a call in a child, and returns its result or the signal that ended the child.
fn in_child(library: &Library, call: impl Fn(Parse, ParseRange) -> c_int) -> Result<i32, i32> {
    // SAFETY: the functions have these types in `uuid.h`.
    let (parse, range) = unsafe {
        (
            function(library, "uuid_parse"),
            function(library, "uuid_parse_range"),
        )
    };
    // SAFETY: ends the child without its parent's destructors.
    let status = process::status_of(|| unsafe { libc::_exit(call(parse, range) & 0xFF) });
    if libc::WIFSIGNALED(status) {
        Err(libc::WTERMSIG(status))
    } else {
        Ok(i32::from(libc::WEXITSTATUS(status) as i8))
    }
}
