//! Searches the memory that the kernel would put into a core dump for the next UUID of a
//! generator.
//!
//! `dumped 0` tries the first generator of the table in `docs/hazards.md`, and so on. It prints
//! `shown=1` if the UUID is there, and `there=0` if the machine lacks the generator.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::mem::transmute;
use std::os::unix::fs::FileExt;

use support::memory::mappings;
use uuid::Uuid;

type Generate = unsafe extern "C" fn(*mut Uuid);

/// Returns the system's uuid_generate_random(3), or `None` if there is no libuuid.
fn libuuid() -> Option<Generate> {
    // SAFETY: the library does nothing when it is loaded, and its function has this type
    // (uuid/uuid.h).
    unsafe {
        let library = libc::dlopen(c"libuuid.so.1".as_ptr(), libc::RTLD_NOW);
        if library.is_null() {
            return None;
        }
        let function = libc::dlsym(library, c"uuid_generate_random".as_ptr());
        transmute::<*mut libc::c_void, Option<Generate>>(function)
    }
}

fn main() {
    let number = std::env::args().nth(1);
    let make: Box<dyn Fn() -> Uuid> = match number.as_deref() {
        Some("0") => Box::new(fork_safe_uuid::new_v4),
        // What `Uuid::new_v4` does without `fast-rng`, which is on here.
        Some("1") => Box::new(|| {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).expect("entropy");
            uuid::Builder::from_random_bytes(bytes).into_uuid()
        }),
        Some("2") => Box::new(Uuid::new_v4),
        Some("3") => Box::new(|| Uuid::from_bytes(uuid7::uuid4().into())),
        Some("4") => {
            let Some(generate) = libuuid() else {
                println!("{}", guest::row(&[("shown", &0), ("there", &0)]));
                return;
            };
            Box::new(move || {
                let mut id = Uuid::nil();
                // SAFETY: it writes a `uuid_t`.
                unsafe { generate(&mut id) };
                id
            })
        }
        _ => panic!("the number of a generator?"),
    };
    make();
    let memory = File::open("/proc/self/mem").expect("proc");
    let mut dump = vec![];
    for range in mappings(|has| has.contains(&"wr") && !has.contains(&"dd")) {
        let mut bytes = vec![0; range.len()];
        // Guard pages cannot be read.
        if memory.read_exact_at(&mut bytes, range.start as u64).is_ok() {
            dump.push(bytes);
        }
    }
    let id = make().into_bytes();
    let mut reversed = id;
    reversed.reverse();
    // These bytes come after the version and the variant.
    let shown = [&id[9..], &reversed[..7]];
    let shows = |bytes: &Vec<u8>| bytes.windows(7).any(|window| shown.contains(&window));
    let shown = i32::from(dump.iter().any(shows));
    println!("{}", guest::row(&[("shown", &shown), ("there", &1)]));
}
