//! `summary.json` of an evaluation: statistics of the rewards of each checkpoint, and their difference
//! from the first checkpoint's on the same noise.

use crate::statistics::{
    Difference, LEVEL, RESAMPLES, bootstrap, deviation, mean, quantile, sorted,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The quantiles in the summary.
pub const QUANTILES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

/// Suffix of the component with the most likely class.
const PREDICTED: &str = "predicted_class";

/// Prefix of the components with the probabilities of the classes.
const PROBABILITY: &str = "probability_";

/// One scored image.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredImage {
    /// Name of the checkpoint.
    pub checkpoint: String,
    /// Value of eta that it was sampled with.
    pub eta: f64,
    /// Seed of its noise.
    pub seed: u64,
    /// Its index among the samples of that seed.
    pub sample: u32,
    /// Its class, if the model is class-conditional.
    pub class: Option<u32>,
    /// Rewards and components, in the order of the columns.
    pub values: Vec<f32>,
}

/// All scored images of an evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoreSheet {
    /// Names of the values.
    pub columns: Vec<String>,
    /// The images, group by group: a group is one checkpoint at one eta.
    pub images: Vec<ScoredImage>,
}

/// The content of `summary.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The requested rewards.
    pub rewards: Vec<String>,
    /// Settings of the bootstrap.
    pub bootstrap: BootstrapSettings,
    /// One for each checkpoint and eta, in the order of the table.
    pub results: Vec<GroupSummary>,
}

/// Settings of the bootstrap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BootstrapSettings {
    /// Description of the method.
    pub method: String,
    /// Seed of the draws.
    pub seed: u64,
    /// Number of resamples.
    pub resamples: usize,
    /// Confidence level of the intervals.
    pub level: f64,
}

/// One checkpoint at one eta.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupSummary {
    /// Name of the checkpoint.
    pub checkpoint: String,
    /// Value of eta.
    pub eta: f64,
    /// Number of images.
    pub samples: usize,
    /// Every reward and component.
    pub columns: Vec<ColumnSummary>,
    /// Shares by class, for every classifier among the rewards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classifiers: Vec<Classes>,
    /// The main reward of each class of a class-conditional model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassMean>,
}

/// The main reward of one class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassMean {
    /// The class.
    pub class: u32,
    /// Number of images.
    pub n: usize,
    /// Mean reward.
    pub mean: f64,
}

/// One reward or component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnSummary {
    /// Name of its column in the table.
    pub name: String,
    /// Mean.
    pub mean: f64,
    /// Unbiased standard deviation.
    pub std: f64,
    /// Lowest value.
    pub min: f64,
    /// Highest value.
    pub max: f64,
    /// The quantiles [`QUANTILES`].
    pub quantiles: Vec<Quantile>,
    /// Mean of this minus the first checkpoint's value on the same noise; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
}

/// One quantile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantile {
    /// Share of the values below it.
    pub share: f64,
    /// The value.
    pub value: f64,
}

/// Shares of the images by their most likely class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classes {
    /// The reward of the classifier, as the prefix of its components; empty for a table without
    /// prefixes.
    pub reward: String,
    /// Its classes in their order.
    pub classes: Vec<ClassShare>,
}

/// One class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassShare {
    /// Its label, with underscores for spaces.
    pub class: String,
    /// Number of images with this most likely class.
    pub images: usize,
    /// Their share.
    pub share: f64,
}

impl ScoreSheet {
    /// Returns the groups in their order.
    pub fn groups(&self) -> Vec<&[ScoredImage]> {
        let same = |a: &ScoredImage, b: &ScoredImage| {
            a.checkpoint == b.checkpoint && a.eta.to_bits() == b.eta.to_bits()
        };
        self.images.chunk_by(same).collect()
    }

    /// Computes the summary with the bootstrap seed `seed`.
    pub fn summary(&self, rewards: &[String], seed: u64) -> Summary {
        let groups = self.groups();
        let first = groups.first().map(|group| group[0].checkpoint.clone()).unwrap_or_default();
        let base = |eta: f64| {
            let of_first = |group: &&&[ScoredImage]| {
                group[0].checkpoint == first && group[0].eta.to_bits() == eta.to_bits()
            };
            groups.iter().find(of_first).copied().unwrap_or_default()
        };
        let results = groups.iter().map(|group| self.group(group, base(group[0].eta), seed));
        Summary {
            rewards: rewards.to_vec(),
            bootstrap: BootstrapSettings {
                method: "percentile interval of the mean difference to the first checkpoint, \
                         paired by seed and sample; draws by SplitMix64, index = (word >> 32) * n >> 32"
                    .into(),
                seed,
                resamples: RESAMPLES,
                level: LEVEL,
            },
            results: results.collect(),
        }
    }

    fn group(&self, group: &[ScoredImage], base: &[ScoredImage], seed: u64) -> GroupSummary {
        let columns = self.columns.iter().enumerate().map(|(at, name)| {
            let values = column(group, at);
            let ordered = sorted(&values);
            let told = |share| Quantile { share, value: quantile(&ordered, share) };
            ColumnSummary {
                name: name.clone(),
                mean: mean(&values),
                std: deviation(&values),
                min: quantile(&ordered, 0.0),
                max: quantile(&ordered, 1.0),
                quantiles: QUANTILES.map(told).to_vec(),
                difference: (group[0].checkpoint != base[0].checkpoint)
                    .then(|| bootstrap(&differences(group, base, at), seed)),
            }
        });
        GroupSummary {
            checkpoint: group[0].checkpoint.clone(),
            eta: group[0].eta,
            samples: group.len(),
            columns: columns.collect(),
            classifiers: self.classifiers(group),
            classes: class_means(group),
        }
    }

