//! Measures how different the images of a set are, and whether that diversity has collapsed.
//!
//! Two images are as similar as `exp(-d^2 / (2 s^2))`, where d is the distance of their features and
//! s the look-alike distance: the median distance from one of the first checkpoint's images to its
//! nearest neighbour. The scale is the same for all checkpoints, and a change that all images share
//! (all hair turns grey) leaves the similarities unchanged. From the similarities follow their mean
//! over pairs, and the Vendi score (Friedman & Dieng 2022): the exponential of the entropy of the
//! eigenvalues of K / n. It is the effective number of distinct images: n if all are distinct, 1 if
//! all are the same.
//!
//! A set is **collapsed** if its typical pair (the median) is nearer than s: two random images are
//! then more alike than nearest neighbours were before. A set is **narrowed** if it is not collapsed,
//! but its Vendi score has lost more than half of its excess over 1, the score of a single image. Sets of
//! fewer than [`FEWEST`] images get no verdict. [`judgement`](crate::judgement) combines the verdicts on
//! several kinds of features.

use crate::features::centred;
use crate::statistics::{quantile, sorted};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

/// A set is narrowed if the excess of its Vendi score over 1, the score of a single image, falls
/// below this share of the first checkpoint's.
pub const NARROWED_BELOW: f64 = 0.5;

/// Number of images among which nearest neighbours are searched. It is the same for every set that
/// is large enough, because nearest neighbours in a larger set are nearer.
pub const NEIGHBOURS: usize = 64;

/// Maximum number of images of a set that are compared.
pub const MOST: usize = 512;

/// Minimum number of images of each set for a verdict. The medians of fewer distances vary too much from
/// one choice of noise to another.
pub const FEWEST: usize = 32;

/// Diversity of a set of images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diversity {
    /// The Vendi score.
    pub vendi: f64,
    /// Mean similarity over all pairs, 0 to 1.
    pub similarity: f64,
    /// Median distance over all pairs, in feature space.
    pub distance: f64,
}

/// Change of the diversity since the first checkpoint.
///
/// The order is that of the remaining diversity: the worst verdict is the smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Two random images are more alike than nearest neighbours were before.
    Collapsed,
    /// Not collapsed, but the images have become much more alike.
    Narrowed,
    /// The images differ about as much as before.
    Kept,
}

impl Verdict {
    /// Returns the name used in files and on the page: `collapsed`, `narrowed` or `kept`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Collapsed => "collapsed",
            Self::Narrowed => "narrowed",
            Self::Kept => "kept",
        }
    }
}

impl Diversity {
    /// Measures the rows of `features` (an image a row) at the look-alike distance `alike`.
    pub fn of(features: &DMatrix<f64>, alike: f64) -> Self {
        let squares = squared_distances(features, MOST);
        let size = squares.nrows();
        let pairs = (size * size.saturating_sub(1)).max(1) as f64;
        let scale = if alike > 0.0 { 2.0 * alike * alike } else { 1.0 };
        let kernel = squares.map(|square| (-square / scale).exp());
        let similarity = (kernel.sum() - size as f64) / pairs;
        Self { vendi: vendi(&kernel), similarity, distance: median_of_pairs(&squares) }
    }

    /// Returns the share of `before`'s diversity that remains, by the excess of the Vendi score over 1.
    pub fn left_of(&self, before: &Self) -> f64 {
        (self.vendi - 1.0).max(0.0) / (before.vendi - 1.0).max(f64::MIN_POSITIVE)
    }

    /// Classifies the change since `before`, at the look-alike distance `alike`. A set whose images
    /// were all the same from the start counts as kept.
    pub fn verdict(&self, before: &Self, alike: f64) -> Verdict {
        let uniform_before = before.vendi <= 1.0 + 1e-9;
        if uniform_before {
            Verdict::Kept
        } else if self.distance < alike {
            Verdict::Collapsed
        } else if self.left_of(before) < NARROWED_BELOW {
            Verdict::Narrowed
        } else {
            Verdict::Kept
        }
    }
}

/// Returns the look-alike distance: the median distance from one of the first [`NEIGHBOURS`] rows to
/// the nearest other one of them. If that is 0 (most images have a duplicate), returns the median
/// distance over all pairs.
pub fn look_alike_distance(features: &DMatrix<f64>) -> f64 {
    let squares = squared_distances(features, NEIGHBOURS);
    let nearest = squares.column_iter().enumerate().map(|(at, column)| {
        let others = column.iter().enumerate().filter(|(other, _)| *other != at);
        others.map(|(_, square)| *square).fold(f64::INFINITY, f64::min).sqrt()
    });
    let nearest: Vec<f64> = nearest.filter(|distance| distance.is_finite()).collect();
    match quantile(&sorted(&nearest), 0.5) {
        zero if zero <= 0.0 => median_of_pairs(&squares),
        median => median,
    }
}

/// Returns the median distance over all pairs.
fn median_of_pairs(squares: &DMatrix<f64>) -> f64 {
    let size = squares.nrows();
    let pairs = (0..size).flat_map(|column| (column + 1..size).map(move |row| (row, column)));
    let distances: Vec<f64> = pairs.map(|pair| squares[pair].sqrt()).collect();
    quantile(&sorted(&distances), 0.5)
}

