//! A statically linked glibc, where a function cannot be looked up by name.

use std::os::unix::process::ExitStatusExt;

use crate::guest;

support::scenarios![static_getrandom_is_used_and_no_device_opened {
    possible: on_64_bit_glibc,
    seconds: 600
},];

/// The filter of the guest knows no 32-bit architecture, and in a static musl
/// the peer finds the function, too.
fn on_64_bit_glibc() -> bool {
    cfg!(all(target_env = "gnu", target_pointer_width = "64"))
}

fn static_getrandom_is_used_and_no_device_opened() {
    let flags = ["-C", "target-feature=+crt-static"];
    let confined = guest::build("confined", &flags);

    let ours = guest::run(&confined, &["crate"]);
    assert!(
        ours.status.success(),
        "{}: {}",
        ours.status,
        guest::text(&ours)
    );

    // The control: it opens the device, for which it is killed.
    let peer = guest::run(&confined, &["peer"]);
    let text = guest::text(&peer);
    assert_eq!(
        peer.status.signal(),
        Some(libc::SIGSYS),
        "getrandom was mended? {text}"
    );
}