    /// Computes the shares by class of each classifier among the columns.
    pub fn classifiers(&self, group: &[ScoredImage]) -> Vec<Classes> {
        let predicted = self.columns.iter().enumerate();
        let predicted =
            predicted.filter_map(|(at, name)| Some((at, name.strip_suffix(PREDICTED)?)));
        let classes = |(at, prefix): (usize, &str)| {
            let lead = format!("{prefix}{PROBABILITY}");
            let labels: Vec<&str> =
                self.columns.iter().filter_map(|name| name.strip_prefix(&lead)).collect();
            let share = |(index, label): (usize, &&str)| {
                let images = group.iter().filter(|one| one.values[at] == index as f32).count();
                let share = images as f64 / group.len().max(1) as f64;
                ClassShare { class: (*label).to_owned(), images, share }
            };
            let classes = labels.iter().enumerate().map(share).collect();
            Classes { reward: prefix.trim_end_matches('/').to_owned(), classes }
        };
        predicted.map(classes).collect()
    }
}

/// Returns the mean of the first column for each class, in ascending order; empty for a model without
/// classes.
pub fn class_means(group: &[ScoredImage]) -> Vec<ClassMean> {
    let mut values: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for image in group {
        if let (Some(class), Some(&value)) = (image.class, image.values.first()) {
            values.entry(class).or_default().push(f64::from(value));
        }
    }
    let summary = |(class, values): (u32, Vec<f64>)| ClassMean {
        class,
        n: values.len(),
        mean: mean(&values),
    };
    values.into_iter().map(summary).collect()
}

/// Returns one column of a group.
pub fn column(group: &[ScoredImage], at: usize) -> Vec<f64> {
    group.iter().map(|image| f64::from(image.values[at])).collect()
}

/// Returns the differences on the same noise, in the order of `group`; skips noise that `base` lacks.
pub(crate) fn differences(group: &[ScoredImage], base: &[ScoredImage], at: usize) -> Vec<f64> {
    let key = |image: &ScoredImage| (image.seed, image.sample);
    let before: BTreeMap<_, f64> =
        base.iter().map(|image| (key(image), f64::from(image.values[at]))).collect();
    let pairs = group
        .iter()
        .filter_map(|image| Some(f64::from(image.values[at]) - before.get(&key(image))?));
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(checkpoint: &str, eta: f64, sample: u32, values: &[f32]) -> ScoredImage {
        let (checkpoint, values) = (checkpoint.to_owned(), values.to_vec());
        ScoredImage { checkpoint, eta, seed: 7, sample, class: None, values }
    }

    #[test]
    fn differences_are_paired_by_noise_and_taken_at_the_same_eta() {
        let sheet = ScoreSheet {
            columns: vec!["r".into()],
            images: vec![
                image("a", 1.0, 0, &[1.0]),
                image("a", 1.0, 1, &[5.0]),
                image("a", 0.0, 0, &[2.0]),
                image("b", 1.0, 1, &[6.0]),
                image("b", 1.0, 0, &[3.0]),
                image("b", 0.0, 0, &[2.5]),
            ],
        };
        let summary = sheet.summary(&["r".into()], 0);
        let difference = |at: usize| summary.results[at].columns[0].difference;
        assert_eq!((difference(0), difference(1)), (None, None));
        let found = difference(2).unwrap();
        // 2 and 1 for the two samples: every resampled mean lies between.
        assert_eq!((found.mean, found.low, found.high), (1.5, 1.0, 2.0));
        assert_eq!(difference(3).unwrap().mean, 0.5);
    }

    #[test]
    fn images_count_for_their_most_likely_class() {
        let names = ["r", "r/probability_0-9", "r/probability_10+", "r/predicted_class"];
        let sheet = ScoreSheet {
            columns: names.map(str::to_owned).to_vec(),
            images: [0.0, 1.0, 1.0, 1.0]
                .into_iter()
                .enumerate()
                .map(|(at, class)| image("a", 1.0, at as u32, &[0.0, 0.5, 0.5, class]))
                .collect(),
        };
        let found = &sheet.summary(&["r".into()], 0).results[0].classifiers[0];
        assert_eq!(found.reward, "r");
        let told: Vec<_> = found.classes.iter().map(|c| (c.class.as_str(), c.share)).collect();
        assert_eq!(told, [("0-9", 0.25), ("10+", 0.75)]);
    }

    #[test]
    fn the_main_reward_has_a_mean_for_each_class() {
        let of_class = |class, sample, value| ScoredImage {
            class: Some(class),
            ..image("a", 1.0, sample, &[value, 99.0])
        };
        let sheet = ScoreSheet {
            columns: vec!["r".into(), "other".into()],
            images: vec![of_class(5, 0, 1.0), of_class(2, 1, 4.0), of_class(5, 2, 2.0)],
        };
        let found = &sheet.summary(&["r".into()], 0).results[0].classes;
        let expected =
            [ClassMean { class: 2, n: 1, mean: 4.0 }, ClassMean { class: 5, n: 2, mean: 1.5 }];
        assert_eq!(found[..], expected);
        assert!(class_means(&[image("a", 1.0, 0, &[1.0])]).is_empty());
    }
}
