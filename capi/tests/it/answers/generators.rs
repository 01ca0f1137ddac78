//! Checks the UUIDs that the functions generate.

use std::collections::BTreeSet;
use std::ffi::c_int;
use std::ptr;

use fork_safe_uuid::Uuid;
use support::{process, uuids};

use crate::library::{self, Generate, both, function};

support::scenarios![
    each_generator_makes_its_version,
    each_child_has_another_node,
    uuidd_gets_ranges_that_do_not_overlap,
];

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
        // SAFETY: the functions have this type in `uuid.h`, but one of them also returns an int.
        let generate: Generate = unsafe { function(&ours, name) };
        for _ in 0..10_000 {
            let mut id = Uuid::nil();
            // SAFETY: `id` is a `uuid_t`.
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
    // SAFETY: the function has this type in `uuid.h`.
    let result = unsafe {
        let safe: unsafe extern "C" fn(*mut Uuid) -> c_int =
            function(&ours, "uuid_generate_time_safe");
        safe(&mut Uuid::nil())
    };
    assert_eq!(result, 0);
    assert_eq!(nodes.len(), 1, "a process has one node");
    assert!(nodes.iter().all(|node| node[0] & 1 == 1), "a MAC address");
}

fn each_child_has_another_node() {
    let [theirs, ours] = both().map(|library| {
        // SAFETY: the function has this type in `uuid.h`.
        let generate: Generate = unsafe { function(&library, "uuid_generate_time") };
        let make = || {
            let mut id = Uuid::nil();
            // SAFETY: `id` is a `uuid_t`.
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
    // The control: with libuuid, the children have the parent's node, random or not.
    assert_eq!(theirs, (1, 21), "libuuid was mended?");
}

fn uuidd_gets_ranges_that_do_not_overlap() {
    let ours = library::load(library::ours());
    let mut ranges = BTreeSet::new();
    for name in ["__uuid_generate_time", "__uuid_generate_time_cont"] {
        type Range = unsafe extern "C" fn(*mut Uuid, *mut c_int, u32) -> c_int;
        // SAFETY: the second function has this type in libuuid. The first one has no third argument.
        let range: Range = unsafe { function(&ours, name) };
        for _ in 0..1000 {
            let (mut id, mut count) = (Uuid::nil(), 1000);
            // SAFETY: the pointers lead to a `uuid_t` and an int.
            assert_eq!(unsafe { range(&mut id, &mut count, 60) }, 0);
            assert_eq!(count, 1000);
            assert_eq!(id.get_version_num(), 1, "{id}");
            assert_eq!(id.as_bytes()[10] & 1, 1, "{id} has a MAC address");
            // Two ranges with the same clock sequence and node may overlap.
            assert!(ranges.insert(*id.as_fields().3), "{id}");
        }
    }
    type Random = unsafe extern "C" fn(*mut Uuid, *const c_int) -> c_int;
    // SAFETY: the function has this type in libuuid; a count of null or 0 means one UUID.
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
