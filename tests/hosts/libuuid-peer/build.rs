fn main() {
    // PHP binds an extension to the extension's own dependencies first. A preloaded library
    // replaces libuuid there only if it has the same soname.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libuuid.so.1");
}
