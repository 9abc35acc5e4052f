//! Converts settings to the configs of the other crates, and checks settings against each other.

use crate::batch_size::BatchSize;
use crate::guards::Guards;
use crate::settings::Settings;
use ddpo_algorithm::adamw::AdamWConfig;
use ddpo_algorithm::config::{
    AdvantageScope, ForwardConfig, GradientClip, InvalidSetting, LearnerConfig, LossOverSteps,
    OldLogProbs, RewardScale, TrustRegion,
};
use ddpo_algorithm::schedule::LearningRate;
use ddpo_diffusion::dtype::{Dtype, TorchKind};
use ddpo_diffusion::scheduler::config::{SchedulerConfig, SchedulerError};
use ddpo_diffusion::scheduler::{SchedulerKind, Transitions};
use ddpo_rollout::numerics::{MatmulPrecision, Numerics};
use ddpo_rollout::reward::{PixelRule, RewardExpression, RewardSettings};
use ddpo_rollout::trajectory::StateDtype;
use ddpo_settings::numbers::{self, OutOfRange};
use std::path::PathBuf;
use tch::Kind;

/// Settings that passed every check that is possible without the model and the reward model.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The settings as resolved.
    pub settings: Settings,
    /// The settings of the rewards.
    pub rewards: RewardSettings,
    /// The config of the learner.
    pub learner: LearnerConfig,
    /// The limits of the best checkpoint and of the run.
    pub guards: Guards,
    /// Samples denoised together.
    pub sample_batch: usize,
}

impl Plan {
    /// Checks settings against each other.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn new(settings: Settings) -> Result<Self, InvalidSetting> {
        numbers::check(&settings).map_err(out_of_range)?;
        check_folder(&settings)?;
        check_samples(&settings)?;
        check_eta(settings.scheduler, settings.eta)?;
        check_on_policy(&settings)?;
        check_trust_region(&settings)?;
        check_upstream(&settings)?;
        let rewards = rewards(&settings);
        let learner = learner_config(&settings, &rewards.reward);
        learner.check()?;
        let guards = Guards::new(&settings)?;
        let sample_batch = number(settings.sample_batch_size, &settings);
        Ok(Self { settings, rewards, learner, guards, sample_batch })
    }

    /// Returns the dtype that the UNet runs in.
    pub fn kind(&self) -> Kind {
        self.settings.dtype.kind()
    }

    /// Returns the run's arithmetic.
    #[must_use]
    pub fn numerics(&self) -> Numerics {
        numerics(&self.settings)
    }

    /// Returns the learning rate schedule over `epochs` epochs of `samples` samples.
    pub fn learning_rate(&self, epochs: u32, samples: usize) -> LearningRate {
        let batches = (samples / self.settings.batch_size) as u64;
        LearningRate {
            initial_lr: self.settings.initial_lr,
            peak_lr: self.settings.peak_lr,
            warmup_pct: self.settings.warmup_pct,
            total_steps: u64::from(epochs) * self.settings.num_inner_epochs as u64 * batches,
        }
    }

    /// Returns the denoising steps for sampling and training.
    ///
    /// # Errors
    /// [`SchedulerError`] if the number of steps or eta is out of range.
    pub fn transitions(
        &self,
        config: &SchedulerConfig,
        steps: usize,
    ) -> Result<Transitions, SchedulerError> {
        Transitions::new(self.settings.scheduler, config, steps, self.settings.eta)
    }

    /// Returns the folder of the run.
    pub fn folder(&self) -> PathBuf {
        PathBuf::from(&self.settings.output_dir)
    }

    /// Returns whether training needs the pretrained model as reference.
    pub fn needs_reference(&self) -> bool {
        self.learner.kl_coef > 0.0 || self.guards.needs_reference()
    }
}

fn out_of_range(error: OutOfRange) -> InvalidSetting {
    InvalidSetting::new(error.name, error.range.to_string(), error.found)
}

/// An empty path would write into the current folder.
fn check_folder(settings: &Settings) -> Result<(), InvalidSetting> {
    if settings.output_dir.is_empty() {
        let expected = "the name of a folder; hint: \".\" is the current folder";
        return Err(InvalidSetting::new("output_dir", expected, "\"\""));
    }
    Ok(())
}

/// Checks that `eta` has an effect: DDPM's variance does not depend on it.
///
/// # Errors
/// DDPM with an eta other than 1.
pub fn check_eta(scheduler: SchedulerKind, eta: f64) -> Result<(), InvalidSetting> {
    if scheduler == SchedulerKind::Ddim || eta == 1.0 {
        return Ok(());
    }
    let expected = "1 with scheduler = ddpm, which has a fixed variance; hint: leave eta out, or use \
                    scheduler = ddim";
    Err(InvalidSetting::new("eta", expected, eta))
}

fn check_samples(settings: &Settings) -> Result<(), InvalidSetting> {
    let (samples, batch) = (settings.num_samples_per_epoch, settings.batch_size);
    if batch == 0 || samples < 2 || !samples.is_multiple_of(batch) {
        let better = samples.max(2).next_multiple_of(batch.max(1));
        let expected =
            format!("a multiple of batch_size = {batch}, at least 2; hint: try {better}");
        return Err(InvalidSetting::new("num_samples_per_epoch", expected, samples));
    }
    Ok(())
}

/// The mean of the policy that sampled is taken from a state minus its noise, which a rounded state
/// does not give.
fn check_trust_region(settings: &Settings) -> Result<(), InvalidSetting> {
    if settings.trust_region == TrustRegion::Clip || settings.state_dtype == StateDtype::F32 {
        return Ok(());
    }
    let expected = "f32 with trust_region = kl, which needs states that are not rounded";
    Err(InvalidSetting::new("state_dtype", expected, "another dtype"))
}

