//! Random account numbers.

/// A small generator with a fixed seed, so that runs ask for the same.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// SplitMix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Numbers below `count`, number `k` drawn with probability proportional to `1 / (k + 1)^exponent`.
/// Exponent 0 is uniform.
pub(crate) struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(count: usize, exponent: f64) -> Zipf {
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = (1..=count)
            .map(|rank| {
                sum += (rank as f64).powf(-exponent);
                sum
            })
            .collect();
        for value in &mut cumulative {
            *value /= sum;
        }
        Zipf { cumulative }
    }

    pub(crate) fn draw(&self, random: &mut Random) -> usize {
        let unit = random.unit();
        let rank = self.cumulative.partition_point(|&value| value <= unit);
        rank.min(self.cumulative.len() - 1)
    }

    /// Two different numbers.
    pub(crate) fn draw_two(&self, random: &mut Random) -> (usize, usize) {
        let first = self.draw(random);
        loop {
            let second = self.draw(random);
            if second != first {
                return (first, second);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_the_exponent() {
        let mut random = Random::new(1);
        let mut share_of_first = |exponent: f64| {
            let zipf = Zipf::new(100_000, exponent);
            let hits = (0..20_000).filter(|_| zipf.draw(&mut random) == 0).count();
            hits as f64 / 20_000.0
        };
        assert!(share_of_first(0.0) < 0.001);
        let share = share_of_first(1.5);
        // 1 / zeta(1.5) = 0.383
        assert!((0.36..0.41).contains(&share), "{share}");
    }
}
