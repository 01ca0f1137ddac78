//! Links the library so that dlclose(3) leaves it where it is.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A thread that made a UUID calls back when it ends, to give its memory
    // back. If the library is gone by then, so is what it calls.
    if std::env::var_os("CARGO_FEATURE_UNPINNED").is_none() {
        println!("cargo::rustc-link-arg-cdylib=-Wl,-z,nodelete");
    }
}
