//! The table `[rewarder]`.

use crate::service::batcher::BatcherConfig;
use anyhow::{Context, Result};
use ddpo_diffusion::device;
use ddpo_rewards::RewardRuntime;
use ddpo_rewards::external::waiting::Waiting;
use ddpo_rollout::numerics::Numerics;
use ddpo_settings::Range;
use std::time::Duration;

ddpo_settings::settings! {
    /// Settings of the rewarder. The reward comes from the learner.
    pub struct RewarderSettings;
    values {
        /// Learner, as http://host:port (https with TLS); list several for standbys
        learners: Vec<String> = vec!["http://127.0.0.1:50053".into()];
        /// Device for reward networks: auto, cpu, cuda or cuda:N
        reward_device: String = "auto".into();
        /// Largest number of images scored together
        max_batch: usize = 32;
        /// Longest time that the first image of a batch waits for others (milliseconds)
        max_wait_ms: u64 = 10;
        /// Longest time for a reward server to score one batch (seconds)
        reward_deadline_seconds: f64 = 30.0;
        /// Trajectories that one sampler may have open or unanswered
        credits_per_sampler: u32 = 16;
        /// Largest number of connected samplers; memory is bounded by this times the credits
        max_samplers: usize = 64;
    }
    optional {
        /// CPU threads to score on (default: all)
        reward_threads: usize = 1;
    }
    moved {
        reward_task = "set task or reward at the learner, which sends the reward to rewarders";
        eval_rewards = "set eval_reward at the learner, which sends the reward to rewarders";
        pixels = "set upstream_compat at the learner, which sends the reward to rewarders";
        age_reward = "set age_reward at the learner, which sends the reward to rewarders";
        reward_model = "set reward_model at the learner, which sends the reward to rewarders";
        aesthetic_head = "set aesthetic_head at the learner, which sends the reward to rewarders";
        reward_dtype = "set reward_dtype at the learner, which sends the reward to rewarders";
    }
    ranges {
        max_batch = Range::Whole(1, 65_536);
        max_wait_ms = Range::Whole(0, 60_000);
        credits_per_sampler = Range::Whole(1, 1024);
        max_samplers = Range::Whole(1, 1024);
        reward_threads = Range::Whole(1, 1024);
        reward_deadline_seconds = Range::AboveTo(0.0, 86_400.0);
    }
}

impl RewarderSettings {
    /// Returns the batcher's settings. The queue holds every image that credits allow.
    pub fn batcher(&self) -> BatcherConfig {
        BatcherConfig {
            max_batch: self.max_batch.max(1),
            max_wait: Duration::from_millis(self.max_wait_ms),
            queue: self.max_samplers.saturating_mul(self.credits_per_sampler as usize),
        }
    }

    /// Returns the longest time for a reward server to score one batch.
    ///
    /// # Errors
    /// `reward_deadline_seconds` is not a positive number of seconds.
    pub fn reward_deadline(&self) -> Result<Duration> {
        let seconds = self.reward_deadline_seconds;
        Duration::try_from_secs_f64(seconds).ok().filter(|limit| !limit.is_zero()).with_context(
            || {
                format!(
                    "rewarder.reward_deadline_seconds = {seconds}: expected seconds, more than 0"
                )
            },
        )
    }

    /// Returns where reward models run, and sets libtorch's thread count.
    ///
    /// # Errors
    /// `reward_device` or `reward_threads` is invalid.
    pub fn runtime(&self, waiting: Waiting) -> Result<RewardRuntime> {
        // The reward specification selects the run's numerics.
        let device = device::open(&self.reward_device, Numerics::default())
            .context("rewarder.reward_device")?;
        tracing::info!(device = device::describe(&self.reward_device, device), "opened the device");
        Ok(RewardRuntime {
            device,
            threads: device::set_threads(self.reward_threads).context("rewarder.reward_threads")?,
            waiting,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpo_settings::numbers::incomplete;

    #[test]
    fn every_number_has_a_range() {
        assert_eq!(incomplete::<RewarderSettings>(), Vec::<String>::new());
    }

    #[test]
    fn a_deadline_is_a_positive_number_of_seconds() {
        let limit = |reward_deadline_seconds| {
            RewarderSettings { reward_deadline_seconds, ..RewarderSettings::default() }
                .reward_deadline()
        };
        assert_eq!(limit(90.5).unwrap(), Duration::from_millis(90_500));
        assert_eq!(RewarderSettings::default().reward_deadline().unwrap(), Duration::from_secs(30));
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let found = limit(wrong).unwrap_err().to_string();
            assert!(found.ends_with("expected seconds, more than 0"), "{found}");
        }
    }
}
