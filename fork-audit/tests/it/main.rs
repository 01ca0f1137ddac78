//! Runs `cargo fork-audit` on made-up programs, which need no registry.

mod calls;
mod clippy_list;
mod formats;
mod origins;
mod scene;