/// Returns the Vendi score of a kernel matrix; 1 for an empty one.
fn vendi(kernel: &DMatrix<f64>) -> f64 {
    if kernel.is_empty() {
        return 1.0;
    }
    let shares = kernel / kernel.nrows() as f64;
    let eigenvalues = shares.symmetric_eigenvalues();
    let positive = eigenvalues.iter().filter(|value| **value > 1e-15);
    positive.map(|value| -value * value.ln()).sum::<f64>().exp()
}

/// Returns the squared distances between the first `most` rows.
fn squared_distances(features: &DMatrix<f64>, most: usize) -> DMatrix<f64> {
    // Distances do not depend on the mean; without it no large terms cancel.
    let rows = centred(&features.rows(0, most.min(features.nrows())).into_owned());
    let products = &rows * rows.transpose();
    DMatrix::from_fn(rows.nrows(), rows.nrows(), |i, j| {
        (products[(i, i)] + products[(j, j)] - 2.0 * products[(i, j)]).max(0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(count: usize, scale: f64, shift: f64) -> DMatrix<f64> {
        DMatrix::from_fn(count, 16, |i, j| scale * ((i * 31 + j * 17) as f64).sin() + shift)
    }

    /// Expected values are those of numpy 2.4.6, with `d` the matrix of distances between the rows:
    /// `k = np.exp(-d**2 / (2 * alike**2))`, `w = np.linalg.eigvalsh(k / 40)`,
    /// `w = w[w > 1e-15]`, `vendi = np.exp(-(w * np.log(w)).sum())`.
    #[test]
    fn agrees_with_numpy() {
        let features = spread(40, 1.0, 0.0);
        let alike = look_alike_distance(&features);
        let found = Diversity::of(&features, alike);
        for (found, expected) in [
            (alike, 0.125_618_235_109_754_14),
            (found.vendi, 31.050_704_395_088_16),
            (found.similarity, 0.021_170_048_091_985_284),
            (found.distance, 4.118_276_581_410_997),
        ] {
            assert!((found - expected).abs() < 1e-9 * expected, "{found} {expected}");
        }
    }

    #[test]
    fn vendi_score_is_one_for_identical_images_and_their_number_for_distinct_ones() {
        let same = DMatrix::from_fn(5, 16, |_, j| (j as f64 * 17.0).sin());
        let found = Diversity::of(&same, 1.0);
        assert!((found.vendi - 1.0).abs() < 1e-9 && (found.similarity - 1.0).abs() < 1e-12);
        let distinct = Diversity::of(&spread(5, 1e3, 0.0), 1.0);
        assert!((distinct.vendi - 5.0).abs() < 1e-9 && distinct.similarity < 1e-12);
    }

    #[test]
    fn a_common_shift_keeps_diversity_and_contraction_collapses_it() {
        let before = spread(40, 1.0, 0.0);
        let alike = look_alike_distance(&before);
        let diversity = |matrix: &DMatrix<f64>| Diversity::of(matrix, alike);
        let first = diversity(&before);
        assert!(first.distance > alike);
        let verdict = |matrix: &DMatrix<f64>| diversity(matrix).verdict(&first, alike);
        let moved = diversity(&spread(40, 1.0, 9.0));
        assert!((moved.vendi - first.vendi).abs() < 1e-6, "{moved:?} {first:?}");
        assert_eq!(verdict(&spread(40, 1.0, 9.0)), Verdict::Kept);
        assert_eq!(verdict(&spread(40, 0.95, 0.0)), Verdict::Kept);
        let just = alike / first.distance;
        assert_eq!(verdict(&spread(40, just * 0.99, 0.0)), Verdict::Collapsed);
        assert_ne!(verdict(&spread(40, just * 1.01, 0.0)), Verdict::Collapsed);
        assert_eq!(verdict(&DMatrix::repeat(40, 16, 0.5)), Verdict::Collapsed);
    }

    #[test]
    fn losing_most_distinct_images_is_narrowed() {
        // Sixty images become five copies of twelve: most pairs are as far apart as before.
        let before = spread(60, 100.0, 0.0);
        let copies = DMatrix::from_fn(60, 16, |i, j| before[(i % 12, j)]);
        let alike = look_alike_distance(&before);
        let (first, after) = (Diversity::of(&before, alike), Diversity::of(&copies, alike));
        assert_eq!(after.verdict(&first, alike), Verdict::Narrowed, "{first:?} {after:?}");
    }

    #[test]
    fn identical_images_from_the_start_are_kept() {
        let same = DMatrix::repeat(10, 2, 0.5);
        let alike = look_alike_distance(&same);
        let one = Diversity::of(&same, alike);
        assert_eq!((alike, one.verdict(&one, alike)), (0.0, Verdict::Kept));
    }

    #[test]
    fn empty_set_has_no_distances() {
        let empty = DMatrix::zeros(0, 0);
        assert_eq!(look_alike_distance(&empty), 0.0);
        assert_eq!(Diversity::of(&empty, 1.0).distance, 0.0);
    }
}
