//! `cargo fork-audit` on programs that are made up here, without a registry.

mod calls;
mod clippy_list;
mod formats;
mod origins;
mod scene;
