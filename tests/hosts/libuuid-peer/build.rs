fn main() {
    // PHP binds an extension to its own dependencies first: only a library of this name,
    // when it is preloaded, takes the place of libuuid there.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libuuid.so.1");
}
