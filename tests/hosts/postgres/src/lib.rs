//! The functions of the recipe, which is linked, and those that only the test calls.

use pg_fork_safe_uuid as _;
use pgrx::prelude::*;
use uuid::Uuid;

/// Makes UUIDs when PostgreSQL loads the library, which it does in the postmaster. Each backend
/// then inherits the state of the generators.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    let _ = fork_safe_uuid::new_v4();
    let _ = fork_safe_uuid::now_v7();
    let _ = Uuid::new_v4();
}

#[pg_extern(parallel_safe)]
fn control_v4() -> pgrx::Uuid {
    pgrx::Uuid::from_bytes(Uuid::new_v4().into_bytes())
}

/// Returns the process id, as pg_backend_pid() does, which parallel workers may not call.
#[pg_extern(parallel_safe)]
fn process_id() -> i32 {
    std::process::id().cast_signed()
}
