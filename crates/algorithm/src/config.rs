//! The learner's settings, resolved and checked.

use crate::adamw::AdamWConfig;
use ddpo_diffusion::gaussian::Reduction;
use ddpo_rollout::reward::RewardExpression;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Over which rewards an advantage is standardised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdvantageScope {
    /// All rewards of the epoch.
    #[default]
    Epoch,
    /// The rewards of the mini-batch.
    Batch,
    /// All rewards seen since the run began.
    Running,
}

/// What becomes of the rewards of a sum before they are added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RewardScale {
    /// Nothing: they are weighted as they are.
    #[default]
    Raw,
    /// Each is standardised over the rewards that the advantage is standardised over.
    Normalised,
}

/// What is maximised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Importance-sampled DDPO with PPO's clip (Black et al. 2023, equation 5).
    #[default]
    ClippedIs,
    /// The same for samples of older weights: the clip is around the weights before the epoch's
    /// first update, and an importance weight makes up for the older ones (Hilton et al. 2021,
    /// "Batch size-invariance for policy optimization", section 3).
    Decoupled,
    /// Score-function DDPO, on-policy only (Black et al. 2023, equation 4).
    ScoreFunction,
}

/// The settings of the updates.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnerConfig {
    /// Seed of the run: it keys the choice of steps where only a share of them is trained.
    pub seed: u64,
    /// Samples in a mini-batch: one optimizer step each.
    pub batch_size: usize,
    /// (sample, step) pairs in one forward and backward pass.
    pub micro_batch_size: usize,
    /// Passes over the epoch's samples.
    pub inner_epochs: usize,
    /// What is maximised.
    pub objective: Objective,
    /// Over which rewards advantages are standardised.
    pub advantage: AdvantageScope,
    /// The reward, where its terms are standardised before they are added; they are found among the
    /// components of the scores.
    pub normalised: Option<RewardExpression>,
    /// Advantages are clipped to plus and minus this.
    pub clip_advantages: f64,
    /// The ratio is clipped to 1 plus and minus this, in the unit of `reduction`.
    pub clip_ratio: f64,
    /// The decoupled objective's importance weight is cut at this, at least 1, in the unit of
    /// `reduction`.
    pub importance_cap: f64,
    /// How many versions older than the learner's the weights of a trajectory may be.
    pub max_staleness: u32,
    /// Unit of log-probabilities in the objective.
    pub reduction: Reduction,
    /// Weight of the divergence from the pretrained model; 0 leaves it out.
    pub kl_coefficient: f64,
    /// The run stops when the mean divergence of an epoch, nats a trajectory step, passes this.
    pub kl_stop: Option<f64>,
    /// Share of a trajectory's random steps that are trained, in (0, 1].
    pub timestep_fraction: f64,
    /// Gradients are scaled to at most this norm.
    pub max_gradient_norm: f64,
    /// The optimizer's settings.
    pub optimizer: AdamWConfig,
    /// Decay of the averaged weights; none if absent.
    pub ema_decay: Option<f64>,
    /// Largest |ratio - 1| before the first update, with log-probabilities as means.
    pub ratio_tolerance: f64,
}

impl Default for LearnerConfig {
    /// The seed implementation's settings, and no divergence, average or tolerance beyond the clip.
    fn default() -> Self {
        Self {
            seed: 0,
            batch_size: 5,
            micro_batch_size: 5,
            inner_epochs: 1,
            objective: Objective::default(),
            advantage: AdvantageScope::default(),
            normalised: None,
            clip_advantages: 2.5,
            clip_ratio: 1e-4,
            importance_cap: 5.0,
            max_staleness: 0,
            reduction: Reduction::default(),
            kl_coefficient: 0.0,
            kl_stop: None,
            timestep_fraction: 1.0,
            max_gradient_norm: 1.0,
            optimizer: AdamWConfig::default(),
            ema_decay: None,
            ratio_tolerance: 1e-4,
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, Error, PartialEq)]
#[error("{name} = {found}: expected {expected}")]
pub struct InvalidSetting {
    /// The setting.
    pub name: &'static str,
    /// What it may be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

impl InvalidSetting {
    /// Names a setting, what it may be and what it is.
    #[must_use]
    pub fn new(name: &'static str, expected: impl Into<String>, found: impl ToString) -> Self {
        Self { name, expected: expected.into(), found: found.to_string() }
    }
}

impl LearnerConfig {
    /// Checks every setting against its range.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let positive = |name, value: f64| match value.is_finite() && value > 0.0 {
            true => Ok(()),
            false => Err(InvalidSetting::new(name, "a positive number", value)),
        };
        let at_least_one = |name, value: usize| match value >= 1 {
            true => Ok(()),
            false => Err(InvalidSetting::new(name, "at least 1", value)),
        };
        at_least_one("batch_size", self.batch_size)?;
        at_least_one("micro_batch_size", self.micro_batch_size)?;
        at_least_one("num_inner_epochs", self.inner_epochs)?;
        positive("clip_advantages", self.clip_advantages)?;
        positive("clip_ratio", self.clip_ratio)?;
        positive("max_grad_norm", self.max_gradient_norm)?;
        positive("ratio_tolerance", self.ratio_tolerance)?;
        self.kl_stop.map_or(Ok(()), |stop| positive("kl_stop", stop))?;
        if !(self.kl_coefficient.is_finite() && self.kl_coefficient >= 0.0) {
            return Err(InvalidSetting::new("kl_coef", "0 or more", self.kl_coefficient));
        }
        let decay = self.optimizer.weight_decay;
        if !(decay.is_finite() && decay >= 0.0) {
            return Err(InvalidSetting::new("weight_decay", "0 or more", decay));
        }
        if !(self.timestep_fraction > 0.0 && self.timestep_fraction <= 1.0) {
            let found = self.timestep_fraction;
            return Err(InvalidSetting::new("timestep_fraction", "above 0, at most 1", found));
        }
        if let Some(decay) = self.ema_decay.filter(|decay| !(0.0..1.0).contains(decay)) {
            return Err(InvalidSetting::new("ema_decay", "from 0 to below 1", decay));
        }
        let single = self.batch_size < 2 && self.advantage == AdvantageScope::Batch;
        if single {
            let expected = "at least 2 with advantages over the batch";
            return Err(InvalidSetting::new("batch_size", expected, self.batch_size));
        }
        self.check_objective()
    }

