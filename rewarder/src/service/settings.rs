//! The table `[rewarder]`.

use crate::learned::RewardOptions;
use crate::own::waiting::Waiting;
use crate::service::batcher::BatcherConfig;
use crate::source::RewardSource;
use anyhow::{Context, Result, anyhow};
use ddpo_diffusion::device;
use ddpo_diffusion::dtype::Dtype;
use ddpo_rollout::image::PixelMap;
use ddpo_rollout::reward::RewardExpression;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How states become 8-bit images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pixels {
    /// From [-1, 1], as diffusers' pipelines show a sample.
    #[default]
    Signed,
    /// From [0, 1], as the seed implementation did, which rewards darkness.
    Seed,
}

ddpo_settings::settings! {
    /// What the rewarder alone has.
    pub struct RewarderSettings;
    values {
        /// Learner, as http://host:port (https with TLS); several for standbys
        learners: Vec<String> = vec!["http://127.0.0.1:50053".into()];
        /// Reward: a task, or a sum such as 0.7*aesthetic + 0.3*jpeg compressibility; as the learner's
        reward_task: String = "jpeg compressibility".into();
        /// Rewards that evaluations alone are scored with, as the learner's eval_reward
        eval_rewards: Vec<String> = Vec::new();
        /// signed, or seed: maps images to 8 bits as the seed implementation did
        pixels: Pixels = Pixels::Signed;
        /// logits (as the seed implementation), probability or log-odds; as the learner's
        age_reward: String = "logits".into();
        /// Where the reward's network runs: auto, cpu, cuda or cuda:N
        reward_device: String = "auto".into();
        /// Type that it runs in: f32 or bf16
        reward_dtype: Dtype = Dtype::F32;
        /// Images scored together at most
        max_batch: usize = 32;
        /// How long the first image of a batch waits for others (milliseconds)
        max_wait_ms: u64 = 10;
        /// Trajectories that one sampler may have open or unanswered
        credits_per_sampler: u32 = 16;
        /// Samplers at one time: memory is bounded by this times the credits
        max_samplers: usize = 64;
    }
    optional {
        /// CPU threads to score on; all by default
        reward_threads: usize = 1;
        /// The reward's network: a folder, a Hub name, or toy-ages-32; the task's own by default
        reward_model: String = String::new();
        /// The aesthetic head: a file, or one on the Hub as owner/name/file
        aesthetic_head: String = String::new();
    }
    switches {
        /// Score by the image's mean level instead of the task's model, for tests under load
        fake_reward;
    }
}

impl RewarderSettings {
    /// The batcher's part. Its queue holds every image that credits allow.
    #[must_use]
    pub fn batcher(&self) -> BatcherConfig {
        BatcherConfig {
            max_batch: self.max_batch.max(1),
            max_wait: Duration::from_millis(self.max_wait_ms),
            queue: self.max_samplers.saturating_mul(self.credits_per_sampler as usize),
        }
    }

    /// How states become images.
    #[must_use]
    pub fn pixel_map(&self) -> PixelMap {
        match self.pixels {
            Pixels::Signed => PixelMap::Signed,
            Pixels::Seed => PixelMap::Unit,
        }
    }

    /// The reward.
    ///
    /// # Errors
    /// `reward_task` where it is no expression, or names a reward that there is not.
    pub fn reward(&self) -> Result<RewardExpression> {
        let text = &self.reward_task;
        let told = |error| anyhow!("rewarder.reward_task = {text}: expected {error}");
        let reward: RewardExpression = text.parse().map_err(told)?;
        if !self.fake_reward {
            RewardSource::of(&reward).with_context(|| format!("rewarder.reward_task = {text}"))?;
        }
        Ok(reward)
    }

    /// The rewards that are held out.
    ///
    /// # Errors
    /// `eval_rewards` where one is no expression, or names a reward that there is not.
    pub fn held_out(&self) -> Result<Vec<RewardExpression>> {
        let told = |error| anyhow!("rewarder.eval_rewards: expected {error}");
        let rewards = RewardExpression::list(&self.eval_rewards).map_err(told)?;
        for reward in &rewards {
            RewardSource::of(reward).with_context(|| format!("rewarder.eval_rewards: {reward}"))?;
        }
        Ok(rewards)
    }

    /// Which network scores, and where, and how a reward server is waited for. Sets libtorch's threads.
    ///
    /// # Errors
    /// The setting that names no device or way.
    pub fn reward_options(&self, waiting: Waiting) -> Result<RewardOptions> {
        Ok(RewardOptions {
            model: self.reward_model.clone(),
            aesthetic_head: self.aesthetic_head.clone(),
            age_reward: self.age_reward.parse().context("rewarder")?,
            device: device::parse(&self.reward_device).context("rewarder.reward_device")?,
            kind: self.reward_dtype.kind(),
            threads: device::set_threads(self.reward_threads).context("rewarder.reward_threads")?,
            waiting,
        })
    }
}
