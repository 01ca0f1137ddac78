//! What the functions return, beside what the system's libuuid returns.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

use fork_safe_uuid::Uuid;
use libloading::os::unix::Library;
use support::{ok, process, uuids};

use crate::library::{
    self, Ask, Generate, Named, Parse, ParseRange, Time, Unparse, both, function,
};

support::scenarios![
    millions_of_texts_are_read_as_by_libuuid { seconds: 120 },
    no_byte_behind_a_text_is_read,
    values_have_libuuids_order_fields_and_text,
    names_have_libuuids_uuids,
    times_of_versions_6_and_7_are_told,
    each_generator_makes_its_version,
    a_child_has_a_node_of_its_own,
    the_daemon_gets_ranges_that_do_not_meet,
];

/// SplitMix64: the same inputs at each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn id(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.next(), self.next())
    }
}

const UNTOUCHED: Uuid = Uuid::from_bytes([0xA5; 16]);

fn millions_of_texts_are_read_as_by_libuuid() {
    let libraries = both();
    // SAFETY: their types in `uuid.h`.
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
            // SAFETY: a string and a `uuid_t`.
            (unsafe { parse(text.as_ptr(), &mut id) }, id)
        });
        let [theirs, ours] = parsed;
        assert_eq!(ours, theirs, "{text:?}");
        assert!(ours.0 == 0 || ours == (-1, UNTOUCHED), "{text:?}");
        good += i32::from(ours.0 == 0);

        let [theirs, ours] = range.map(|parse| {
            let (mut id, bytes) = (UNTOUCHED, text.as_bytes());
            // SAFETY: the string's two ends and a `uuid_t`.
            let result = unsafe { parse(text.as_ptr(), text.as_ptr().add(bytes.len()), &mut id) };
            (result, id)
        });
        assert_eq!(ours, theirs, "{text:?}");
    }
    assert!((300_000..2_700_000).contains(&good), "{good} of both kinds");
}

/// A UUID as text, with up to three things wrong, or in another notation.
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

