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

/// Checks the order of version 7 in one process.
///
/// The UUIDs of a handler and those of the call that it interrupts are in no order. Each
/// of the two is greater than all that were there before the call, and less than all that
/// are made after it. The order starts again where the event set the clock back or called
/// `reseed`.
fn check_order(values: &Values) -> Result<(), Wrong> {
    let ids = values.ids();
    let (call, made) = (values.call.load(SeqCst), values.made.load(SeqCst));
    let begun = values.begun.load(SeqCst);
    let restart = values.restart.load(SeqCst);
    let is_of_call = |place: usize| (call..call + made).contains(&place);
    let is_v7 = |id: &&Uuid| id.get_version_num() == 7;
    let out_of_order = |a: Uuid, b: Uuid| Err(("out_of_order", format!("{a}, then {b}")));
    let others: Vec<_> = (restart.unwrap_or(0)..ids.len())
        .filter(|&place| !is_of_call(place))
        .map(|place| &ids[place])
        .filter(is_v7)
        .collect();
    for pair in others.windows(2) {
        if word_of(*pair[0]) >= word_of(*pair[1]) {
            return out_of_order(*pair[0], *pair[1]);
        }
    }
    let of_call: Vec<_> = ids[call..call + made].iter().filter(is_v7).collect();
    let (Some(first), Some(last)) = (of_call.first(), of_call.last()) else {
        return Ok(());
    };
    if let Some(pair) = of_call.windows(2).find(|pair| pair[0] >= pair[1]) {
        return out_of_order(*pair[0], *pair[1]);
    }
    if restart.is_some() {
        return Ok(());
    }
    let before = ids[..begun].iter().rfind(is_v7);
    let after = ids[call + made..].iter().find(is_v7);
    match (before, after) {
        (Some(before), _) if word_of(*before) >= word_of(**first) => out_of_order(*before, **first),
        (_, Some(after)) if word_of(**last) >= word_of(*after) => out_of_order(**last, *after),
        _ => Ok(()),
    }
}
