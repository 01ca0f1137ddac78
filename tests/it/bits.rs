//! The random bits of UUIDs are fair and independent, as far as statistics can tell.
//!
//! Each statistic is converted into standard deviations from the mean for fair bits. A stream
//! has 409 statistics. In fair streams, one of them is beyond five sigma once in 4000 streams,
//! and beyond six sigma, the bound of the everyday scenarios, once in a million.

use fork_safe_uuid::{Generator, Uuid, fill_v4};
use support::SLOTS;
use support::harness::step;

support::scenarios![
    a_million_uuids_are_fair,
    streams_that_are_not_fair_are_refused,
    a_hundred_million_of_each_kind_are_fair { slow: true },
    a_bias_of_a_thousandth_is_refused { slow: true },
];

/// The bits of the version and the variant.
const FIXED: u128 = 0xf000_c000_0000_0000_0000;
const VERSION_4: u128 = 0x4000_8000_0000_0000_0000;

/// How many bits of a UUID are random.
const RANDOM: usize = 122;

/// Returns the random bits of a UUID, without gaps.
fn random_bits(id: u128) -> u128 {
    id >> 80 << 74 | (id >> 64 & 0xfff) << 62 | id & ((1 << 62) - 1)
}

/// Counts how often each byte has each value.
struct Histogram([[u64; 256]; 16]);

impl Histogram {
    fn add(&mut self, value: u128) {
        for (counts, byte) in self.0.iter_mut().zip(value.to_be_bytes()) {
            counts[usize::from(byte)] += 1;
        }
    }

    /// Judges each of the 122 bits, and the distribution of each byte.
    fn judge(&self, what: &str, count: f64, judge: &mut impl FnMut(String, f64)) {
        for bit in 0..RANDOM {
            let (byte, mask) = (15 - bit / 8, 1 << (bit % 8));
            let ones = (0..256).filter(|value| value & mask != 0);
            let ones: u64 = ones.map(|value| self.0[byte][value]).sum();
            judge(format!("{what} bit {bit}"), deviation(ones, count));
        }
        // Byte 0 has only two of the 122 bits.
        for (byte, counts) in self.0.iter().enumerate() {
            let values = if byte == 0 { 4 } else { 256 };
            let expected = count / values as f64;
            let square = |&found: &u64| (found as f64 - expected).powi(2) / expected;
            let chi_squared = counts[..values].iter().map(square).sum();
            let sigmas = normal_of_chi_squared(chi_squared, (values - 1) as f64);
            judge(format!("{what} byte {byte}"), sigmas);
        }
    }
}

/// Returns by how many standard deviations a number of ones differs from that of fair bits.
fn deviation(ones: u64, bits: f64) -> f64 {
    (ones as f64 - bits / 2.0) / (bits.sqrt() / 2.0)
}

/// Converts chi squared to standard deviations, by the approximation of Wilson and Hilferty:
/// its cube root is nearly normal.
fn normal_of_chi_squared(chi_squared: f64, freedom: f64) -> f64 {
    let variance = 2.0 / (9.0 * freedom);
    ((chi_squared / freedom).cbrt() - (1.0 - variance)) / variance.sqrt()
}

/// All bits of UUIDs at these distances are compared.
const LAGS: [usize; 12] = [
    1,
    2,
    3,
    4,
    8,
    16,
    64,
    SLOTS - 1,
    SLOTS,
    SLOTS + 1,
    2 * SLOTS,
    4096,
];

/// Counts of a stream of UUIDs.
struct Tally {
    count: u64,
    malformed: u64,
    values: Histogram,
    /// The bits that differ between neighbours.
    changes: Histogram,
    compared: u64,
    /// For each lag, how many bits differ, and of how many.
    differing: [(u64, u64); LAGS.len()],
    /// For each distance, how many bits differ from the bit at that distance in the same UUID.
    shifted: [u64; RANDOM],
}

impl Tally {
    fn new() -> Box<Self> {
        Box::new(Self {
            count: 0,
            malformed: 0,
            values: Histogram([[0; 256]; 16]),
            changes: Histogram([[0; 256]; 16]),
            compared: 0,
            differing: [(0, 0); LAGS.len()],
            shifted: [0; RANDOM],
        })
    }

    fn add(&mut self, ids: &[Uuid]) {
        let bits: Vec<_> = ids.iter().map(|id| random_bits(id.as_u128())).collect();
        self.count += ids.len() as u64;
        let malformed = ids.iter().filter(|id| id.as_u128() & FIXED != VERSION_4);
        self.malformed += malformed.count() as u64;
        bits.iter().for_each(|&bits| self.values.add(bits));
        for pair in bits.windows(2) {
            self.changes.add(pair[0] ^ pair[1]);
            self.compared += 1;
        }
        for (lag, (differing, of)) in LAGS.iter().zip(&mut self.differing) {
            for (a, b) in bits.iter().zip(bits.iter().skip(*lag)) {
                *differing += u64::from((a ^ b).count_ones());
                *of += RANDOM as u64;
            }
        }
        for (shift, differing) in self.shifted.iter_mut().enumerate().skip(1) {
            let mask = (1 << (RANDOM - shift)) - 1;
            for bits in &bits {
                *differing += u64::from(((bits ^ bits >> shift) & mask).count_ones());
            }
        }
    }

