//! [`Noise`]: repeatable randomness. Every value the simulator makes up comes from a seed and the
//! labels of what is asked about, never from a generator with a state: a restart, or another order
//! of requests, finds the same world.

/// A point in the space of made-up values. Labels lead to further points, independent of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Noise(u64);

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        Noise(scramble(seed ^ 0x5EED_0FA1_10F1_7000))
    }

    /// The point that a number leads to.
    pub(super) fn at(self, label: u64) -> Self {
        Noise(scramble(self.0 ^ label.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0xD1B5_4A32_D192_ED03)))
    }

    /// The point that a word leads to.
    pub(super) fn named(self, label: &str) -> Self {
        // FNV-1a: short, and the same on every machine, unlike the standard hasher.
        let hash = label
            .bytes()
            .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
        self.at(hash)
    }

    /// 0 to `bound - 1`.
    pub(super) fn below(self, bound: u64) -> u64 {
        debug_assert!(bound > 0);
        self.0 % bound
    }

    /// `low` to `high`, both included.
    pub(super) fn between(self, low: i64, high: i64) -> i64 {
        let width = u64::try_from(high - low + 1).expect("low is not above high");
        low + i64::try_from(self.below(width)).expect("less than the width, which is an i64")
    }

    /// [0, 1).
    pub(super) fn unit(self) -> f64 {
        // The 53 bits that a double holds exactly.
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// [-1, 1), mostly near 0 (triangular).
    pub(super) fn around_zero(self) -> f64 {
        self.at(1).unit() - self.at(2).unit()
    }

    pub(super) fn chance(self, probability: f64) -> bool {
        self.unit() < probability
    }

    pub(super) fn pick<T: Copy>(self, choices: &[T]) -> T {
        let index = usize::try_from(self.below(choices.len() as u64)).expect("an index of a slice");
        choices[index]
    }

    /// A curve through [-1, 1) over `numerator / denominator`: straight between the whole numbers.
    pub(super) fn wave(self, numerator: i64, denominator: i64) -> f64 {
        let knot = numerator.div_euclid(denominator);
        let share = numerator.rem_euclid(denominator) as f64 / denominator as f64;
        let height = |knot: i64| self.at(knot as u64).unit() * 2.0 - 1.0;
        height(knot) * (1.0 - share) + height(knot + 1) * share
    }
}

/// The finalizer of splitmix64.
fn scramble(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_labels_lead_to_the_same_value_and_others_do_not() {
        let noise = Noise::new(7);
        assert_eq!(noise.at(3).named("price"), noise.at(3).named("price"));
        assert_ne!(noise.at(3).named("price"), noise.at(3).named("rank"));
        assert_ne!(noise.at(3), Noise::new(8).at(3));
    }

    #[test]
    fn values_keep_to_their_ranges_and_spread() {
        let noise = Noise::new(1);
        let mean = (0..1000).map(|label| noise.at(label).unit()).sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
        for label in 0..1000 {
            assert!((-3..=4).contains(&noise.at(label).between(-3, 4)));
            assert!((-1.0..1.0).contains(&noise.at(label).around_zero()));
            assert!((-1.0..=1.0).contains(&noise.wave(label as i64 - 500, 7)));
        }
    }
}
