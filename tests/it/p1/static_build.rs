//! A program that is linked statically with glibc, in which no function can be looked up by
//! name.

use std::os::unix::process::ExitStatusExt;

use crate::guest;

support::scenarios![a_static_program_calls_getrandom_and_opens_no_device {
    possible: on_64_bit_glibc
},];

/// The filter of the program knows no 32-bit architecture. With musl the control would pass,
/// because the peer finds the function in a static program, too.
fn on_64_bit_glibc() -> bool {
    cfg!(all(target_env = "gnu", target_pointer_width = "64"))
}

fn a_static_program_calls_getrandom_and_opens_no_device() {
    let flags = ["-C", "target-feature=+crt-static"];
    let confined = guest::build("confined", &flags);

    let output = guest::run(&confined, &["crate"]);
    let (status, text) = (output.status, guest::text(&output));
    assert!(status.success(), "{status}: {text}");

    // The control: the `getrandom` crate opens the device, and is killed for it.
    let peer = guest::run(&confined, &["peer"]);
    let text = guest::text(&peer);
    assert_eq!(
        peer.status.signal(),
        Some(libc::SIGSYS),
        "getrandom was mended? {text}"
    );
}
