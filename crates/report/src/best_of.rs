//! What more sampling gives without training: the best 1/n of the pretrained model's samples.

use crate::diversity::{Diversity, look_alike_distance};
use crate::features::{normalised_pixels, pixels};
use crate::gallery::Shown;
use crate::statistics::mean;
use nalgebra::DMatrix;
use serde::Serialize;

/// Smallest number of samples or images that a figure is given for.
const FEWEST: usize = 8;

/// The best of every n samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BestOf {
    /// Samples that are drawn for each one that is kept.
    pub n: usize,
    /// Mean of the measure over the best 1/n of the samples.
    pub reward: f64,
    /// Diversity of the best 1/n of the images, relative to as many unselected ones; absent for fewer than
    /// eight images.
    pub kept: Option<f64>,
}

/// Selects the best 1/n of the samples of `first` by the reward, for n = 1, 2, 4, ..., and returns the mean of
/// column `at`. Stops where fewer than eight samples are left.
pub fn best_of(first: &Shown, at: usize) -> Vec<BestOf> {
    let rewards: Vec<f32> = first.scores.iter().map(|one| one.values[0]).collect();
    let ranked = ranked(&rewards);
    let shown = &rewards[..first.images.len().min(rewards.len())];
    let images = Images::of(first, self::ranked(shown));
    let powers = (0..).map(|power| 1 << power).take_while(|n| rewards.len() / n >= FEWEST);
    let best = |n: usize| {
        let best = &ranked[..rewards.len() / n];
        let values: Vec<f64> =
            best.iter().map(|&index| f64::from(first.scores[index].values[at])).collect();
        BestOf { n, reward: mean(&values), kept: images.kept(n) }
    };
    powers.map(best).collect()
}

/// Returns the positions of values from the largest to the smallest.
fn ranked(values: &[f32]) -> Vec<usize> {
    let mut ranked: Vec<usize> = (0..values.len()).collect();
    ranked.sort_by(|&one, &other| values[other].total_cmp(&values[one]));
    ranked
}

/// The images of the first evaluation, as features of each kind with their look-alike distance.
struct Images {
    features: [(DMatrix<f64>, f64); 2],
    ranked: Vec<usize>,
}

impl Images {
    fn of(first: &Shown, ranked: Vec<usize>) -> Self {
        let features = [pixels(&first.images), normalised_pixels(&first.images)];
        let features = features.map(|rows| {
            let alike = look_alike_distance(&rows);
            (rows, alike)
        });
        Self { features, ranked }
    }

    /// Returns the diversity of the best 1/n, by the kind of features that has less.
    fn kept(&self, n: usize) -> Option<f64> {
        let size = self.ranked.len() / n;
        let share = |(rows, alike): &(DMatrix<f64>, f64)| {
            let above_one =
                |chosen: &[usize]| Diversity::of(&rows.select_rows(chosen), *alike).vendi - 1.0;
            let parts = (0..n).map(|part| {
                let part: Vec<usize> = (part..size * n).step_by(n).collect();
                above_one(&part)
            });
            let unselected = mean(&parts.collect::<Vec<_>>());
            above_one(&self.ranked[..size]) / unselected.max(f64::MIN_POSITIVE)
        };
        (size >= FEWEST).then(|| self.features.iter().map(share).fold(f64::INFINITY, f64::min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::ScoredImage;
    use ddpo_rollout::image::RgbImage;

    /// Sixteen samples with rewards 0 to 15 and a component of ten times as much. The images of the upper
    /// half are all the same; those of the lower half differ.
    fn sixteen() -> Shown {
        let image = |at: usize| {
            let mut levels = vec![0_u8; 16 * 16 * 3];
            if at < 8 {
                levels[at * 90..at * 90 + 60].fill(255);
            }
            RgbImage::new(16, 16, levels).unwrap()
        };
        let score = |at: usize| ScoredImage {
            checkpoint: "epoch-000000".into(),
            eta: 1.0,
            seed: 1,
            sample: at as u32,
            class: None,
            values: vec![at as f32, 10.0 * at as f32],
        };
        Shown {
            name: "epoch-000000".into(),
            epoch: Some(0),
            images: (0..16).map(image).collect(),
            scores: (0..16).map(score).collect(),
            features: None,
        }
    }

    #[test]
    fn keeps_the_best_share_by_the_reward_and_averages_the_measure() {
        let found = best_of(&sixteen(), 1);
        let rewards: Vec<(usize, f64)> = found.iter().map(|one| (one.n, one.reward)).collect();
        // All of 0 to 150: 75. The upper half, 80 to 150: 115. A quarter would be four samples.
        assert_eq!(rewards, [(1, 75.0), (2, 115.0)]);
    }

    #[test]
    fn equal_images_have_no_diversity_and_all_images_all_of_it() {
        let found = best_of(&sixteen(), 0);
        assert!((found[0].kept.unwrap() - 1.0).abs() < 1e-9, "{found:?}");
        assert!(found[1].kept.unwrap().abs() < 1e-9, "{found:?}");
    }
}