fn no_byte_behind_a_text_is_read() {
    let [theirs, ours] = both();
    // SAFETY: two new pages, of which the second is closed.
    let end = unsafe {
        let page = libc::sysconf(libc::_SC_PAGESIZE) as usize;
        let (access, kind) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        let memory = libc::mmap(ptr::null_mut(), 2 * page, access, kind, -1, 0);
        assert_ne!(memory, libc::MAP_FAILED);
        let end = memory.cast::<u8>().add(page);
        ok(libc::mprotect(end.cast(), page, libc::PROT_NONE));
        end
    };

    // A text without an end, and a range to the last byte that can be read.
    // SAFETY: before the end of the first page.
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

/// Returns a call's result, or the signal that ended the child which made it.
fn in_child(library: &Library, call: impl Fn(Parse, ParseRange) -> c_int) -> Result<i32, i32> {
    // SAFETY: their types in `uuid.h`.
    let (parse, range) = unsafe {
        (
            function(library, "uuid_parse"),
            function(library, "uuid_parse_range"),
        )
    };
    let child = ok(process::fork());
    if child == 0 {
        // SAFETY: ends the child.
        unsafe { libc::_exit(call(parse, range) & 0xFF) };
    }
    let status = process::wait(child);
    if libc::WIFSIGNALED(status) {
        Err(libc::WTERMSIG(status))
    } else {
        Ok(i32::from(libc::WEXITSTATUS(status) as i8))
    }
}

fn values_have_libuuids_order_fields_and_text() {
    let [theirs, ours] = &both();
    let mut numbers = Numbers(2);
    let mut ids: Vec<Uuid> = (0..20_000).map(|_| numbers.id()).collect();
    ids.extend([
        Uuid::nil(),
        Uuid::max(),
        Uuid::NAMESPACE_DNS,
        Uuid::NAMESPACE_X500,
    ]);
    // Near to each other, in one byte.
    for at in 0..16 {
        let mut bytes = *Uuid::NAMESPACE_DNS.as_bytes();
        bytes[at] ^= 1;
        ids.push(Uuid::from_bytes(bytes));
    }
    for name in ["uuid_is_null", "uuid_type", "uuid_variant"] {
        let ask = |library| -> Vec<c_int> {
            // SAFETY: its type in `uuid.h`.
            let ask: Ask = unsafe { function(library, name) };
            // SAFETY: a `uuid_t`.
            ids.iter().map(|id| unsafe { ask(id) }).collect()
        };
        assert!(ask(ours) == ask(theirs), "{name}");
    }
    for name in ["uuid_unparse", "uuid_unparse_lower", "uuid_unparse_upper"] {
        let write = |library| -> Vec<CString> {
            // SAFETY: its type in `uuid.h`.
            let unparse: Unparse = unsafe { function(library, name) };
            // SAFETY: a `uuid_t`, and room for more than the text.
            let text = |id: &Uuid| unsafe {
                let mut text = [1 as c_char; 38];
                unparse(id, text.as_mut_ptr());
                assert_eq!(text[37], 1);
                CStr::from_ptr(text.as_ptr()).to_owned()
            };
            ids.iter().map(text).collect()
        };
        assert!(write(ours) == write(theirs), "{name}");
    }
    let order = |library| -> Vec<c_int> {
        type Compare = unsafe extern "C" fn(*const Uuid, *const Uuid) -> c_int;
        // SAFETY: its type in `uuid.h`.
        let compare: Compare = unsafe { function(library, "uuid_compare") };
        let near = &ids[ids.len() - 20..];
        let pairs = ids.iter().zip(&ids[1..]);
        pairs
            .chain(
                near.iter()
                    .flat_map(|one| near.iter().map(move |other| (one, other))),
            )
            // SAFETY: two `uuid_t`.
            .map(|(left, right)| unsafe { compare(left, right) }.signum())
            .collect()
    };
    assert!(order(ours) == order(theirs));

    // libuuid before 2.41 reads each version as version 1, and later ones have
    // their 64 bits under another name.
    let version_1: Vec<Uuid> = (0..20_000)
        .map(|_| Uuid::from_u64_pair(numbers.next() & !0xF000 | 0x1000, numbers.next()))
        // From 1984; before 1970 it does not tell, either.
        .filter(|id| id.as_fields().2 & 0xFFF >= 0x1C0)
        .collect();
    assert!(version_1.len() > 10_000);
    let times = |library: &Library| -> Vec<(i64, i64, i64)> {
        // SAFETY: its type in `uuid.h` where `time_t` has 64 bits.
        let time: Time = unsafe {
            let later = library.get::<Time>(b"uuid_time64").map(|symbol| *symbol);
            later.unwrap_or_else(|_| function(library, "uuid_time"))
        };
        // SAFETY: a `uuid_t`, and a structure of which zeros are a value.
        let tell = |id: &Uuid| unsafe {
            let mut at: libc::timeval = std::mem::zeroed();
            let seconds = time(id, &mut at);
            assert_eq!(time(id, ptr::null_mut()), seconds);
            (seconds, at.tv_sec, at.tv_usec)
        };
        version_1.iter().map(tell).collect()
    };
    assert!(times(ours) == times(theirs));

    let (mut id, from) = (Uuid::max(), Uuid::NAMESPACE_URL);
    // SAFETY: their types in `uuid.h`.
    unsafe {
        function::<unsafe extern "C" fn(*mut Uuid, *const Uuid)>(ours, "uuid_copy")(&mut id, &from);
        assert_eq!(id, from);
        function::<Generate>(ours, "uuid_clear")(&mut id);
        assert_eq!(id, Uuid::nil());
    }
}

fn names_have_libuuids_uuids() {
    let [theirs, ours] = &both();
    let mut numbers = Numbers(3);
    for name in ["uuid_generate_md5", "uuid_generate_sha1"] {
        // SAFETY: its type in `uuid.h`.
        let make = [theirs, ours].map(|library| unsafe { function::<Named>(library, name) });
        for length in 0..300 {
            let text: Vec<u8> = (0..length).map(|_| numbers.next() as u8).collect();
            let namespace = numbers.id();
            let [theirs, ours] = make.map(|make| {
                // The result in place of the namespace.
                let mut id = namespace;
                // SAFETY: a name of that length, and one `uuid_t` for both.
                unsafe { make(&raw mut id, &raw const id, text.as_ptr().cast(), length) };
                id
            });
            assert_eq!(ours, theirs, "{name} of {text:?}");
        }
        let mut id = Uuid::nil();
        // SAFETY: a null pointer to no byte.
        unsafe { make[1](&mut id, &Uuid::NAMESPACE_DNS, ptr::null(), 0) };
        assert_ne!(id, Uuid::nil());
    }
    let template = |library, name: *const c_char| {
        type Template = unsafe extern "C" fn(*const c_char) -> *const Uuid;
        // SAFETY: its type in `uuid.h`, a string or null, and a constant.
        unsafe { function::<Template>(library, "uuid_get_template")(name).as_ref() }
    };
    let names = [
        c"dns", c"url", c"oid", c"x500", c"x.500", c"", c"DNS", c"dnsx", c"x50",
    ];
    let names = names.map(CStr::as_ptr).into_iter().chain([ptr::null()]);
    let found: Vec<_> = names
        .map(|name| (template(ours, name), template(theirs, name)))
        .collect();
    assert!(
        found.iter().all(|(ours, theirs)| ours == theirs),
        "{found:?}"
    );
    assert_eq!(found.iter().filter(|(ours, _)| ours.is_some()).count(), 5);
}

fn times_of_versions_6_and_7_are_told() {
    let ours = library::load(library::ours());
    for (id, seconds, microseconds) in [
        // The examples of RFC 9562, appendix A: 2022-02-22 14:22:22 -05:00.
        ("C232AB00-9414-11EC-B3C8-9F6BDECED846", 1_645_557_742, 0),
        ("1EC9414C-232A-6B00-B3C8-9F6BDECED846", 1_645_557_742, 0),
        ("017F22E2-79B0-7CC3-98C4-DC0C0C07398F", 1_645_557_742, 0),
        // Half a second later, and at the ends.
        (
            "017F22E2-7BA4-7CC3-98C4-DC0C0C07398F",
            1_645_557_742,
            500_000,
        ),
        ("00000000-0000-1000-8000-000000000000", -12_219_292_800, 0),
        ("00000000-0000-6000-8000-000000000000", -12_219_292_800, 0),
        (
            "ffffffff-ffff-1fff-8000-000000000000",
            103_072_857_660,
            684_697,
        ),
        (
            "ffffffff-ffff-7000-8000-000000000000",
            281_474_976_710,
            655_000,
        ),
        // Before 1970, rounded down: 0.4 µs are left out.
        (
            "bf2eb110-d788-1003-aa59-ce1e9e293641",
            -12_111_152_075,
            316_430,
        ),
        // No time in these.
        ("919108F7-52D1-4320-9BAC-F847DB4148A8", -1, -1),
        ("00000000-0000-0000-0000-000000000000", -1, -1),
        ("2489E9AD-2EE2-8E00-8EC9-32D5F69181C0", -1, -1),
    ] {
        for name in ["uuid_time", "uuid_time64"] {
            // SAFETY: its type in `uuid.h` where `time_t` has 64 bits.
            unsafe {
                let time: Time = function(&ours, name);
                let mut at: libc::timeval = std::mem::zeroed();
                let parsed = Uuid::parse_str(id).expect("a UUID");
                let told = time(&parsed, &mut at);
                assert_eq!(
                    (told, at.tv_sec, at.tv_usec),
                    (seconds, seconds, microseconds),
                    "{id}"
                );
            }
        }
    }
}

fn each_generator_makes_its_version() {
    let ours = library::load(library::ours());
    let mut seen = BTreeSet::new();
    let mut nodes = BTreeSet::new();
    for (name, version) in [
        ("uuid_generate", 4),
        ("uuid_generate_random", 4),
        ("uuid_generate_time", 1),
        ("uuid_generate_time_safe", 1),
        ("uuid_generate_time_v6", 6),
        ("uuid_generate_time_v7", 7),
    ] {
        // SAFETY: its type in `uuid.h`, but for an int that one of them returns.
        let generate: Generate = unsafe { function(&ours, name) };
        for _ in 0..10_000 {
            let mut id = Uuid::nil();
            // SAFETY: a `uuid_t`.
            unsafe { generate(&mut id) };
            assert_eq!(id.get_version_num(), version, "{name}: {id}");
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122, "{name}: {id}");
            assert!(seen.insert(id), "{name}: {id} twice");
            if let Some(node) = id.get_node_id() {
                nodes.insert(node);
            }
            if let Some(time) = id.get_timestamp() {
                let now = std::time::SystemTime::UNIX_EPOCH
                    .elapsed()
                    .expect("after 1970");
                let off = now.as_secs().abs_diff(time.to_unix().0);
                assert!(off <= 1, "{name}: {id} is off by {off} s");
            }
        }
    }
    // SAFETY: its type in `uuid.h`.
    let result = unsafe {
        let safe: unsafe extern "C" fn(*mut Uuid) -> c_int =
            function(&ours, "uuid_generate_time_safe");
        safe(&mut Uuid::nil())
    };
    assert_eq!(result, 0);
    assert_eq!(nodes.len(), 1, "one node in one process");
    assert!(nodes.iter().all(|node| node[0] & 1 == 1), "a MAC address");
}

