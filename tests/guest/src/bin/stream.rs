//! Writes the 122 random bits of each UUID to its standard output, one UUID after the
//! other, for programs that judge random streams.
//!
//! `stream pool`, `stream bulk` or `stream unbuffered` chooses how the UUIDs are made. The
//! program ends when its standard output is closed.

use std::io::{ErrorKind, Write};

use fork_safe_uuid::{Generator, Uuid};

/// The random bits of this many UUIDs fill whole bytes: 64 × 122 bits are 976 bytes.
const GROUP: usize = 64;

/// Returns the bits above the version, between version and variant, and below the variant.
fn random_bits(id: Uuid) -> u128 {
    let id = id.as_u128();
    let high = id >> 80;
    let middle = id >> 64 & 0xfff;
    let low = id & ((1 << 62) - 1);
    high << 74 | middle << 62 | low
}

fn pack(ids: &[Uuid], packed: &mut Vec<u8>) {
    for group in ids.chunks_exact(GROUP) {
        let (mut waiting, mut count) = (0_u128, 0);
        for &id in group {
            let bits = random_bits(id);
            // These bits complete the word that waits. The others begin the next word.
            let fitting = (128 - count).min(122);
            waiting |= bits << (128 - 122) >> count;
            count += fitting;
            if count == 128 {
                packed.extend(waiting.to_be_bytes());
                count = 122 - fitting;
                waiting = if count == 0 { 0 } else { bits << (128 - count) };
            }
        }
        packed.extend(&waiting.to_be_bytes()[..count / 8]);
    }
}

fn main() {
    let unbuffered = Generator::unbuffered();
    let kind = std::env::args().nth(1).unwrap_or_default();
    let fill = |ids: &mut [Uuid]| match kind.as_str() {
        "pool" => ids.fill_with(fork_safe_uuid::new_v4),
        "bulk" => fork_safe_uuid::fill_v4(ids),
        "unbuffered" => ids.fill_with(|| unbuffered.new_v4()),
        _ => panic!("pool, bulk or unbuffered?"),
    };
    let mut ids = vec![Uuid::nil(); 64 * GROUP];
    let mut packed = vec![];
    let mut output = std::io::stdout().lock();
    loop {
        fill(&mut ids);
        packed.clear();
        pack(&ids, &mut packed);
        match output.write_all(&packed) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return,
            result => result.expect("standard output"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_packed_without_the_fixed_ones_and_without_gaps() {
        let fixed = 0x4000_8000_0000_0000_0000_u128;
        let mut packed = vec![];
        pack(&[Uuid::from_u128(fixed); GROUP], &mut packed);
        assert_eq!(packed, [0; 976]);
        packed.clear();
        pack(&[Uuid::from_u128(!(0xb000_4000 << 48)); GROUP], &mut packed);
        assert_eq!(packed, [0xff; 976]);
        // Only the last bit of the second UUID is set.
        let mut ids = [Uuid::from_u128(fixed); GROUP];
        ids[1] = Uuid::from_u128(fixed | 1);
        packed.clear();
        pack(&ids, &mut packed);
        let bit = 2 * 122 - 1;
        let mut expected = [0; 976];
        expected[bit / 8] = 0x80 >> (bit % 8);
        assert_eq!(packed, expected);
    }
}
