//! The engine: it turns seeds into UUIDs, and keeps some of them ready.

// From top to bottom; each module imports only from those below it.
pub(crate) mod pool;

mod hedge;

mod drbg;
pub(crate) mod hardware;