fn a_child_has_a_node_of_its_own() {
    let [theirs, ours] = both().map(|library| {
        // SAFETY: its type in `uuid.h`.
        let generate: Generate = unsafe { function(&library, "uuid_generate_time") };
        let make = || {
            let mut id = Uuid::nil();
            // SAFETY: a `uuid_t`.
            unsafe { generate(&mut id) };
            id
        };
        let mut ids = vec![make()];
        for _ in 0..20 {
            ids.extend(process::in_copy(process::fork, || vec![make()]));
        }
        let nodes: BTreeSet<_> = ids.iter().map(Uuid::get_node_id).collect();
        (nodes.len(), ids.len())
    });
    assert_eq!(ours, (21, 21));
    // The control: the parent's node, random or not, is the children's as well.
    assert_eq!(theirs, (1, 21), "libuuid was mended?");
}

fn the_daemon_gets_ranges_that_do_not_meet() {
    let ours = library::load(library::ours());
    let mut ranges = BTreeSet::new();
    for name in ["__uuid_generate_time", "__uuid_generate_time_cont"] {
        type Range = unsafe extern "C" fn(*mut Uuid, *mut c_int, u32) -> c_int;
        // SAFETY: its type in libuuid, one with an argument that is not read.
        let range: Range = unsafe { function(&ours, name) };
        for _ in 0..1000 {
            let (mut id, mut count) = (Uuid::nil(), 1000);
            // SAFETY: a `uuid_t` and an int.
            assert_eq!(unsafe { range(&mut id, &mut count, 60) }, 0);
            assert_eq!(count, 1000);
            assert_eq!(id.get_version_num(), 1, "{id}");
            assert_eq!(id.as_bytes()[10] & 1, 1, "{id} has a MAC address");
            // Ranges with one clock sequence and node may meet.
            assert!(ranges.insert(*id.as_fields().3), "{id}");
        }
    }
    type Random = unsafe extern "C" fn(*mut Uuid, *const c_int) -> c_int;
    // SAFETY: its type in libuuid; null and 0 mean one.
    unsafe {
        let random: Random = function(&ours, "__uuid_generate_random");
        let mut ids = [Uuid::nil(); 8];
        assert_eq!(random(&mut ids[0], ptr::null()), 0);
        assert_eq!(random(&mut ids[1], &0), 0);
        assert_eq!(random(&mut ids[2], &5), 0);
        assert_eq!(random(&mut ids[7], &-1), 0);
        uuids::assert_all_good(&ids[..7]);
        assert_eq!(ids[7], Uuid::nil());
    }
}
