//! Latencies and their percentiles.

use std::time::Duration;

/// All samples of one line; lines are bounded in count, so they are simply kept.
#[derive(Default)]
pub(crate) struct Histogram {
    samples: Vec<Duration>,
}

impl Histogram {
    pub(crate) fn add(&mut self, sample: Duration) {
        self.samples.push(sample);
    }

    pub(crate) fn count(&self) -> usize {
        self.samples.len()
    }

    /// The sample below which `share` (0 to 1) of all lie; zero without samples.
    pub(crate) fn percentile(&mut self, share: f64) -> Duration {
        self.samples.sort_unstable();
        let last = self.samples.len().saturating_sub(1);
        let at = (last as f64 * share).ceil() as usize;
        self.samples.get(at).copied().unwrap_or_default()
    }

    pub(crate) fn percentile_ms(&mut self, share: f64) -> f64 {
        self.percentile(share).as_secs_f64() * 1e3
    }

    pub(crate) fn percentile_us(&mut self, share: f64) -> f64 {
        self.percentile(share).as_secs_f64() * 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(0.5), Duration::ZERO);
        for ms in (0..=100).rev() {
            histogram.add(Duration::from_millis(ms));
        }
        assert_eq!(histogram.percentile_ms(0.5), 50.0);
        assert_eq!(histogram.percentile_ms(0.99), 99.0);
        assert_eq!(histogram.percentile_ms(1.0), 100.0);
    }
}
