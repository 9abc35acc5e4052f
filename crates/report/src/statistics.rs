//! Mean, spread, quantiles, and the bootstrap interval of a paired difference.

use serde::{Deserialize, Serialize};

/// Number of resamples of the bootstrap.
pub const RESAMPLES: usize = 10_000;

/// Confidence level of the interval.
pub const LEVEL: f64 = 0.95;

/// Returns the mean; 0 for no values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Returns the unbiased standard deviation (n - 1); 0 for a single value.
pub fn deviation(values: &[f64]) -> f64 {
    let centre = mean(values);
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    (squares / (values.len() as f64 - 1.0).max(1.0)).sqrt()
}

/// Returns the quantile `share` of sorted values with linear interpolation, numpy's default.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = share * last as f64;
    let below = (place.floor() as usize).min(last);
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

/// Returns the values in ascending order.
pub fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// A mean difference with its bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Mean of the differences.
    pub mean: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Computes the percentile bootstrap of the mean of paired differences (Efron & Tibshirani 1993, section 13.3).
///
/// Draw `i` of all draws, counted through every resample, is the word `i` of SplitMix64 with state
/// `seed`; it picks the difference at `(word >> 32) * n >> 32`. The ends are the quantiles
/// `(1 - LEVEL) / 2` and `(1 + LEVEL) / 2` of the [`RESAMPLES`] means.
pub fn bootstrap(differences: &[f64], seed: u64) -> Difference {
    let count = differences.len();
    let mut state = seed;
    let mut resampled = || {
        let sum: f64 = (0..count)
            .map(|_| differences[(((split_mix(&mut state) >> 32) * count as u64) >> 32) as usize])
            .sum();
        sum / count.max(1) as f64
    };
    let means: Vec<f64> = (0..RESAMPLES).map(|_| resampled()).collect();
    let means = sorted(&means);
    Difference {
        mean: mean(differences),
        low: quantile(&means, (1.0 - LEVEL) / 2.0),
        high: quantile(&means, (1.0 + LEVEL) / 2.0),
    }
}

/// Returns the next word of SplitMix64 (Steele, Lea & Flood 2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate_between_neighbours() {
        let values = sorted(&[3.0, 1.0, 2.0, 10.0]);
        assert_eq!([0.0, 0.5, 0.75, 1.0].map(|q| quantile(&values, q)), [1.0, 2.5, 4.75, 10.0]);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn intervals_span_about_two_standard_errors_and_are_deterministic() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
        let found = bootstrap(&values, 0);
        let error = deviation(&values) / 20.0;
        assert_eq!(found.mean, 9.5);
        assert!((found.low - (9.5 - 1.96 * error)).abs() < 0.05 * error, "{found:?}");
        assert!((found.high - (9.5 + 1.96 * error)).abs() < 0.05 * error, "{found:?}");
        assert_eq!(found, bootstrap(&values, 0));
        assert_ne!(found, bootstrap(&values, 1));
    }

    /// Expected values are the published first words for the state 1234567.
    #[test]
    fn generator_matches_split_mix() {
        let mut state = 1_234_567;
        let words = [(); 3].map(|()| split_mix(&mut state));
        assert_eq!(
            words,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }
}
