//! The table `[sampler]`.

use crate::fake::FakeConfig;
use ddpo_rollout::trajectory::StateShape;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What draws trajectories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendKind {
    /// The model that the learner publishes.
    #[default]
    Model,
    /// A stand-in without a model, for tests under load.
    Fake,
}

ddpo_settings::settings! {
    /// What the sampler alone has.
    pub struct SamplerSettings;
    values {
        /// Rewarders, as http://host:port (https with TLS); one at a time, the next when it fails
        rewarders: Vec<String> = vec!["http://127.0.0.1:50052".into()];
        /// Device to draw on: auto, cpu, cuda or cuda:N
        sampler_device: String = "auto".into();
        /// Batches that may be in the making or without receipts: bounds the memory
        batches_in_flight: usize = 2;
        /// A worker silent for this long loses its order to another (seconds)
        claim_after_seconds: f64 = 3.0;
        /// model, or fake: a stand-in without a model, for tests under load
        backend: BackendKind = BackendKind::Model;
        /// Time that a batch of the stand-in takes (milliseconds)
        fake_latency_ms: u64 = 5;
        /// Side of the stand-in's images in pixels
        fake_side: usize = 8;
        /// Denoising steps of the stand-in
        fake_steps: usize = 4;
        /// Share of the stand-in's batches that fail
        fake_failure_rate: f64 = 0.0;
    }
    optional {
        /// CPU threads to draw on; all by default
        sampler_threads: usize = 1;
    }
}

impl SamplerSettings {
    /// The stand-in's settings.
    #[must_use]
    pub fn fake(&self) -> FakeConfig {
        let (height, width) = (self.fake_side, self.fake_side);
        FakeConfig {
            latency: Duration::from_millis(self.fake_latency_ms),
            shape: StateShape { channels: 3, height, width },
            steps: self.fake_steps,
            failure_rate: self.fake_failure_rate,
        }
    }
}
