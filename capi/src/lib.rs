//! The functions of `<uuid/uuid.h>`, as util-linux declares them, on fork-safe-uuid.
//!
//! They return what libuuid documents, with two differences. Where libuuid falls back on a
//! weak generator, these functions end the process and keep the reason in memory. Time-based
//! UUIDs have a random node instead of the MAC address (RFC 9562 section 6.10), and need
//! neither a file nor a daemon.
//!
//! [`control`] has three functions that libuuid does not have.
//!
//! # Safety
//!
//! As in libuuid, no pointer may be null unless a function says so. A `uuid_t` is 16 bytes
//! of any alignment, which is the layout of [`Uuid`]. A function may be given the same
//! `uuid_t` to read and to write.
//!
//! [`Uuid`]: fork_safe_uuid::Uuid

// The public functions are called by C.
#![allow(unreachable_pub)]

mod abort;
mod control;
mod errno;
mod fields;
mod generate;
mod line;
mod load;
mod private;
mod text;
#[cfg(panic = "abort")]
mod unwind;
