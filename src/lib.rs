#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

// From top to bottom; each module imports only from those below it.
mod local;

mod generator;
mod status;

mod pool;

mod drbg;
mod hedge;

pub mod source;

mod wipe;

mod error;
mod sys;

pub use uuid::Uuid;

pub use error::{Error, ErrorKind};
pub use generator::Generator;
pub use local::{fill_v4, new_v4, prepare, reseed, status, try_fill_v4, try_new_v4};
pub use status::{Serving, Status};
