//! What the programs share: how they print results, and how they interrupt a call.

use std::fmt::Debug;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod interrupt;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use interrupt::{Handler, Target, breakpoint, on, register, switch, targets, trap, trap_later};

/// Returns a line of results: pairs of a key and a value, such as `made="new_v4" in_both=0`.
///
/// Text is in quotes and contains none, and the value of the first pair names the row. The
/// readers are `tests/it/guest/rows.rs` and `tests/vm/table`. They ignore the lines that do not
/// begin with a pair, which are for people.
#[must_use]
pub fn row(pairs: &[(&str, &dyn Debug)]) -> String {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    pairs.join(" ")
}
