//! The age of a face, by a ViT classifier of age classes (nateraw/vit-age-classifier, or any other
//! with labels such as "50-59").

use ddpo_rollout::image::RgbImage;
use ddpo_rollout::score::{Component, Score};

use crate::error::RewardError;
use crate::learned::labels::split_at;
use crate::learned::options::{AGE_MODEL, AgeReward, RewardOptions};
use crate::learned::scoring::Eye;
use crate::model::{RewardDescription, RewardModel};
use crate::task::Task;
use crate::vision::error::VisionError;
use crate::vision::preprocess::config::Family;
use crate::vision::source;
use crate::vision::vit::VitClassifier;

/// The component with the index of the likeliest class.
const PREDICTED: &str = "predicted_class";

/// What the component begins with that is 1 if the likeliest class is wanted, else 0: its mean is
/// the share of such images.
const CLASSIFIED: &str = "classified";

/// Which ages are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgeSide {
    /// This age and older.
    From(u32),
    /// Younger than this age.
    Below(u32),
}

impl AgeSide {
    /// Name of the component that tells whether the likeliest class is on this side.
    fn component(self) -> String {
        match self {
            Self::From(age) => format!("{CLASSIFIED}_{age}_or_older"),
            Self::Below(age) => format!("{CLASSIFIED}_under_{age}"),
        }
    }
}

/// Rewards the wanted ages. Components: every class's probability, the likeliest class's index, and
/// whether that class is wanted.
pub struct AgeRewardModel {
    task: Task,
    reward: AgeReward,
    wanted: Vec<usize>,
    components: Vec<String>,
    network: VitClassifier,
    eye: Eye,
}

impl AgeRewardModel {
    /// Opens the classifier that the options name. A download tells `progress` what it does.
    ///
    /// # Errors
    /// [`VisionError`]; [`VisionError::Labels`] where the wanted ages cannot be told by the labels.
    pub fn open(
        task: Task,
        side: AgeSide,
        options: &RewardOptions,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, VisionError> {
        let source = source::open(options.model.as_deref().unwrap_or(AGE_MODEL), progress)?;
        let network = VitClassifier::open(&source.folder, options.kind, options.device)?;
        let labels = &network.config().labels;
        let wanted = match side {
            AgeSide::From(age) => split_at(labels, age)?.0,
            AgeSide::Below(age) => split_at(labels, age)?.1,
        };
        let named = |label: &String| format!("probability_{}", label.replace(' ', "_"));
        let mut components: Vec<String> = labels.iter().map(named).collect();
        components.extend([PREDICTED.to_owned(), side.component()]);
        let eye = Eye::open(&source.folder, Family::Vit, &network.config().tower, options)?;
        Ok(Self { task, reward: options.age_reward, wanted, components, network, eye })
    }

    fn score_of(&self, logits: &[f32]) -> Score {
        let probabilities = softmax(logits);
        let likeliest = (0..logits.len())
            .reduce(|best, at| if logits[at] > logits[best] { at } else { best })
            .unwrap_or(0);
        let classified = f32::from(u8::from(self.wanted.contains(&likeliest)));
        let reward = match self.reward {
            AgeReward::Logits => self.wanted.iter().map(|at| f64::from(logits[*at])).sum(),
            AgeReward::Probability => self.wanted.iter().map(|at| probabilities[*at]).sum(),
            AgeReward::LogOdds => log_odds(logits, &self.wanted),
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
        let logits = self.eye.look(images, |pixels| self.network.forward(pixels))?;
        Ok(logits.iter().map(|logits| self.score_of(logits)).collect())
    }
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let top = highest(logits.iter().copied());
    let weights: Vec<f64> = logits.iter().map(|logit| (f64::from(*logit) - top).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// ln of the wanted classes' probability over the others', without leaving the logarithm.
fn log_odds(logits: &[f32], wanted: &[usize]) -> f64 {
    let log_sum = |of_wanted: bool| {
        let chosen = || {
            let all = logits.iter().enumerate();
            all.filter(|(at, _)| wanted.contains(at) == of_wanted).map(|(_, logit)| *logit)
        };
        let top = highest(chosen());
        top + chosen().map(|logit| (f64::from(logit) - top).exp()).sum::<f64>().ln()
    };
    log_sum(true) - log_sum(false)
}

fn highest(logits: impl Iterator<Item = f32>) -> f64 {
    logits.map(f64::from).fold(f64::NEG_INFINITY, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_odds_are_those_of_the_probability_and_do_not_overflow() {
        let logits = [0.3, -1.0, 2.0, 0.5];
        let p: f64 = [1, 2].iter().map(|at| softmax(&logits)[*at]).sum();
        assert!((log_odds(&logits, &[1, 2]) - (p / (1.0 - p)).ln()).abs() < 1e-12);
        let far = [500.0, -500.0];
        assert!((log_odds(&far, &[0]) - 1000.0).abs() < 1e-9);
        assert_eq!(softmax(&far), [1.0, 0.0]);
    }

    #[test]
    fn log_odds_stay_when_all_logits_move() {
        let moved = [7.0, 6.0, 4.0].map(|logit: f32| logit + 32.0);
        assert!((log_odds(&[7.0, 6.0, 4.0], &[2]) - log_odds(&moved, &[2])).abs() < 1e-12);
    }
}
