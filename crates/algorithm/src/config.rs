//! The hyperparameters of the algorithm and their ranges. Names are those of the settings.

use crate::adamw::AdamWConfig;
pub use crate::forward_config::{
    ForwardConfig, ForwardWeighting, LevelSource, LevelWeight, OldPolicy,
};
use crate::step_weights::StepWeights;
use ddpo_diffusion::gaussian::Reduction;
use ddpo_rollout::reward::RewardExpression;
use ddpo_rollout::window::Window;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The rewards over which an advantage is standardised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdvantageScope {
    /// All rewards of the epoch.
    #[default]
    Epoch,
    /// The rewards of the mini-batch.
    Batch,
    /// All rewards since the run began.
    Running,
    /// The rewards of the epoch for the mean; the standard deviation is that of the run's first
    /// epoch, or `advantage_std`. Advantages become smaller as rewards become more alike, so the
    /// balance of reward and `kl_coef` stays the same.
    Fixed,
}

/// The scale of the terms of a sum of rewards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RewardScale {
    /// Terms are weighted and added unchanged.
    #[default]
    Raw,
    /// Each term is standardised, over the same samples as the advantage, before it is weighted.
    Normalised,
}

/// The objective that is maximised; [`crate::objective`] has the equations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// DDPO-IS with the clip of PPO (Black et al. 2023, equation 5).
    #[default]
    ClippedIs,
    /// DDPO-IS for samples of older weights: the ratio is clipped around the weights before the
    /// epoch's first optimizer step, and an importance weight corrects for the sampling policy
    /// (Hilton et al. 2021, "Batch size-invariance for policy optimization", section 3).
    Decoupled,
    /// DDPO-SF, the score-function gradient; on-policy only (Black et al. 2023, equation 4).
    ScoreFunction,
    /// Reward-weighted denoising of the samples' images: DiffusionNFT or AWM ([`crate::forward`]).
    Forward,
}

/// The limit on the policy's change within an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrustRegion {
    /// The clip of the ratio.
    #[default]
    Clip,
    /// The exact KL of each step from the policy that sampled it.
    Kl,
}

/// How the losses of a sample's steps are added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossOverSteps {
    /// Mean over the pairs of a mini-batch.
    #[default]
    Mean,
    /// Sum over steps, mean over samples. Compared with the mean over pairs, the gradient (and its
    /// norm, which `max_grad_norm` limits) is larger by the number of trained steps of a sample.
    Sum,
}

/// The optimizer steps at which the gradient norm is clipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GradientClip {
    /// All.
    #[default]
    EveryStep,
    /// Those after the one at which the warm-up of the learning rate ends; with a constant rate, all but
    /// the first.
    AfterWarmUp,
}

/// The source of the sampling policy's log-probabilities in the ratios.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OldLogProbs {
    /// The sampler's, recorded while it sampled.
    #[default]
    Sampler,
    /// The learner's, from one more forward pass over each pair before the first optimizer step.
    /// Use it if results depend on the shape of a batch: the ratio then compares passes of equal
    /// shape.
    Learner,
}

