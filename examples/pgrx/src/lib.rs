//! A PostgreSQL extension whose functions return UUIDs. It may be preloaded, or each backend may
//! load it.
//!
//! ```text
//! cd examples/pgrx
//! export PGRX_PG_CONFIG_PATH=$(command -v pg_config)
//! cargo build --release
//! install ../../target/pgrx/release/libpg_fork_safe_uuid.so "$(pg_config --pkglibdir)/pg_fork_safe_uuid.so"
//! install -m 644 pg_fork_safe_uuid* "$(pg_config --sharedir)/extension"
//! psql -c 'CREATE EXTENSION pg_fork_safe_uuid' -c 'SELECT fork_safe_uuid_v7()'
//! ```
//!
//! The build needs Debian's packages postgresql-server-dev-15 and libclang-dev. For another
//! version than PostgreSQL 15, add for example `--no-default-features --features pg17`. If
//! cargo-pgrx is installed, `cargo pgrx package` makes the three files, too.
//! `cargo xtask hosts postgres` checks this recipe.

use pgrx::Uuid;
use pgrx::prelude::*;

pg_module_magic!();

// Both functions panic without entropy, and pgrx turns a panic into an error of the statement.

#[pg_extern(parallel_safe)]
fn fork_safe_uuid_v4() -> Uuid {
    Uuid::from_bytes(fork_safe_uuid::new_v4().into_bytes())
}

#[pg_extern(parallel_safe)]
fn fork_safe_uuid_v7() -> Uuid {
    Uuid::from_bytes(fork_safe_uuid::now_v7().into_bytes())
}
