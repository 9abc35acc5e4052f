//! From settings to what the engines take, with the checks that concern more than one of them.

use crate::settings::{Dtype, RewardCompat, Settings};
use anyhow::{Result, bail};
use ddpo_diffusion::scheduler::Transitions;
use ddpo_diffusion::scheduler::config::SchedulerConfig;
use ddpo_learner::adamw::AdamWConfig;
use ddpo_learner::config::LearnerConfig;
use ddpo_learner::schedule::LearningRate;
use ddpo_rewarder::Task;
use ddpo_rollout::image::PixelMap;
use std::path::PathBuf;
use tch::Kind;

/// Settings that passed every check that needs no model.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The settings as resolved.
    pub settings: Settings,
    /// The task.
    pub task: Task,
    /// The learner's part.
    pub learner: LearnerConfig,
    /// Samples denoised together.
    pub sample_batch: usize,
    /// How images become 8-bit.
    pub pixel_map: PixelMap,
}

impl Plan {
    /// Checks settings against each other.
    pub fn new(settings: Settings) -> Result<Self> {
        let task: Task = settings.task.parse()?;
        if settings.num_epochs == 0 {
            bail!("num_epochs = 0: expected at least 1");
        }
        if settings.checkpoint_every == 0 {
            bail!("checkpoint_every = 0: expected at least 1");
        }
        if settings.eval_every_each_epoch == Some(0) {
            bail!("eval_every_each_epoch = 0: expected at least 1");
        }
        if settings.num_eval_samples == 0 {
            bail!("num_eval_samples = 0: expected at least 1");
        }
        let (samples, batch) = (settings.num_samples_per_epoch, settings.batch_size);
        if batch == 0 || samples < 2 || !samples.is_multiple_of(batch) {
            let hint = format!("hint: try {}", samples.max(2).next_multiple_of(batch.max(1)));
            bail!(
                "num_samples_per_epoch = {samples}: expected a multiple of batch_size = {batch}, \
                 at least 2; {hint}"
            );
        }
        for (name, seed) in
            [("run_seed", settings.run_seed), ("eval_rnd_seed", settings.eval_rnd_seed)]
        {
            if i64::try_from(seed).is_err() {
                bail!("{name} = {seed}: expected a number below 2^63");
            }
        }
        check_rates(&settings)?;
        for (name, count) in [
            ("num_samples_per_epoch", settings.num_samples_per_epoch),
            ("num_eval_samples", settings.num_eval_samples),
        ] {
            if u32::try_from(count).is_err() {
                bail!("{name} = {count}: expected fewer than 2^32");
            }
        }
        let learner = learner_config(&settings);
        learner.check()?;
        let sample_batch = settings.sample_batch_size.unwrap_or(batch);
        if sample_batch == 0 {
            bail!("sample_batch_size = 0: expected at least 1");
        }
        let pixel_map = match settings.reward_compat {
            RewardCompat::None => PixelMap::Signed,
            RewardCompat::Seed => PixelMap::Unit,
        };
        Ok(Self { settings, task, learner, sample_batch, pixel_map })
    }

    /// The type that the UNet runs in.
    #[must_use]
    pub fn kind(&self) -> Kind {
        kind(self.settings.dtype)
    }

    /// The learning rate over `epochs` epochs of `samples` samples.
    #[must_use]
    pub fn learning_rate(&self, epochs: u32, samples: usize) -> LearningRate {
        let batches = (samples / self.settings.batch_size) as u64;
        LearningRate {
            initial: self.settings.initial_lr,
            peak: self.settings.peak_lr,
            warmup_fraction: self.settings.warmup_pct,
            total_steps: u64::from(epochs) * self.settings.num_inner_epochs as u64 * batches,
        }
    }

    /// The steps of sampling and training.
    pub fn transitions(&self, config: &SchedulerConfig, steps: usize) -> Result<Transitions> {
        Ok(Transitions::new(self.settings.scheduler, config, steps, self.settings.eta)?)
    }

    /// The folder of the run.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        PathBuf::from(&self.settings.output_dir)
    }

    /// Whether the pretrained model is needed beside the one that is trained.
    #[must_use]
    pub fn needs_reference(&self) -> bool {
        self.learner.kl_coefficient > 0.0 || self.learner.kl_stop.is_some()
    }
}

/// libtorch's name of a type.
#[must_use]
pub fn kind(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::Bf16 => Kind::BFloat16,
    }
}

fn check_rates(settings: &Settings) -> Result<()> {
    for (name, rate) in [("initial_lr", settings.initial_lr), ("peak_lr", settings.peak_lr)] {
        if !(rate.is_finite() && rate >= 0.0) {
            bail!("{name} = {rate}: expected 0 or more");
        }
    }
    if !(0.0..=1.0).contains(&settings.warmup_pct) {
        bail!("warmup_pct = {}: expected 0 to 1", settings.warmup_pct);
    }
    Ok(())
}

fn learner_config(settings: &Settings) -> LearnerConfig {
    LearnerConfig {
        seed: settings.run_seed,
        batch_size: settings.batch_size,
        micro_batch_size: settings.micro_batch_size.unwrap_or(settings.batch_size),
        inner_epochs: settings.num_inner_epochs,
        objective: settings.objective,
        advantage: settings.advantage,
        clip_advantages: settings.clip_advantages,
        clip_ratio: settings.clip_ratio,
        reduction: settings.log_prob,
        kl_coefficient: settings.kl_coef,
        kl_stop: settings.kl_stop,
        timestep_fraction: settings.timestep_fraction,
        max_gradient_norm: settings.max_grad_norm,
        optimizer: AdamWConfig { weight_decay: settings.weight_decay, ..AdamWConfig::default() },
        ema_decay: settings.ema_decay,
        ratio_tolerance: settings.ratio_tolerance,
    }
}
