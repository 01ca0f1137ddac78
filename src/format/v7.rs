//! Version 7: milliseconds, their fraction, a counter, and random bits (RFC 9562
//! section 5.7).
//!
//! ```text
//!  48 bits     4     12 bits     2   4 bits    58 bits
//! unix_ts_ms | 7 |  fraction  | 10 | counter | random
//!             rand_a, by section 6.2, method 3;  rand_b
//! ```
//!
//! `unix_ts_ms`, fraction and counter are together the *word* of a UUID, which is 64 bits.
//! `clock::order` chooses it.

use uuid::Uuid;

use super::Block;

/// 16 UUIDs in a tick of 244 ns; a thread that makes more runs ahead of the clock by
/// 15 ns with each.
pub(crate) const COUNTER_BITS: u32 = 4;
pub(crate) const COUNTER: u64 = (1 << COUNTER_BITS) - 1;

const RANDOM_BITS: u32 = 62 - COUNTER_BITS;
const RANDOM: u64 = (1 << RANDOM_BITS) - 1;

/// How many UUIDs of one request share a word. Their random bits begin below half of
/// the range and grow by 2^32 at most, so that as many steps cannot pass its end.
pub(crate) const UUIDS_PER_WORD: usize = 1 << (RANDOM_BITS - 1 - 32);

/// Returns the UUID of a word, with the random bits of a UUID of version 4.
#[inline]
pub(crate) fn uuid(word: u64, random: Uuid) -> Uuid {
    assemble(word, random.as_u64_pair().1)
}

/// `low` has the variant's bits in their place.
#[inline]
fn assemble(word: u64, low: u64) -> Uuid {
    const FIELDS: u32 = 16;
    let ms = word >> FIELDS << FIELDS;
    let rand_a = word >> COUNTER_BITS & 0xfff;
    let counter = (word & COUNTER) << RANDOM_BITS;
    Uuid::from_u64_pair(
        ms | 7 << 12 | rand_a,
        low & !(COUNTER << RANDOM_BITS) | counter,
    )
}

/// Turns `blocks`, UUIDs of version 4, into UUIDs of version 7 in order.
///
/// All UUIDs of a word have its timestamp. The random bits of the first one are fresh
/// except for the topmost, and grow by 1 to 2^32 with each further one (section 6.2,
/// method 2).
pub(crate) fn shape(blocks: &mut [Block], first: u64) {
    shape_by(blocks, first, UUIDS_PER_WORD);
}

fn shape_by(blocks: &mut [Block], first: u64, uuids_per_word: usize) {
    for (blocks, word) in blocks.chunks_mut(uuids_per_word).zip(first..) {
        let mut random = None;
        for block in blocks {
            let (_, low) = Uuid::from_bytes(*block).as_u64_pair();
            let grown = match random {
                None => low & RANDOM >> 1,
                Some(random) => random + 1 + (low & 0xffff_ffff),
            };
            random = Some(grown);
            *block = assemble(word, low & !RANDOM | grown).into_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_where_the_rfc_has_them() {
        // Appendix A.6: its rand_a, and its rand_b with the counter's bits on top.
        let word = 0x017F_22E2_79B0 << 16 | 0xCC3 << COUNTER_BITS | 0b0110;
        let id = uuid(
            word,
            Uuid::from_u128(0xffff_ffff_ffff_4fff_bcc4_dc0c_0c07_398f),
        );
        assert_eq!(id.to_string(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    }

    #[test]
    fn a_request_grows_across_its_words_whatever_the_random_bits() {
        for byte in [0x00, 0xff] {
            let mut random = [byte; 16];
            random[6] = 0x4f & byte | 0x40;
            random[8] = 0xbf & byte | 0x80;
            let mut blocks = vec![random; 100];
            shape_by(&mut blocks, 0x1234_567f, 7);
            assert!(blocks.is_sorted_by(|a, b| a < b));
            for block in blocks {
                let id = Uuid::from_bytes(block);
                assert_eq!((id.get_version_num(), block[8] >> 6), (7, 0b10));
            }
        }
    }

    #[test]
    fn the_random_bits_of_a_word_cannot_pass_their_end() {
        let steps = UUIDS_PER_WORD as u64 - 1;
        assert!((RANDOM >> 1) + (steps << 32) <= RANDOM);
    }
}