/// `upstream_compat` standardises advantages over the batch, whatever `advantage` is.
fn check_upstream(settings: &Settings) -> Result<(), InvalidSetting> {
    let found = match settings.advantage {
        AdvantageScope::Running if settings.is_upstream() => "running",
        AdvantageScope::Fixed if settings.is_upstream() => "fixed",
        _ => return Ok(()),
    };
    Err(InvalidSetting::new("advantage", "batch, or unset, with upstream_compat", found))
}

/// An objective without a correction takes one optimizer step for an epoch.
fn check_on_policy(settings: &Settings) -> Result<(), InvalidSetting> {
    let Settings { objective, num_samples_per_epoch: samples, batch_size, .. } = *settings;
    if objective.contract().off_policy || samples == batch_size {
        return Ok(());
    }
    let expected = format!(
        "num_samples_per_epoch = {samples} with objective = score-function, which is on-policy only"
    );
    Err(InvalidSetting::new("batch_size", expected, batch_size))
}

fn numerics(settings: &Settings) -> Numerics {
    let Settings { deterministic, matmul_precision, .. } = *settings;
    Numerics { deterministic, matmul_precision }
}

/// Returns the settings of the rewards. `reward` takes precedence over `task`.
fn rewards(settings: &Settings) -> RewardSettings {
    RewardSettings {
        reward: settings.reward.clone().unwrap_or_else(|| settings.task.into()),
        held_out: settings.eval_reward.clone().unwrap_or_default().0,
        pixel_map: if settings.is_upstream() { PixelRule::Upstream } else { PixelRule::Signed },
        age_reward: settings.age_reward,
        age_classes: settings.age_classes.clone().unwrap_or_default(),
        model: settings.reward_model.clone(),
        aesthetic_head: settings.aesthetic_head.clone(),
        dtype: settings.reward_dtype,
        numerics: numerics(settings),
    }
}

/// Returns the size of a batch; `batch_size` if it is unset, or `auto` and not settled yet.
fn number(size: Option<BatchSize>, settings: &Settings) -> usize {
    size.and_then(BatchSize::number).unwrap_or(settings.batch_size)
}

/// Returns the default of `old_log_probs`. Results of bf16 and TF32 kernels vary with the shape of a
/// batch, so the learner recomputes the log-probabilities if its shapes differ from the sampler's.
fn old_log_probs(settings: &Settings) -> OldLogProbs {
    let Settings { num_samples_per_epoch: samples, batch_size, .. } = *settings;
    let drawn = number(settings.sample_batch_size, settings);
    let trained = number(settings.micro_batch_size, settings);
    let is_exact =
        settings.dtype == Dtype::F32 && settings.matmul_precision == MatmulPrecision::Highest;
    let same_shapes = drawn == trained
        && samples.is_multiple_of(drawn.max(1))
        && batch_size.is_multiple_of(trained.max(1));
    let has_log_probs = settings.objective.contract().log_probs;
    if is_exact || same_shapes || !has_log_probs {
        OldLogProbs::Sampler
    } else {
        OldLogProbs::Learner
    }
}

fn learner_config(settings: &Settings, reward: &RewardExpression) -> LearnerConfig {
    LearnerConfig {
        run_seed: settings.run_seed,
        batch_size: settings.batch_size,
        micro_batch_size: number(settings.micro_batch_size, settings),
        num_inner_epochs: settings.num_inner_epochs,
        objective: settings.objective,
        forward: ForwardConfig {
            weighting: settings.forward_weighting,
            levels: settings.forward_levels,
            level_source: settings.forward_level_source,
            max_timestep: settings.forward_max_timestep,
            level_weight: settings.forward_level_weight,
            beta: settings.forward_beta,
            old: settings.forward_old,
        },
        step_weights: settings.step_weights,
        loss_over_steps: if settings.is_upstream() {
            LossOverSteps::Sum
        } else {
            LossOverSteps::Mean
        },
        window: settings.window,
        advantage: if settings.is_upstream() { AdvantageScope::Batch } else { settings.advantage },
        advantage_std: settings.advantage_std,
        min_advantage_std: settings.min_advantage_std,
        normalised_reward: (settings.reward_scale == RewardScale::Normalised)
            .then(|| reward.clone()),
        clip_advantages: settings.clip_advantages,
        diversity_coef: settings.diversity_coef,
        clip_ratio: settings.clip_ratio(),
        trust_region: settings.trust_region,
        kl_limit: settings.kl_limit,
        importance_cap: settings.importance_cap,
        max_staleness: settings.max_staleness,
        log_prob: settings.log_prob,
        kl_coef: settings.kl_coef,
        kl_target: settings.kl_target,
        kl_stop: settings.kl_stop,
        anchors: settings.anchor,
        anchor_coef: settings.anchor_coef,
        timestep_fraction: settings.timestep_fraction,
        max_grad_norm: settings.max_grad_norm,
        gradient_clip: if settings.is_upstream() {
            GradientClip::AfterWarmUp
        } else {
            GradientClip::EveryStep
        },
        optimizer: AdamWConfig { weight_decay: settings.weight_decay, ..AdamWConfig::default() },
        ema_decay: settings.ema_decay,
        ratio_tolerance: settings.ratio_tolerance,
        ratio_tolerance_nats: settings.ratio_tolerance_nats,
        old_log_probs: settings.old_log_probs.unwrap_or_else(|| old_log_probs(settings)),
    }
}
