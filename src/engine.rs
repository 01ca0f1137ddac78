//! The engine: it turns seeds into UUIDs, and keeps some of them ready.

pub(crate) mod pool;

mod hedge;

mod drbg;
pub(crate) mod hardware;
