//! Closes all descriptors and opens a file, as daemons do, and prints whether the
//! generator then reads the file.
//!
//! `retaken NUMBER` chooses the generator: this crate, `uuid`, `uuid` with `fast-rng`, or
//! `uuid7`. The scenario that runs it builds it with `-C target-feature=+crt-static`.

use std::fs::File;
use std::io::Seek;
use std::panic::{self, catch_unwind};

use fork_safe_uuid::Uuid;
use support::memory::is_mapped;

const GENERATORS: [fn() -> Uuid; 4] = [
    fork_safe_uuid::new_v4,
    || {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("entropy");
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    },
    || uuid::Builder::from_random_bytes(rand::random::<u128>().to_ne_bytes()).into_uuid(),
    || Uuid::from_bytes(uuid7::uuid4().into()),
];

fn main() {
    assert!(!is_mapped("libc.so"), "linked dynamically");
    let number = std::env::args().nth(1).expect("a number");
    let make = GENERATORS[number.parse::<usize>().expect("a number")];

    make();
    // SAFETY: this program uses no owner of these descriptors afterwards.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, 1000, 0) };
    assert_eq!(closed, 0);
    let files = [(); 9].map(|()| File::open("/etc/passwd").expect("a file"));
    // More than one seed makes, so that the generator reads again. The file ends before.
    panic::set_hook(Box::new(|_| {}));
    let made = catch_unwind(|| (0..20_000).for_each(|_| _ = make())).is_ok();
    let untouched = |mut file: &File| file.stream_position().expect("a file") == 0;
    let outcome = match files.iter().all(untouched) {
        true if made => "✓",
        true => "✗ panics",
        false => "✗ foreign bytes",
    };
    println!("{}", guest::row(&[("outcome", &outcome)]));
}
