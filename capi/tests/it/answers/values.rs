//! Compares the order, the fields and the text of UUIDs, and the UUIDs of names.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

use fork_safe_uuid::Uuid;
use libloading::os::unix::Library;

use super::Numbers;
use crate::library::{self, Ask, Generate, Named, Time, Unparse, both, function};

support::scenarios![
    order_fields_and_text_are_those_of_libuuid,
    uuids_of_names_are_those_of_libuuid,
    uuid_time_returns_the_time_of_versions_1_6_and_7,
];

fn order_fields_and_text_are_those_of_libuuid() {
    let [theirs, ours] = &both();
    let mut numbers = Numbers(2);
    let mut ids: Vec<Uuid> = (0..20_000).map(|_| numbers.id()).collect();
    ids.extend([
        Uuid::nil(),
        Uuid::max(),
        Uuid::NAMESPACE_DNS,
        Uuid::NAMESPACE_X500,
    ]);
    // These differ in one byte.
    for at in 0..16 {
        let mut bytes = *Uuid::NAMESPACE_DNS.as_bytes();
        bytes[at] ^= 1;
        ids.push(Uuid::from_bytes(bytes));
    }
    for name in ["uuid_is_null", "uuid_type", "uuid_variant"] {
        let ask = |library| -> Vec<c_int> {
            // SAFETY: the function has this type in `uuid.h`.
            let ask: Ask = unsafe { function(library, name) };
            // SAFETY: `id` is a `uuid_t`.
            ids.iter().map(|id| unsafe { ask(id) }).collect()
        };
        assert!(ask(ours) == ask(theirs), "{name}");
    }
    for name in ["uuid_unparse", "uuid_unparse_lower", "uuid_unparse_upper"] {
        let write = |library| -> Vec<CString> {
            // SAFETY: the function has this type in `uuid.h`.
            let unparse: Unparse = unsafe { function(library, name) };
            // SAFETY: `id` is a `uuid_t`, and `text` has room for more than the text.
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
        // SAFETY: the function has this type in `uuid.h`.
        let compare: Compare = unsafe { function(library, "uuid_compare") };
        let near = &ids[ids.len() - 20..];
        let pairs = ids.iter().zip(&ids[1..]);
        pairs
            .chain(
                near.iter()
                    .flat_map(|one| near.iter().map(move |other| (one, other))),
            )
            // SAFETY: both are a `uuid_t`.
            .map(|(left, right)| unsafe { compare(left, right) }.signum())
            .collect()
    };
    assert!(order(ours) == order(theirs));

    // Only version 1 is compared: libuuid before 2.41 reads each version as version 1.
    let version_1: Vec<Uuid> = (0..20_000)
        .map(|_| Uuid::from_u64_pair(numbers.next() & !0xF000 | 0x1000, numbers.next()))
        // From 1984 on: libuuid does not return times before 1970.
        .filter(|id| id.as_fields().2 & 0xFFF >= 0x1C0)
        .collect();
    assert!(version_1.len() > 10_000);
    let times = |library: &Library| -> Vec<(i64, i64, i64)> {
        // Later versions of libuuid have the 64-bit function under another name.
        // SAFETY: the function has this type in `uuid.h` where `time_t` has 64 bits.
        let time: Time = unsafe {
            let later = library.get::<Time>(b"uuid_time64").map(|symbol| *symbol);
            later.unwrap_or_else(|_| function(library, "uuid_time"))
        };
        // SAFETY: `id` is a `uuid_t`, and zeros are a valid `timeval`.
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
    // SAFETY: the functions have these types in `uuid.h`.
    unsafe {
        function::<unsafe extern "C" fn(*mut Uuid, *const Uuid)>(ours, "uuid_copy")(&mut id, &from);
        assert_eq!(id, from);
        function::<Generate>(ours, "uuid_clear")(&mut id);
        assert_eq!(id, Uuid::nil());
    }
}

fn uuids_of_names_are_those_of_libuuid() {
    let [theirs, ours] = &both();
    let mut numbers = Numbers(3);
    for name in ["uuid_generate_md5", "uuid_generate_sha1"] {
        // SAFETY: the function has this type in `uuid.h`.
        let make = [theirs, ours].map(|library| unsafe { function::<Named>(library, name) });
        for length in 0..300 {
            let text: Vec<u8> = (0..length).map(|_| numbers.next() as u8).collect();
            let namespace = numbers.id();
            let [theirs, ours] = make.map(|make| {
                // The result replaces the namespace.
                let mut id = namespace;
                // SAFETY: the name has that length, and one `uuid_t` may be both arguments.
                unsafe { make(&raw mut id, &raw const id, text.as_ptr().cast(), length) };
                id
            });
            assert_eq!(ours, theirs, "{name} of {text:?}");
        }
        let mut id = Uuid::nil();
        // SAFETY: the name may be null if its length is 0.
        unsafe { make[1](&mut id, &Uuid::NAMESPACE_DNS, ptr::null(), 0) };
        assert_ne!(id, Uuid::nil());
    }
    let template = |library, name: *const c_char| {
        type Template = unsafe extern "C" fn(*const c_char) -> *const Uuid;
        // SAFETY: the function has this type in `uuid.h`, a string or null, and a constant.
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

fn uuid_time_returns_the_time_of_versions_1_6_and_7() {
    let ours = library::load(library::ours());
    for (id, seconds, microseconds) in [
        // The examples of RFC 9562, appendix A: 2022-02-22 14:22:22 -05:00.
        ("C232AB00-9414-11EC-B3C8-9F6BDECED846", 1_645_557_742, 0),
        ("1EC9414C-232A-6B00-B3C8-9F6BDECED846", 1_645_557_742, 0),
        ("017F22E2-79B0-7CC3-98C4-DC0C0C07398F", 1_645_557_742, 0),
        // Half a second later, and the first and last times.
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
        // Before 1970, rounded down by 0.4 µs.
        (
            "bf2eb110-d788-1003-aa59-ce1e9e293641",
            -12_111_152_075,
            316_430,
        ),
        // These have no time.
        ("919108F7-52D1-4320-9BAC-F847DB4148A8", -1, -1),
        ("00000000-0000-0000-0000-000000000000", -1, -1),
        ("2489E9AD-2EE2-8E00-8EC9-32D5F69181C0", -1, -1),
    ] {
        for name in ["uuid_time", "uuid_time64"] {
            // SAFETY: the function has this type in `uuid.h` where `time_t` has 64 bits.
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
