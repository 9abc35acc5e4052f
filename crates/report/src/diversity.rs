//! How different a set of images is within itself, and whether that has collapsed.
//!
//! Two images are as similar as `exp(-d^2 / (2 s^2))`, where d is the distance of their features and
//! s the look-alike distance: the median distance from one of the first checkpoint's images to the
//! nearest other. The scale stays the same for all checkpoints, and a change that all images share
//! (all hair turns grey) leaves the similarities as they are. Out of them come their mean over pairs,
//! and the Vendi score (Friedman & Dieng 2022): the exponential of the entropy of the eigenvalues of
//! K / n, which is the number of images that differ altogether: n where none is like another, 1 where
//! all are the same.
//!
//! **Collapsed** is a set whose typical pair (the median) is nearer than s: two images at random are
//! then more alike than the closest were before. **Narrowed** is one that is not, but whose Vendi
//! score has lost more than half of what it had above 1, the score of a single image.

use crate::eigen::eigenvalues;
use crate::matrix::{Matrix, dot};
use crate::statistics::{quantile, sorted};
use serde::{Deserialize, Serialize};

/// A set has narrowed where what its Vendi score has above 1, the score of a single image, falls
/// below this share of the first checkpoint's.
pub const NARROWED_BELOW: f64 = 0.5;

/// Images among which the nearest is looked for: always as many where there are enough, for among
/// more images the nearest is nearer.
pub const NEIGHBOURS: usize = 64;

/// Images of a set that are compared at most.
pub const MOST: usize = 512;

/// How different the images of a set are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diversity {
    /// The Vendi score.
    pub vendi: f64,
    /// Mean similarity over all pairs, 0 to 1.
    pub similarity: f64,
    /// Median distance over all pairs, in features.
    pub distance: f64,
}

/// What became of the diversity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Two images at random are more alike than the closest were before.
    Collapsed,
    /// They are not, but the images have become much more alike.
    Narrowed,
    /// The images differ about as much as before.
    Kept,
}

impl Verdict {
    /// The word for it: `collapsed`, `narrowed`, `kept`.
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
    /// Of the rows of `features`, at the look-alike distance `alike`.
    #[must_use]
    pub fn of(features: &Matrix, alike: f64) -> Self {
        let features = features.first(MOST);
        let squares = squared_distances(&features);
        let size = features.height();
        let pairs = (size * size.saturating_sub(1)).max(1) as f64;
        let scale = if alike > 0.0 { 2.0 * alike * alike } else { 1.0 };
        let kernel: Vec<f64> =
            squares.values.iter().map(|square| (-square / scale).exp()).collect();
        let similarity = (kernel.iter().sum::<f64>() - size as f64) / pairs;
        let distance = median_of_pairs(&squares);
        let shares = kernel.iter().map(|value| value / size.max(1) as f64).collect();
        let vendi = vendi(&Matrix { width: size, values: shares });
        Self { vendi, similarity, distance }
    }

    /// The share of `before`'s diversity that is left: of what the Vendi score has above 1.
    #[must_use]
    pub fn left_of(&self, before: &Self) -> f64 {
        (self.vendi - 1.0).max(0.0) / (before.vendi - 1.0).max(f64::MIN_POSITIVE)
    }

    /// What became of the diversity since `before`, at the look-alike distance `alike`. Images that
    /// were all the same from the start have nothing to lose.
    #[must_use]
    pub fn verdict(&self, before: &Self, alike: f64) -> Verdict {
        let had_some = before.vendi > 1.0 + 1e-9;
        match had_some {
            true if self.distance < alike => Verdict::Collapsed,
            true if self.left_of(before) < NARROWED_BELOW => Verdict::Narrowed,
            _ => Verdict::Kept,
        }
    }
}

/// The look-alike distance: the median, over the first [`NEIGHBOURS`] rows, of the distance to the
/// nearest other of them. Where that is nothing (most have a twin), the median over all pairs.
#[must_use]
pub fn look_alike_distance(features: &Matrix) -> f64 {
    let squares = squared_distances(&features.first(NEIGHBOURS));
    let nearest = squares.rows().enumerate().map(|(at, row)| {
        let others = row.iter().enumerate().filter(|(other, _)| *other != at);
        others.map(|(_, square)| *square).fold(f64::INFINITY, f64::min).sqrt()
    });
    let nearest: Vec<f64> = nearest.filter(|distance| distance.is_finite()).collect();
    match quantile(&sorted(&nearest), 0.5) {
        none if none <= 0.0 => median_of_pairs(&squares),
        found => found,
    }
}

