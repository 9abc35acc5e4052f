//! The age of a face, from a ViT classifier of age classes (nateraw/vit-age-classifier, or another
//! with labels such as "50-59").

use crate::error::RewardError;
use crate::learned::labels::split_at;
use crate::learned::network::ImageInput;
use crate::model::{RewardDescription, RewardModel};
use crate::pinned::OpenModel;
use crate::runtime::RewardRuntime;
use crate::vision::config::Probabilities;
use crate::vision::error::VisionError;
use crate::vision::preprocess::config::Family;
use crate::vision::vit::VitClassifier;
use ddpo_diffusion::dtype::{Dtype, TorchKind};
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::reward::{AgeClasses, AgeReward, AgeSpec, Task};
use ddpo_rollout::score::{Component, Score};

/// Rewards the wanted ages. Components: the probability of every class, the index of the predicted
/// class, and whether that class is wanted (1 or 0).
pub struct AgeRewardModel {
    task: Task,
    reward: AgeReward,
    wanted: Vec<usize>,
    components: Vec<String>,
    network: VitClassifier,
    input: ImageInput,
}

impl AgeRewardModel {
    /// Opens the classifier of `spec`. Reports downloads to `progress`.
    ///
    /// # Errors
    /// [`RewardError::Pin`] and [`RewardError::Vision`]; [`VisionError::Labels`] if the labels do not
    /// separate the wanted ages, or differ from the specification.
    pub fn open(
        task: Task,
        spec: &AgeSpec,
        dtype: Dtype,
        runtime: &RewardRuntime,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, RewardError> {
        let model = OpenModel::pinned(&spec.model, progress)?;
        let network = VitClassifier::open(&model.folder, dtype.kind(), runtime.device)?;
        let labels = &network.config().labels;
        let described = spec.classes.iter().map(|class| AgeClasses::parts(class).0);
        if !described.clone().eq(labels) {
            let described: Vec<&str> = described.collect();
            let expected = format!("expected the labels {}", described.join(", "));
            return Err(VisionError::Labels(expected, labels.join(", ")).into());
        }
        let wanted = match task {
            Task::Under30 => split_at(&spec.classes, 30)?.1,
            _ => split_at(&spec.classes, 50)?.0,
        };
        let components = spec.components(task);
        let input = ImageInput::open(&model.folder, Family::Vit, &network.config().tower, runtime)?;
        Ok(Self { task, reward: spec.reward, wanted, components, network, input })
    }

    fn score_of(&self, logits: &[f32]) -> Score {
        let logs = log_weights(self.network.config().probabilities, logits);
        let probabilities = match self.network.config().probabilities {
            Probabilities::Softmax => softmax(&logs),
            Probabilities::Sigmoid => logs.iter().map(|log| log.exp()).collect(),
        };
        let likeliest = (0..logits.len())
            .reduce(|best, at| if logits[at] > logits[best] { at } else { best })
            .unwrap_or(0);
        let classified = f32::from(u8::from(self.wanted.contains(&likeliest)));
        let reward = match self.reward {
            AgeReward::Logits => self.wanted.iter().map(|at| f64::from(logits[*at])).sum(),
            AgeReward::Probability => self.wanted.iter().map(|at| probabilities[*at]).sum(),
            AgeReward::LogOdds => log_odds(&logs, &self.wanted),
        };
        let values = probabilities.iter().map(|value| *value as f32);
        let values = values.chain([likeliest as f32, classified]);
        let named = self.components.iter().zip(values);
        let components =
            named.map(|(name, value)| Component { name: name.clone(), value }).collect();
        Score { reward: reward as f32, components }
    }
}

impl RewardModel for AgeRewardModel {
    fn describe(&self) -> RewardDescription {
        let unit = match self.reward {
            AgeReward::Logits => "logits",
            AgeReward::Probability => "probability",
            AgeReward::LogOdds => "nats",
        };
        RewardDescription {
            name: self.task.name().to_owned(),
            unit: unit.to_owned(),
            components: self.components.clone(),
        }
    }

    fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError> {
        let logits = self.input.run(images, |pixels| self.network.forward(pixels))?;
        Ok(logits.iter().map(|logits| self.score_of(logits)).collect())
    }
}

/// Returns the logarithms of the classes' probabilities, up to a common constant.
fn log_weights(probabilities: Probabilities, logits: &[f32]) -> Vec<f64> {
    let logits = logits.iter().copied().map(f64::from);
    match probabilities {
        Probabilities::Softmax => logits.collect(),
        Probabilities::Sigmoid => logits.map(log_sigmoid).collect(),
    }
}

/// Returns ln(1 / (1 + e^-x)), without overflow.
fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let top = highest(logits.iter().copied());
    let weights: Vec<f64> = logits.iter().map(|logit| (logit - top).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// Returns ln(p(wanted) / p(others)), computed in log space.
fn log_odds(logs: &[f64], wanted: &[usize]) -> f64 {
    let log_sum = |of_wanted: bool| {
        let chosen = || {
            let all = logs.iter().enumerate();
            all.filter(|(at, _)| wanted.contains(at) == of_wanted).map(|(_, log)| *log)
        };
        let top = highest(chosen());
        top + chosen().map(|log| (log - top).exp()).sum::<f64>().ln()
    };
    log_sum(true) - log_sum(false)
}

fn highest(logs: impl Iterator<Item = f64>) -> f64 {
    logs.fold(f64::NEG_INFINITY, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_odds_match_the_probability_without_overflow() {
        let logits = [0.3, -1.0, 2.0, 0.5];
        let p: f64 = [1, 2].iter().map(|at| softmax(&logits)[*at]).sum();
        assert!((log_odds(&logits, &[1, 2]) - (p / (1.0 - p)).ln()).abs() < 1e-12);
        let far = [500.0, -500.0];
        assert!((log_odds(&far, &[0]) - 1000.0).abs() < 1e-9);
        assert_eq!(softmax(&far), [1.0, 0.0]);
    }

    #[test]
    fn log_odds_ignore_a_common_shift_of_the_logits() {
        let moved = [7.0, 6.0, 4.0].map(|logit| logit + 32.0);
        assert!((log_odds(&[7.0, 6.0, 4.0], &[2]) - log_odds(&moved, &[2])).abs() < 1e-12);
    }

    #[test]
    fn sigmoids_are_independent_and_do_not_overflow() {
        let logs = log_weights(Probabilities::Sigmoid, &[0.0, 2.0, -900.0, 900.0]);
        assert!((logs[0].exp() - 0.5).abs() < 1e-12);
        assert!((logs[1].exp() - 1.0 / (1.0 + (-2.0_f64).exp())).abs() < 1e-12);
        assert_eq!(logs[2..], [-900.0, 0.0]);
        let p = [0.5, logs[1].exp()];
        assert!((log_odds(&logs[..2], &[1]) - (p[1] / p[0]).ln()).abs() < 1e-12);
    }
}
