//! The engine: it turns seeds into ready UUIDs.

pub(crate) mod pool;

mod hedge;

mod drbg;
pub(crate) mod hardware;
