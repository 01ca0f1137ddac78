//! The functions of `<uuid/uuid.h>`, as util-linux declares them, on
//! fork-safe-uuid.
//!
//! They return what libuuid documents, with two differences. Where libuuid falls
//! back on a weak generator, these end the process and leave the reason. A time-based UUID
//! has a random node instead of the MAC address (RFC 9562 section 6.10), and no
//! file and no daemon behind it.
//!
//! Three more functions, in [`control`], are what this library adds.
//!
//! # Safety
//!
//! As in libuuid, no pointer may be null unless a function says so. A `uuid_t`
//! is 16 bytes of any alignment, which is [`Uuid`]'s layout; where one is
//! written, it may be the one that is read.
//!
//! [`Uuid`]: fork_safe_uuid::Uuid

// What is public here is for C.
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
