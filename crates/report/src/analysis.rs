//! Computes the numbers of a report, which are also `report.json`.

use crate::diversity::{Diversity, FEWEST, MOST, look_alike_distance};
use crate::features::{normalised_pixels, pixels, principal};
use crate::gallery::{Gallery, Shown};
use crate::judgement::{DiversityLine, DiversityPoint, Features, Judgement};
use crate::run::Run;
use crate::statistics::{Difference, bootstrap, deviation, mean};
use crate::summary::{ClassMean, class_means, column, differences};
use ddpo_rollout::image::RgbImage;
use nalgebra::DMatrix;
use serde::Serialize;

/// Maximum number of images of each checkpoint on the map.
pub const ON_MAP: usize = 200;

/// `report.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Analysis {
    /// Name of the run's folder.
    pub run: String,
    /// The reward.
    pub reward: String,
    /// Epochs completed.
    pub epochs: u32,
    /// Mean KL divergence from the pretrained model over the pairs that the last epoch's updates trained,
    /// in nats per transition, if measured. Each pair is measured before the optimizer step that it
    /// contributes to, so the final weights are not measured.
    pub kl: Option<f64>,
    /// Source of the images, if there are any.
    pub source: Option<String>,
    /// Every reward over the checkpoints; the first is the trained one.
    pub rewards: Vec<RewardLine>,
    /// Diversity of each kind of features.
    pub diversity: Vec<DiversityLine>,
    /// The verdict on the diversity, if there are images of two checkpoints.
    pub judgement: Option<Judgement>,
    /// Shares by class of each classifier.
    pub classes: Vec<ClassLine>,
    /// The reward of each class of a class-conditional model, before and after.
    pub class_rewards: Vec<ClassRewardLine>,
    /// Images of the first and the last checkpoint on two axes.
    pub map: Option<Map>,
}

/// One reward over the checkpoints.
#[derive(Clone, Debug, Serialize)]
pub struct RewardLine {
    /// Its name.
    pub name: String,
    /// Whether it was held out from training.
    pub held_out: bool,
    /// One for each checkpoint.
    pub checkpoints: Vec<RewardPoint>,
    /// Mean difference between the last and the first checkpoint on the same noise.
    pub difference: Option<Difference>,
}

/// A reward at one checkpoint.
#[derive(Clone, Debug, Serialize)]
pub struct RewardPoint {
    /// The checkpoint.
    pub checkpoint: String,
    /// Epochs of training.
    pub epoch: Option<u32>,
    /// Number of samples.
    pub samples: usize,
    /// Mean.
    pub mean: f64,
    /// Unbiased standard deviation.
    pub std: f64,
}

/// Shares by class of one classifier, before and after.
#[derive(Clone, Debug, Serialize)]
pub struct ClassLine {
    /// The reward of the classifier.
    pub reward: String,
    /// Label, share before, share after.
    pub classes: Vec<(String, f64, f64)>,
}

/// The reward of one class of a class-conditional model, before and after.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ClassRewardLine {
    /// The class.
    pub class: u32,
    /// Number of samples.
    pub n: usize,
    /// Mean reward at the first checkpoint.
    pub before: f64,
    /// Mean reward at the last checkpoint.
    pub after: f64,
}

/// Images on two axes.
#[derive(Clone, Debug, Serialize)]
pub struct Map {
    /// Kind of features: the network's if they are kept, otherwise pixels.
    pub features: Features,
    /// Share of the variance on each axis.
    pub shares: [f64; 2],
    /// Points of the first checkpoint, then those of the last.
    pub points: Vec<MapPoint>,
}

/// One image of a map.
#[derive(Clone, Debug, Serialize)]
pub struct MapPoint {
    /// Its checkpoint.
    pub checkpoint: String,
    /// Seed of its noise.
    pub seed: u64,
    /// Its sample.
    pub sample: u32,
    /// Its coordinates.
    pub at: [f64; 2],
}

impl Analysis {
    /// Computes all numbers.
    pub fn of(run: &Run, gallery: Option<&Gallery>) -> Self {
        let last = run.epochs.last();
        let sets = gallery.map(feature_sets).unwrap_or_default();
        let diversity = gallery.map(|gallery| diversity(gallery, &sets)).unwrap_or_default();
        Self {
            run: run.name(),
            reward: run.reward(),
            epochs: last.map_or(0, |line| line.epoch),
            kl: last.and_then(|line| line.kl_to_pretrained_nats),
            source: gallery.map(|gallery| gallery.source.clone()),
            rewards: gallery.map(rewards).unwrap_or_default(),
            judgement: Judgement::of(&diversity, run.reward_has_network()),
            diversity,
            classes: gallery.map(classes).unwrap_or_default(),
            class_rewards: gallery.map(class_rewards).unwrap_or_default(),
            map: gallery.and_then(|gallery| map(gallery, for_map(&sets)?)),
        }
    }

    /// Returns the judgement and the diversity that it was made by.
    pub fn judged(&self) -> Option<(&Judgement, &DiversityLine)> {
        let judgement = self.judgement.as_ref()?;
        let line = self.diversity.iter().find(|line| line.features == judgement.features)?;
        Some((judgement, line))
    }
}