/// The hyperparameters of the update.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnerConfig {
    /// Seed of the run; it keys the choice of steps if `timestep_fraction` is below 1.
    pub run_seed: u64,
    /// Samples in a mini-batch, which makes one optimizer step.
    pub batch_size: usize,
    /// (sample, step) pairs in one forward and backward pass.
    pub micro_batch_size: usize,
    /// Passes over the epoch's samples.
    pub num_inner_epochs: usize,
    /// The objective.
    pub objective: Objective,
    /// The settings of [`Objective::Forward`].
    pub forward: ForwardConfig,
    /// The weight of each step in the loss.
    pub step_weights: StepWeights,
    /// How the losses of a sample's steps are added.
    pub loss_over_steps: LossOverSteps,
    /// The window of random steps of an epoch; `None` for all steps with sigma > 0.
    pub window: Option<Window>,
    /// The rewards over which advantages are standardised.
    pub advantage: AdvantageScope,
    /// The standard deviation of [`AdvantageScope::Fixed`]; `None` for that of the first epoch.
    pub advantage_std: Option<f64>,
    /// Advantages are divided by at least this standard deviation.
    pub min_advantage_std: f64,
    /// The reward, if `reward_scale` is [`RewardScale::Normalised`]: its terms are components of
    /// the scores and are standardised before they are added.
    pub normalised_reward: Option<RewardExpression>,
    /// c: advantages are clipped to [-c, c].
    pub clip_advantages: f64,
    /// The weight of a sample's similarity to the others of its epoch, subtracted from its advantage
    /// ([`crate::diversity`]); 0 disables it.
    pub diversity_coef: f64,
    /// e: the ratio is clipped to [1 - e, 1 + e], in the unit of `log_prob`.
    pub clip_ratio: f64,
    /// What bounds the change of the policy.
    pub trust_region: TrustRegion,
    /// The bound of [`TrustRegion::Kl`], nats per transition.
    pub kl_limit: f64,
    /// Upper bound of the decoupled objective's importance weight, at least 1.
    pub importance_cap: f64,
    /// The largest number of versions that a trajectory's weights may be behind the learner's.
    pub max_staleness: u32,
    /// Unit of log-probabilities in the objective: mean over dimensions, or their sum (nats).
    pub log_prob: Reduction,
    /// Weight of KL(policy || pretrained) in the loss; 0 disables it. For [`Objective::Forward`],
    /// weight of the squared difference of predictions.
    pub kl_coef: f64,
    /// `kl_coef` adapts towards this mean KL during an epoch's updates, nats per transition.
    pub kl_target: Option<f64>,
    /// The run stops when the mean KL during an epoch's updates, nats per transition, exceeds this.
    pub kl_stop: Option<f64>,
    /// Number of anchors ([`crate::anchor`]); 0 for none.
    pub anchors: usize,
    /// Weight of the diffusion loss on anchors in the loss.
    pub anchor_coef: f64,
    /// Share of a trajectory's random steps that are trained, in (0, 1].
    pub timestep_fraction: f64,
    /// Upper bound of the gradient norm; larger gradients are scaled down to it.
    pub max_grad_norm: f64,
    /// The optimizer steps at which `max_grad_norm` applies.
    pub gradient_clip: GradientClip,
    /// Hyperparameters of AdamW.
    pub optimizer: AdamWConfig,
    /// Decay of the averaged weights; `None` keeps no average.
    pub ema_decay: Option<f64>,
    /// Largest |ratio - 1| allowed before the first optimizer step, with log-probabilities as means
    /// over dimensions.
    pub ratio_tolerance: f64,
    /// Largest |log-ratio| allowed before the first optimizer step, nats per transition.
    pub ratio_tolerance_nats: f64,
    /// The source of the sampling policy's log-probabilities in the ratios.
    pub old_log_probs: OldLogProbs,
}

impl Default for LearnerConfig {
    /// The hyperparameters of alcazar90/ddpo-celebahq, without KL and averaged weights.
    fn default() -> Self {
        Self {
            run_seed: 0,
            batch_size: 5,
            micro_batch_size: 5,
            num_inner_epochs: 1,
            objective: Objective::default(),
            forward: ForwardConfig::default(),
            step_weights: StepWeights::default(),
            loss_over_steps: LossOverSteps::default(),
            window: None,
            advantage: AdvantageScope::default(),
            advantage_std: None,
            min_advantage_std: 0.0,
            normalised_reward: None,
            clip_advantages: 2.5,
            diversity_coef: 0.0,
            clip_ratio: 1e-4,
            trust_region: TrustRegion::default(),
            kl_limit: 0.05,
            importance_cap: 5.0,
            max_staleness: 0,
            log_prob: Reduction::default(),
            kl_coef: 0.0,
            kl_target: None,
            kl_stop: None,
            anchors: 0,
            anchor_coef: 1.0,
            timestep_fraction: 1.0,
            max_grad_norm: 1.0,
            gradient_clip: GradientClip::default(),
            optimizer: AdamWConfig::default(),
            ema_decay: None,
            ratio_tolerance: 1e-4,
            ratio_tolerance_nats: 2.0,
            old_log_probs: OldLogProbs::default(),
        }
    }
}

/// A setting that is out of range.
#[derive(Debug, Error, PartialEq)]
#[error("{name} = {found}: expected {expected}")]
pub struct InvalidSetting {
    /// The setting.
    pub name: &'static str,
    /// The range.
    pub expected: String,
    /// The value.
    pub found: String,
}