    /// Returns the statistics that are beyond `limit`.
    fn judge(&self, limit: f64) -> Vec<String> {
        let (mut refused, mut greatest, mut judged) = (vec![], 0.0_f64, 0);
        let mut judge = |what: String, sigmas: f64| {
            judged += 1;
            greatest = greatest.max(sigmas.abs());
            if sigmas.abs() > limit || sigmas.is_nan() {
                refused.push(what);
            }
        };
        self.values.judge("value", self.count as f64, &mut judge);
        self.changes
            .judge("change", self.compared as f64, &mut judge);
        for (lag, &(differing, of)) in LAGS.iter().zip(&self.differing) {
            judge(format!("lag {lag}"), deviation(differing, of as f64));
        }
        for (shift, &differing) in self.shifted.iter().enumerate().skip(1) {
            let of = self.count as f64 * (RANDOM - shift) as f64;
            judge(format!("shift {shift}"), deviation(differing, of));
        }
        if self.malformed > 0 {
            refused.push("form".into());
        }
        eprintln!(
            "{} UUIDs: {judged} statistics up to {greatest:.2} sigma",
            self.count
        );
        refused
    }
}

/// How many UUIDs are made at a time, more than the longest lag.
const PORTION: usize = 20_000;

/// Returns the statistics of `count` UUIDs that are beyond `limit`.
fn refusals(count: usize, limit: f64, mut fill: impl FnMut(&mut [Uuid])) -> Vec<String> {
    let mut tally = Tally::new();
    let mut ids = vec![Uuid::nil(); PORTION];
    for portion in 0..count / PORTION {
        step(format_args!("{} UUIDs", portion * PORTION));
        fill(&mut ids);
        tally.add(&ids);
    }
    tally.judge(limit)
}

fn one_by_one(ids: &mut [Uuid]) {
    ids.fill_with(fork_safe_uuid::new_v4);
}

fn unbuffered(ids: &mut [Uuid]) {
    let generator = Generator::unbuffered();
    ids.fill_with(|| generator.new_v4());
}

#[track_caller]
fn assert_fair(count: usize, limit: f64) {
    for fill in [one_by_one, fill_v4, unbuffered] {
        assert_eq!(refusals(count, limit, fill), [""; 0]);
    }
}

fn a_million_uuids_are_fair() {
    assert_fair(400_000, 6.0);
}

fn a_hundred_million_of_each_kind_are_fair() {
    assert_fair(100_000_000, 5.0);
}

/// Returns a stream of fair UUIDs that `change` spoils. It gets each UUID, its number, and
/// whether a die says so, which happens once in `rarity`.
fn spoilt(rarity: u64, mut change: impl FnMut(&mut u128, u64, bool)) -> impl FnMut(&mut [Uuid]) {
    let mut number = 0;
    move |ids| {
        fill_v4(ids);
        let mut dice = vec![Uuid::nil(); ids.len()];
        fill_v4(&mut dice);
        for (id, die) in ids.iter_mut().zip(dice) {
            let mut bits = id.as_u128();
            let die = die.as_u128() as u64 & ((1 << 62) - 1);
            change(&mut bits, number, die.is_multiple_of(rarity));
            number += 1;
            *id = Uuid::from_u128(bits);
        }
    }
}

#[track_caller]
fn assert_refused(what: &str, refused: &[String]) {
    assert!(
        refused.iter().any(|name| name == what),
        "{what}: {refused:?}"
    );
}

/// The controls: each fault is found by the statistic that is made for it.
fn streams_that_are_not_fair_are_refused() {
    let refused = |rarity, change: &mut dyn FnMut(&mut u128, u64, bool)| {
        refusals(200_000, 6.0, spoilt(rarity, change))
    };
    // In one of 25 UUIDs, a bit is set whatever it was.
    let found = refused(25, &mut |id, _, now| *id |= u128::from(now) << 17);
    assert_refused("value bit 17", &found);
    // All UUIDs are consecutive numbers.
    let found = refused(1, &mut |id, number, _| *id = VERSION_4 | u128::from(number));
    assert_refused("value byte 15", &found);
    // One in ten UUIDs repeats the one before it, or the one that is a pool before it.
    for lag in [1, SLOTS] {
        let mut before = vec![0; lag];
        let found = refused(10, &mut |id, number, now| {
            let before = &mut before[number as usize % lag];
            if now {
                *id = *before;
            }
            *before = *id;
        });
        assert_refused(&format!("lag {lag}"), &found);
    }
    // In one of 20 UUIDs, a bit repeats that of the UUID before.
    let mut before = 0;
    let found = refused(20, &mut |id, _, now| {
        if now {
            *id = *id & !(1 << 40) | before & 1 << 40;
        }
        before = *id;
    });
    assert_refused("change bit 40", &found);
    // In one of three UUIDs, a bit repeats the one nine places on. Each of them is fair by
    // itself. They are one pair of 113 in a UUID, and still the deviation is 14 sigma.
    let found = refused(3, &mut |id, _, now| {
        if now {
            *id = *id & !1 | *id >> 9 & 1;
        }
    });
    assert_refused("shift 9", &found);
    // In one of five UUIDs, two neighbouring bits are equal. Only the values of the byte show
    // it.
    let found = refused(5, &mut |id, _, now| {
        if now {
            *id = *id & !2 | (*id & 1) << 1;
        }
    });
    assert_refused("value byte 15", &found);
    // A single UUID has a wrong version.
    let found = refused(1, &mut |id, number, _| {
        if number == 77_777 {
            *id ^= 1 << 76;
        }
    });
    assert_refused("form", &found);
}

/// The control of the long scenario: one bit is set with a probability of 0.501.
fn a_bias_of_a_thousandth_is_refused() {
    let set = |id: &mut u128, _, now| *id |= u128::from(now) << 17;
    let refused = refusals(100_000_000, 5.0, spoilt(500, set));
    assert_refused("value bit 17", &refused);
    assert!(refused.len() < 5, "{refused:?}");
}