/// The median distance over all pairs.
fn median_of_pairs(squares: &Matrix) -> f64 {
    let size = squares.width;
    let above = (0..size).flat_map(|i| (i + 1..size).map(move |j| i * size + j));
    let distances: Vec<f64> = above.map(|at| squares.values[at].sqrt()).collect();
    quantile(&sorted(&distances), 0.5)
}

fn vendi(shares: &Matrix) -> f64 {
    let entropy: f64 = eigenvalues(shares)
        .into_iter()
        .filter(|value| *value > 1e-15)
        .map(|value| -value * value.ln())
        .sum();
    entropy.exp()
}

fn squared_distances(features: &Matrix) -> Matrix {
    // Taken about the mean, so that nothing large cancels.
    let centred = features.centred();
    let rows: Vec<&[f64]> = centred.rows().collect();
    let norms: Vec<f64> = rows.iter().map(|row| dot(row, row)).collect();
    let size = rows.len();
    let mut values = vec![0.0; size * size];
    for i in 0..size {
        for j in 0..i {
            let square = (norms[i] + norms[j] - 2.0 * dot(rows[i], rows[j])).max(0.0);
            values[i * size + j] = square;
            values[j * size + i] = square;
        }
    }
    Matrix { width: size, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(count: usize, scale: f64, shift: f64) -> Matrix {
        let row = |i: usize| (0..16).map(move |j| scale * ((i * 31 + j * 17) as f64).sin() + shift);
        Matrix::of_rows(&(0..count).map(|i| row(i).collect()).collect::<Vec<_>>())
    }

    #[test]
    fn one_image_counts_once_and_strangers_count_each() {
        let same = spread(1, 1.0, 0.0);
        let same = Matrix { width: 16, values: same.values.repeat(5) };
        let found = Diversity::of(&same, 1.0);
        assert!((found.vendi - 1.0).abs() < 1e-9 && (found.similarity - 1.0).abs() < 1e-12);
        let strangers = Diversity::of(&spread(5, 1e3, 0.0), 1.0);
        assert!((strangers.vendi - 5.0).abs() < 1e-9 && strangers.similarity < 1e-12);
    }

    #[test]
    fn a_shift_of_all_is_no_loss_and_coming_together_is() {
        let before = spread(40, 1.0, 0.0);
        let alike = look_alike_distance(&before);
        let diversity = |matrix: &Matrix| Diversity::of(matrix, alike);
        let first = diversity(&before);
        assert!(first.distance > alike);
        let verdict = |matrix: &Matrix| diversity(matrix).verdict(&first, alike);
        let moved = diversity(&spread(40, 1.0, 9.0));
        assert!((moved.vendi - first.vendi).abs() < 1e-6, "{moved:?} {first:?}");
        assert_eq!(verdict(&spread(40, 1.0, 9.0)), Verdict::Kept);
        assert_eq!(verdict(&spread(40, 0.95, 0.0)), Verdict::Kept);
        let just = alike / first.distance;
        assert_eq!(verdict(&spread(40, just * 0.99, 0.0)), Verdict::Collapsed);
        assert_ne!(verdict(&spread(40, just * 1.01, 0.0)), Verdict::Collapsed);
        let one = Matrix { width: 16, values: vec![0.5; 640] };
        assert_eq!(verdict(&one), Verdict::Collapsed);
    }

    #[test]
    fn losing_half_of_what_differs_is_narrowing() {
        // Of sixty images twelve are left, five times each: most pairs are as far as before.
        let before = spread(60, 100.0, 0.0);
        let copies: Vec<Vec<f64>> = before.rows().map(<[f64]>::to_vec).collect();
        let copies: Vec<Vec<f64>> = (0..60).map(|at| copies[at % 12].clone()).collect();
        let alike = look_alike_distance(&before);
        let (first, after) =
            (Diversity::of(&before, alike), Diversity::of(&Matrix::of_rows(&copies), alike));
        assert_eq!(after.verdict(&first, alike), Verdict::Narrowed, "{first:?} {after:?}");
    }

    #[test]
    fn what_was_one_image_from_the_start_cannot_collapse() {
        let same = Matrix { width: 2, values: vec![0.5; 20] };
        let alike = look_alike_distance(&same);
        let one = Diversity::of(&same, alike);
        assert_eq!((alike, one.verdict(&one, alike)), (0.0, Verdict::Kept));
        assert_eq!(look_alike_distance(&Matrix::default()), 0.0);
    }
}