/// Measures the diversity of every checkpoint's images, by each kind of features that the gallery has.
pub fn diversity_of(gallery: &Gallery) -> Vec<DiversityLine> {
    diversity(gallery, &feature_sets(gallery))
}

/// One kind of features of every checkpoint's images.
type FeatureSet = (Features, Vec<DMatrix<f64>>);

/// Returns the features of every checkpoint's images by kind: both of pixels, then the network's if kept.
fn feature_sets(gallery: &Gallery) -> Vec<FeatureSet> {
    let of_images = |rows: fn(&[RgbImage]) -> DMatrix<f64>| {
        gallery.checkpoints.iter().map(|one| rows(&one.images)).collect()
    };
    let mut sets = vec![
        (Features::Pixels, of_images(pixels)),
        (Features::NormalisedPixels, of_images(normalised_pixels)),
    ];
    let network: Option<Vec<DMatrix<f64>>> =
        gallery.checkpoints.iter().map(|one| one.features.clone()).collect();
    sets.extend(network.map(|features| (Features::Network, features)));
    sets
}

/// Returns the features of the map: the network's if kept, otherwise the pixels.
fn for_map(sets: &[FeatureSet]) -> Option<&FeatureSet> {
    sets.iter().find(|(kind, _)| *kind == Features::Network).or(sets.first())
}

fn rewards(gallery: &Gallery) -> Vec<RewardLine> {
    let line = |(index, (name, shown)): (usize, &(String, String))| {
        let at = gallery.columns.iter().position(|column| column == name)?;
        let point = |one: &Shown| {
            let values = column(&one.scores, at);
            RewardPoint {
                checkpoint: one.name.clone(),
                epoch: one.epoch,
                samples: values.len(),
                mean: mean(&values),
                std: deviation(&values),
            }
        };
        let difference = gallery
            .ends()
            .map(|(first, last)| bootstrap(&differences(&last.scores, &first.scores, at), 0));
        let checkpoints = gallery.checkpoints.iter().map(point).collect();
        Some(RewardLine { name: shown.clone(), held_out: index > 0, checkpoints, difference })
    };
    gallery.rewards.iter().enumerate().filter_map(line).collect()
}

fn diversity(gallery: &Gallery, sets: &[FeatureSet]) -> Vec<DiversityLine> {
    let line = |(kind, features): &FeatureSet| {
        let alike = look_alike_distance(features.first()?);
        let points: Vec<DiversityPoint> = gallery
            .checkpoints
            .iter()
            .zip(features)
            .map(|(one, features)| DiversityPoint {
                checkpoint: one.name.clone(),
                epoch: one.epoch,
                diversity: Diversity::of(features, alike),
            })
            .collect();
        let (before, after) = (points.first()?.diversity, points.last()?.diversity);
        let samples = features.first()?.nrows().min(features.last()?.nrows()).min(MOST);
        Some(DiversityLine {
            features: *kind,
            samples,
            look_alike_distance: alike,
            left: after.left_of(&before),
            verdict: (samples >= FEWEST).then(|| after.verdict(&before, alike)),
            checkpoints: points,
        })
    };
    sets.iter().filter_map(line).collect()
}

fn classes(gallery: &Gallery) -> Vec<ClassLine> {
    let Some((first, last)) = gallery.ends() else { return Vec::new() };
    let sheet = gallery.sheet();
    let (before, after) = (sheet.classifiers(&first.scores), sheet.classifiers(&last.scores));
    let line = |(before, after): (&crate::summary::Classes, &crate::summary::Classes)| ClassLine {
        reward: before.reward.clone(),
        classes: (before.classes.iter().zip(&after.classes))
            .map(|(before, after)| (before.class.replace('_', " "), before.share, after.share))
            .collect(),
    };
    before.iter().zip(&after).map(line).collect()
}

/// Returns the main reward of each class that both the first and the last checkpoint have samples of.
fn class_rewards(gallery: &Gallery) -> Vec<ClassRewardLine> {
    let Some((first, last)) = gallery.ends() else { return Vec::new() };
    let before = class_means(&first.scores);
    let line = |after: ClassMean| {
        let before = before.iter().find(|one| one.class == after.class)?.mean;
        Some(ClassRewardLine { class: after.class, n: after.n, before, after: after.mean })
    };
    class_means(&last.scores).into_iter().filter_map(line).collect()
}

fn map(gallery: &Gallery, (kind, features): &FeatureSet) -> Option<Map> {
    let (first, last) = gallery.ends()?;
    let [before, after] = [features.first()?, features.last()?].map(|set| set.nrows().min(ON_MAP));
    let (first_rows, last_rows) =
        (features.first()?.rows(0, before), features.last()?.rows(0, after));
    let rows: Vec<_> = first_rows.row_iter().chain(last_rows.row_iter()).collect();
    if rows.is_empty() {
        return None;
    }
    let (places, shares) = principal(&DMatrix::from_rows(&rows));
    let images = first.scores.iter().take(before);
    let images = images.chain(last.scores.iter().take(after));
    let names =
        std::iter::repeat_n(&first.name, before).chain(std::iter::repeat_n(&last.name, after));
    let points = places.into_iter().zip(images.zip(names)).map(|(at, (image, name))| MapPoint {
        checkpoint: name.clone(),
        seed: image.seed,
        sample: image.sample,
        at,
    });
    Some(Map { features: *kind, shares, points: points.collect() })
}
