// Of two definitions of a link or a picture, Markdown takes the first. These lead to the
// documentation of this version, and the README's to its files. `cargo xtask pictures` writes the
// pictures.
//! [capi]: documentation::hosts#the-c-library
//! [hazards]: documentation::hazards
//! [hosts]: documentation::hosts
//! [platforms]: documentation::platforms
//! [promises]: documentation::promises
//! [python]: documentation::hosts#the-python-package
//! [speed]: documentation::speed
//! [switching]: documentation::switching
//! [`new_v4()`]: new_v4
//! [`try_new_v4()`]: try_new_v4
//! [`now_v7()`]: now_v7
//! [`prepare()`]: prepare
//! [`reseed()`]: reseed
//! [`fill_v4()`]: fill_v4
//! [`fill_v7()`]: fill_v7
//! [`status()`]: status
//! [`Generator::unbuffered()`]: Generator::unbuffered
#![doc = include_str!("../docs/pictures.md")]
#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

// From top to bottom; each module imports only from those below it.
//
// A comment that begins with a tag (brackets with the number of a promise and a name) gives the
// reason for the code below it. `tests/it/rules` leaves that code out and asserts which program
// then fails; see CONTRIBUTING.md.
mod process;
mod status;

mod generator;
mod thread;

mod maker;

pub mod clock;

mod engine;

pub mod source;

mod wipe;

mod format;

mod error;
mod sys;

pub use uuid::Uuid;

pub use error::{Error, ErrorKind};
pub use generator::Generator;
pub use process::{prepare, reseed, status};
pub use status::{Status, SystemSource};
pub use thread::{
    fill_v4, fill_v7, new_v4, now_v1, now_v6, now_v7, random_node, try_fill_v4, try_fill_v7,
    try_new_v4, try_now_v1, try_now_v6, try_now_v7, try_random_node,
};

/// Pages that are too long for the front page.
#[cfg(any(doc, doctest))]
pub mod documentation {
    #[doc = include_str!("../docs/hazards.md")]
    pub mod hazards {}
    #[doc = include_str!("../docs/hosts.md")]
    pub mod hosts {}
    #[doc = include_str!("../docs/platforms.md")]
    pub mod platforms {}
    #[doc = include_str!("../docs/pictures.md")]
    #[doc = include_str!("../docs/promises.md")]
    pub mod promises {}
    #[doc = include_str!("../docs/pictures.md")]
    #[doc = include_str!("../docs/speed.md")]
    pub mod speed {}
    #[doc = include_str!("../docs/switching.md")]
    pub mod switching {}
}
