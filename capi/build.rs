//! Tells `install` the target of the build, and the linker that Cargo's configuration names.
//! Cargo prints these variables among its messages.

use std::env;

fn main() {
    // `install` sets this variable to run the script again: Cargo does not run it again when
    // only the linker has changed.
    println!("cargo::rerun-if-env-changed=CAPI_ASKED");
    for name in ["HOST", "TARGET", "RUSTC_LINKER"] {
        let value = env::var(name).unwrap_or_default();
        println!("cargo::rustc-env=CAPI_{name}={value}");
    }
}
