//! The expected result: the run without faults, computed in one process.

use ddpo_doubles::SCHEDULER;
use ddpo_doubles::counting::{CountingState, weights_digest};
use ddpo_doubles::mean_level::MeanLevel;
use ddpo_doubles::noise_backend::NoiseBackend;
use ddpo_rewards::RewardModel;
use ddpo_rollout::image::{PixelMap, RgbImage};
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::{Track, WeightsId};
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{Digest, PolicyVersion, SampleCoordinates};
use ddpo_sampler::backend::{Backend, ReceivedWeights};
use ddpo_sampler::engine::Provenance;
use std::time::Duration;

/// The seed of the run's noise.
pub const RUN_SEED: u64 = 7;

/// Draws and scores samples like sampler and rewarder.
#[derive(Debug)]
pub struct Undisturbed {
    backend: NoiseBackend,
}

impl Default for Undisturbed {
    fn default() -> Self {
        Self { backend: NoiseBackend::new(Duration::ZERO, Digest::of(SCHEDULER)) }
    }
}

impl Undisturbed {
    /// Returns the scored trajectories of `samples` of an epoch.
    ///
    /// # Panics
    /// If the test doubles fail.
    pub fn draw(&mut self, epoch: u32, samples: &[u32]) -> Vec<ScoredTrajectory> {
        let version = PolicyVersion(u64::from(epoch));
        let (id, digest) = (WeightsId { version, track: Track::Policy }, weights_digest(version));
        let weights = ReceivedWeights { id, digest, tensors: Vec::new() };
        self.backend.load(&weights).expect("the double accepts any weights");
        let coordinates = |&sample: &u32| SampleCoordinates { run_seed: RUN_SEED, epoch, sample };
        let samples: Vec<SampleCoordinates> = samples.iter().map(coordinates).collect();
        let provenance = Provenance { policy_version: version, weights_digest: digest };
        let drawn = self.backend.generate(&samples, Purpose::Rollout, provenance, &|_| {});
        let scored = drawn.expect("the double draws").into_iter().map(|trajectory| {
            let shape = trajectory.header().shape;
            let shape = (shape.channels, shape.height, shape.width);
            let image = RgbImage::from_state(&trajectory.final_state(), shape, PixelMap::Signed);
            let image = image.expect("the double draws images");
            let score = MeanLevel.score(&[image]).expect("any image has a mean").remove(0);
            ScoredTrajectory { trajectory, score }
        });
        scored.collect()
    }

    /// Returns the content of `fake.json` after `epochs` epochs of `samples` samples.
    pub fn run(&mut self, epochs: u32, samples: u32) -> CountingState {
        let all: Vec<u32> = (0..samples).collect();
        let mut digest = Digest([0; 32]);
        for epoch in 0..epochs {
            let mut bytes = digest.0.to_vec();
            for (sample, scored) in (0..samples).zip(self.draw(epoch, &all)) {
                bytes.extend(epoch.to_le_bytes());
                bytes.extend(sample.to_le_bytes());
                bytes.extend(scored.score.reward.to_le_bytes());
            }
            digest = Digest::of(&bytes);
        }
        CountingState { epoch: epochs, trained: u64::from(epochs) * u64::from(samples), digest }
    }
}