    fn check_objective(&self) -> Result<(), InvalidSetting> {
        if self.objective == Objective::ScoreFunction && self.inner_epochs > 1 {
            let expected = "1 with the score-function objective, which is on-policy only";
            return Err(InvalidSetting::new("num_inner_epochs", expected, self.inner_epochs));
        }
        if self.objective == Objective::ScoreFunction && self.max_staleness > 0 {
            let expected = "0 with the score-function objective, which is on-policy only";
            return Err(InvalidSetting::new("max_staleness", expected, self.max_staleness));
        }
        if !(self.importance_cap.is_finite() && self.importance_cap >= 1.0) {
            return Err(InvalidSetting::new("importance_cap", "1 or more", self.importance_cap));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> LearnerConfig {
        LearnerConfig {
            batch_size: 4,
            micro_batch_size: 4,
            clip_advantages: 10.0,
            ratio_tolerance: 1e-3,
            ..LearnerConfig::default()
        }
    }

    #[test]
    fn a_setting_out_of_range_is_refused_by_name() {
        let decay = |weight_decay| AdamWConfig { weight_decay, ..AdamWConfig::default() };
        let cases: [(&str, LearnerConfig); 22] = [
            ("batch_size", LearnerConfig { batch_size: 0, ..valid() }),
            (
                "batch_size",
                LearnerConfig { batch_size: 1, advantage: AdvantageScope::Batch, ..valid() },
            ),
            ("micro_batch_size", LearnerConfig { micro_batch_size: 0, ..valid() }),
            ("num_inner_epochs", LearnerConfig { inner_epochs: 0, ..valid() }),
            (
                "num_inner_epochs",
                LearnerConfig { inner_epochs: 2, objective: Objective::ScoreFunction, ..valid() },
            ),
            ("clip_advantages", LearnerConfig { clip_advantages: 0.0, ..valid() }),
            ("clip_advantages", LearnerConfig { clip_advantages: f64::NAN, ..valid() }),
            ("clip_ratio", LearnerConfig { clip_ratio: -1e-4, ..valid() }),
            (
                "max_staleness",
                LearnerConfig { max_staleness: 1, objective: Objective::ScoreFunction, ..valid() },
            ),
            ("importance_cap", LearnerConfig { importance_cap: 0.9, ..valid() }),
            ("importance_cap", LearnerConfig { importance_cap: f64::INFINITY, ..valid() }),
            ("max_grad_norm", LearnerConfig { max_gradient_norm: f64::INFINITY, ..valid() }),
            ("ratio_tolerance", LearnerConfig { ratio_tolerance: 0.0, ..valid() }),
            ("kl_stop", LearnerConfig { kl_stop: Some(0.0), ..valid() }),
            ("kl_coef", LearnerConfig { kl_coefficient: -1.0, ..valid() }),
            ("kl_coef", LearnerConfig { kl_coefficient: f64::NAN, ..valid() }),
            ("weight_decay", LearnerConfig { optimizer: decay(-1e-4), ..valid() }),
            ("weight_decay", LearnerConfig { optimizer: decay(f64::NAN), ..valid() }),
            ("timestep_fraction", LearnerConfig { timestep_fraction: 0.0, ..valid() }),
            ("timestep_fraction", LearnerConfig { timestep_fraction: 1.01, ..valid() }),
            ("ema_decay", LearnerConfig { ema_decay: Some(1.0), ..valid() }),
            ("ema_decay", LearnerConfig { ema_decay: Some(f64::NAN), ..valid() }),
        ];
        for (name, config) in cases {
            assert_eq!(config.check().unwrap_err().name, name);
        }
        assert_eq!(valid().check(), Ok(()));
    }
}
