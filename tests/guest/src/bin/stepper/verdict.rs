//! What is wrong with the UUIDs that the processes of one run made.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::SeqCst;

use fork_safe_uuid::Uuid;

use crate::log::Values;

/// Which processes have the same UUIDs of the interrupted call.
#[derive(Clone, Copy, PartialEq)]
pub enum Shared {
    Nobody,
    /// The first process and another one.
    WithFirst,
    /// Only two of its children: a second fork interrupted the call that the child makes
    /// again.
    AmongChildren,
}

/// What is wrong: a key of the row, and a text for people.
pub type Wrong = (&'static str, String);

/// All keys of a [`Wrong`], and `in_two_runs`, which concerns several runs.
pub const WRONGS: [&str; 7] = [
    "hung",
    "ended_early",
    "not_random",
    "twice",
    "partly_in_both",
    "out_of_order",
    "in_two_runs",
];

/// Checks that all UUIDs are random and distinct, and that version 7 is in order.
///
/// Only the UUIDs of the interrupted call may be in several processes, and only all of them.
pub fn check(processes: &[Values]) -> Result<Shared, Wrong> {
    let mut seen = BTreeMap::new();
    let mut equal = 0;
    let mut shared = Shared::Nobody;
    let mut made = 0;
    for (who, values) in processes.iter().enumerate() {
        made = made.max(values.made.load(SeqCst));
        for (place, id) in values.ids().iter().enumerate() {
            let few = match id.get_version_num() {
                4 => id.as_u128().count_ones() < 20,
                7 => (id.as_u128() as u64 & u64::MAX >> 6).count_ones() < 4,
                1 => id.get_node_id().is_some_and(|node| node[0] & 1 == 0),
                _ => true,
            };
            if few {
                return Err(("not_random", id.to_string()));
            }
            let call = place.wrapping_sub(values.call.load(SeqCst));
            let of_call = call < values.made.load(SeqCst);
            match seen.insert(id, (who, call)) {
                None => {}
                Some((other, same)) if other != who && same == call && of_call => {
                    equal += 1;
                    if other == 0 {
                        shared = Shared::WithFirst;
                    } else if shared == Shared::Nobody {
                        shared = Shared::AmongChildren;
                    }
                }
                Some(_) => return Err(("twice", id.to_string())),
            }
        }
        check_order(values)?;
    }
    if equal != 0 && equal % made != 0 {
        return Err(("partly_in_both", format!("{equal} of {made}")));
    }
    Ok(shared)
}

/// Returns the timestamp and the counter of a UUID of version 7.
pub fn word_of(id: Uuid) -> u64 {
    let bits = id.as_u128();
    ((bits >> 80) as u64) << 16 | ((bits >> 64) as u64 & 0xfff) << 4 | (bits >> 58) as u64 & 0xf
}

/// Checks the order of version 7 in one process: each UUID must be greater than all that were
/// there when its call began. Those of a handler and of the call that it interrupts are in no
/// order.
///
/// The order starts again where the event calls `reseed`. This leaves out the calls that began
/// before.
fn check_order(values: &Values) -> Result<(), Wrong> {
    let restart = values.restart.load(SeqCst);
    // For each place, the greatest word up to it.
    let mut greatest: Vec<u64> = vec![];
    for (id, &begin) in values.ids().iter().zip(&values.begins) {
        let last = greatest.last().copied().unwrap_or(0);
        let is_judged = restart.is_none_or(|restart| begin > restart);
        if id.get_version_num() != 7 || !is_judged {
            greatest.push(last);
            continue;
        }
        let word = word_of(*id);
        if begin > 0 && word <= greatest[begin - 1] {
            return Err(("out_of_order", format!("{id} is less than one before it")));
        }
        greatest.push(word.max(last));
    }
    Ok(())
}
