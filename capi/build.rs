//! Tells `install` what the library is built for, and which linker Cargo's
//! configuration names: Cargo prints these variables among its messages.

use std::env;

fn main() {
    // Cargo itself would not run this again for another linker.
    println!("cargo::rerun-if-env-changed=CAPI_ASKED");
    for name in ["HOST", "TARGET", "RUSTC_LINKER"] {
        let value = env::var(name).unwrap_or_default();
        println!("cargo::rustc-env=CAPI_{name}={value}");
    }
}
