//! The table `[rewarder]`.

use crate::learned::RewardOptions;
use crate::service::batcher::BatcherConfig;
use anyhow::{Context, Result, bail};
use ddpo_diffusion::device;
use ddpo_rollout::image::PixelMap;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tch::Kind;

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

ddpo_service::settings! {
    /// What the rewarder alone has.
    pub struct RewarderSettings;
    values {
        /// Learner, as http://host:port (https with TLS); several for standbys
        learners: Vec<String> = vec!["http://127.0.0.1:50053".into()];
        /// Task to score for, as the learner's
        reward_task: String = "jpeg compressibility".into();
        /// signed, or seed: maps images to 8 bits as the seed implementation did
        pixels: Pixels = Pixels::Signed;
        /// logits (as the seed implementation), probability or log-odds; as the learner's
        age_reward: String = "logits".into();
        /// Where the reward's network runs: auto, cpu, cuda or cuda:N
        reward_device: String = "auto".into();
        /// Type that it runs in: f32 or bf16
        reward_dtype: String = "f32".into();
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
        /// The reward's network: a folder or a Hub name; the task's own by default
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

    /// Which network scores, and where. Sets libtorch's threads.
    ///
    /// # Errors
    /// The setting that names no device, type or way.
    pub fn reward_options(&self) -> Result<RewardOptions> {
        let kind = match self.reward_dtype.as_str() {
            "f32" => Kind::Float,
            "bf16" => Kind::BFloat16,
            other => bail!("rewarder.reward_dtype = {other}: expected f32 or bf16"),
        };
        Ok(RewardOptions {
            model: self.reward_model.clone(),
            aesthetic_head: self.aesthetic_head.clone(),
            age_reward: self.age_reward.parse().context("rewarder")?,
            device: device::parse(&self.reward_device).context("rewarder.reward_device")?,
            kind,
            threads: device::set_threads(self.reward_threads).context("rewarder.reward_threads")?,
        })
    }
}
