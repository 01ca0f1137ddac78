//! Makes a UUID before a fork and two after it, and checks that no two are equal.
//!
//! ```text
//! cargo run --example fork
//! ```

use std::io::{Read, Write, pipe};

fn main() {
    let before = fork_safe_uuid::new_v4();
    let (mut reader, mut writer) = pipe().expect("a pipe");
    // SAFETY: this program has one thread.
    if unsafe { libc::fork() } == 0 {
        let child = fork_safe_uuid::new_v4();
        writer.write_all(child.as_bytes()).expect("a parent");
        return;
    }
    let parent = fork_safe_uuid::new_v4();
    let mut child = [0; 16];
    reader.read_exact(&mut child).expect("a child");
    let child = fork_safe_uuid::Uuid::from_bytes(child);
    println!("before the fork {before}\nparent          {parent}\nchild           {child}");
    assert!(before != parent && parent != child && child != before);
}
