// Of two definitions of a picture the first one counts: see docs/embed.
#![doc = include_str!("../docs/pictures.md")]
#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

// From top to bottom; each module imports only from those below it.
mod local;

mod generator;
mod status;

pub mod clock;

mod pool;

mod hedge;

mod drbg;
mod hardware;

pub mod source;

mod wipe;

mod error;
mod sys;

pub use uuid::Uuid;

pub use error::{Error, ErrorKind};
pub use generator::Generator;
pub use local::{
    fill_v4, fill_v7, new_v4, now_v1, now_v6, now_v7, prepare, random_node, reseed, status,
    try_fill_v4, try_fill_v7, try_new_v4, try_now_v1, try_now_v6, try_now_v7, try_random_node,
};
pub use status::{Serving, Status};