impl InvalidSetting {
    /// Makes the error from the name of a setting, its range and its value.
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
        let refuse = |name, expected: &str, found: &dyn std::fmt::Display| {
            Err(InvalidSetting::new(name, expected, found))
        };
        let positive = |name, value: f64| {
            let fits = value.is_finite() && value > 0.0;
            if fits { Ok(()) } else { refuse(name, "a positive number", &value) }
        };
        let not_negative = |name, value: f64| {
            let fits = value.is_finite() && value >= 0.0;
            if fits { Ok(()) } else { refuse(name, "0 or more", &value) }
        };
        let at_least_one = |name, value: usize| {
            if value >= 1 { Ok(()) } else { refuse(name, "at least 1", &value) }
        };
        at_least_one("batch_size", self.batch_size)?;
        at_least_one("micro_batch_size", self.micro_batch_size)?;
        at_least_one("num_inner_epochs", self.num_inner_epochs)?;
        positive("clip_advantages", self.clip_advantages)?;
        positive("clip_ratio", self.clip_ratio)?;
        positive("max_grad_norm", self.max_grad_norm)?;
        positive("ratio_tolerance", self.ratio_tolerance)?;
        positive("ratio_tolerance_nats", self.ratio_tolerance_nats)?;
        positive("kl_limit", self.kl_limit)?;
        self.kl_target.map_or(Ok(()), |target| positive("kl_target", target))?;
        self.advantage_std.map_or(Ok(()), |std| positive("advantage_std", std))?;
        not_negative("min_advantage_std", self.min_advantage_std)?;
        self.kl_stop.map_or(Ok(()), |stop| positive("kl_stop", stop))?;
        not_negative("kl_coef", self.kl_coef)?;
        not_negative("anchor_coef", self.anchor_coef)?;
        not_negative("diversity_coef", self.diversity_coef)?;
        not_negative("weight_decay", self.optimizer.weight_decay)?;
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
        if !self.objective.contract().off_policy {
            let on_policy = "with the score-function objective, which is on-policy only";
            if self.num_inner_epochs > 1 {
                let (expected, found) = (format!("1 {on_policy}"), self.num_inner_epochs);
                return Err(InvalidSetting::new("num_inner_epochs", expected, found));
            }
            if self.max_staleness > 0 {
                let (expected, found) = (format!("0 {on_policy}"), self.max_staleness);
                return Err(InvalidSetting::new("max_staleness", expected, found));
            }
        }
        if self.objective == Objective::Forward {
            self.check_forward()?;
        }
        self.check_combinations()?;
        if !(self.importance_cap.is_finite() && self.importance_cap >= 1.0) {
            return Err(InvalidSetting::new("importance_cap", "1 or more", self.importance_cap));
        }
        Ok(())
    }

    /// The forward objective has no density of a step.
    fn check_forward(&self) -> Result<(), InvalidSetting> {
        let ForwardConfig { levels, max_timestep, beta, old, .. } = self.forward;
        if levels == 0 || levels > 1000 {
            return Err(InvalidSetting::new("forward_levels", "1 to 1000", levels));
        }
        if let Some(timestep) = max_timestep.filter(|timestep| *timestep < 0) {
            return Err(InvalidSetting::new("forward_max_timestep", "0 or more", timestep));
        }
        if !(beta > 0.0 && beta <= 1.0) {
            return Err(InvalidSetting::new("forward_beta", "above 0, at most 1", beta));
        }
        if old == OldPolicy::Average && self.ema_decay.is_none() {
            let expected = "a decay with forward_old = average";
            return Err(InvalidSetting::new("ema_decay", expected, "none"));
        }
        let unusable = [
            ("timestep_fraction", self.timestep_fraction < 1.0),
            ("step_weights", self.step_weights != StepWeights::Density),
            ("trust_region", self.trust_region != TrustRegion::Clip),
            ("window", self.window.is_some()),
            ("kl_stop", self.kl_stop.is_some()),
            ("kl_target", self.kl_target.is_some()),
            ("old_log_probs", self.old_log_probs == OldLogProbs::Learner),
        ];
        match unusable.into_iter().find(|(_, is_set)| *is_set) {
            Some((name, _)) => {
                let expected =
                    "its default with objective = forward, which has no density of a step";
                Err(InvalidSetting::new(name, expected, "another value"))
            }
            None => Ok(()),
        }
    }

    fn check_combinations(&self) -> Result<(), InvalidSetting> {
        if self.trust_region == TrustRegion::Kl && self.objective != Objective::ClippedIs {
            let expected = "clip, or kl with objective = clipped-is";
            return Err(InvalidSetting::new("trust_region", expected, "kl"));
        }
        if self.kl_target.is_some() && self.kl_coef == 0.0 {
            let expected = "above 0 with kl_target, which adapts it";
            return Err(InvalidSetting::new("kl_coef", expected, 0));
        }
        if self.advantage == AdvantageScope::Fixed && self.normalised_reward.is_some() {
            let expected = "raw with advantage = fixed: normalised terms have no fixed scale";
            return Err(InvalidSetting::new("reward_scale", expected, "normalised"));
        }
        if self.advantage != AdvantageScope::Fixed && self.advantage_std.is_some() {
            let expected = "fixed with advantage_std";
            return Err(InvalidSetting::new("advantage", expected, "another scope"));
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
            ("num_inner_epochs", LearnerConfig { num_inner_epochs: 0, ..valid() }),
            (
                "num_inner_epochs",
                LearnerConfig {
                    num_inner_epochs: 2,
                    objective: Objective::ScoreFunction,
                    ..valid()
                },
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
            ("max_grad_norm", LearnerConfig { max_grad_norm: f64::INFINITY, ..valid() }),
            ("ratio_tolerance", LearnerConfig { ratio_tolerance: 0.0, ..valid() }),
            ("kl_stop", LearnerConfig { kl_stop: Some(0.0), ..valid() }),
            ("kl_coef", LearnerConfig { kl_coef: -1.0, ..valid() }),
            ("kl_coef", LearnerConfig { kl_coef: f64::NAN, ..valid() }),
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
