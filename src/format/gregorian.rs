//! Versions 1 and 6: a count of 100 ns since 1582, a clock sequence and a node (RFC 9562
//! sections 5.1 and 5.6).

use uuid::Uuid;

#[inline]
pub(crate) fn v1((count, sequence): (u64, u16), node: &[u8; 6]) -> Uuid {
    let time = count << 32 | (count >> 16 & 0xffff_0000) | 1 << 12 | count >> 48;
    assemble(time, sequence, node)
}

#[inline]
pub(crate) fn v6((count, sequence): (u64, u16), node: &[u8; 6]) -> Uuid {
    let time = count >> 12 << 16 | 6 << 12 | count & 0xfff;
    assemble(time, sequence, node)
}

/// The count has 60 bits and the clock sequence 14. `uuid`'s builder makes the same by a
/// call, which takes longer.
#[inline]
fn assemble(time: u64, sequence: u16, node: &[u8; 6]) -> Uuid {
    let [a, b, c, d, e, f] = *node;
    let node = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    Uuid::from_u64_pair(time, 1 << 63 | u64::from(sequence) << 48 | node)
}

#[cfg(test)]
mod tests {
    use uuid::Builder;

    use super::*;

    #[test]
    fn versions_1_and_6_are_what_the_builder_of_uuid_makes() {
        let node = [1, 2, 3, 4, 5, 6];
        for (bit, sequence) in (0..60).zip([0, 1, 0x2fff, 0x3fff].into_iter().cycle()) {
            for count in [1 << bit, (1 << 60) - 1 - (1 << bit)] {
                let made = Builder::from_gregorian_timestamp(count, sequence, &node);
                assert_eq!(v1((count, sequence), &node), made.into_uuid());
                let made = Builder::from_sorted_gregorian_timestamp(count, sequence, &node);
                assert_eq!(v6((count, sequence), &node), made.into_uuid());
            }
        }
    }
}
