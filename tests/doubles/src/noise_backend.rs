//! A backend without a model: returns small states of keyed noise after a given time.

use bytes::Bytes;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::WeightsId;
use ddpo_rollout::trajectory::{
    Digest, SampleCoordinates, StateDtype, StateShape, Trajectory, TrajectoryHeader,
};
use ddpo_sampler::backend::{Backend, BackendError, ReceivedWeights};
use ddpo_sampler::engine::{Observer, Progress, Provenance, SampleError};
use std::sync::Arc;
use std::time::Duration;

/// The shape of the states.
const SHAPE: StateShape = StateShape { channels: 3, height: 8, width: 8 };

/// The number of denoising steps T.
const STEPS: usize = 4;

/// Draws keyed noise: equal samples have equal states in any batch and in any process.
#[derive(Debug)]
pub struct NoiseBackend {
    latency: Duration,
    scheduler_digest: Digest,
    timesteps: Arc<[i64]>,
    random_steps: Arc<[usize]>,
    loaded: Option<(WeightsId, Digest)>,
}

impl NoiseBackend {
    /// Makes a backend whose batches take `latency`, spread over their steps, and whose headers carry the
    /// run's `scheduler_digest`.
    pub fn new(latency: Duration, scheduler_digest: Digest) -> Self {
        Self {
            latency,
            scheduler_digest,
            timesteps: (0..STEPS as i64).rev().collect(),
            random_steps: (0..STEPS - 1).collect(),
            loaded: None,
        }
    }
}

fn state(sample: SampleCoordinates, purpose: Purpose, step: usize) -> Bytes {
    let mut values = [0.0; SHAPE.channels * SHAPE.height * SHAPE.width];
    sample.noise(purpose, step as u32).fill_uniform(&mut values);
    values.iter().flat_map(|value| (value * 2.0 - 1.0).to_le_bytes()).collect()
}

impl Backend for NoiseBackend {
    fn load(&mut self, weights: &ReceivedWeights) -> Result<(), BackendError> {
        self.loaded = Some((weights.id, weights.digest));
        Ok(())
    }

    fn loaded(&self) -> Option<(WeightsId, Digest)> {
        self.loaded
    }

    fn header(
        &self,
        coordinates: SampleCoordinates,
        purpose: Purpose,
        provenance: Provenance,
    ) -> TrajectoryHeader {
        TrajectoryHeader {
            coordinates,
            purpose,
            policy_version: provenance.policy_version,
            weights_digest: provenance.weights_digest,
            scheduler_digest: self.scheduler_digest,
            dtype: StateDtype::F32,
            shape: SHAPE,
            timesteps: Arc::clone(&self.timesteps),
            random_steps: Arc::clone(&self.random_steps),
            kept_states: TrajectoryHeader::all_states(STEPS),
        }
    }

    fn generate(
        &mut self,
        samples: &[SampleCoordinates],
        purpose: Purpose,
        provenance: Provenance,
        observe: &Observer<'_>,
    ) -> Result<Vec<Trajectory>, BackendError> {
        if self.loaded.is_none() {
            return Err(BackendError::NoWeights);
        }
        let mut states = vec![Vec::with_capacity(STEPS + 1); samples.len()];
        for step in 0..=STEPS {
            std::thread::sleep(self.latency / (STEPS as u32 + 1));
            let made: Vec<Bytes> =
                samples.iter().map(|&sample| state(sample, purpose, step)).collect();
            observe(Progress { first: 0, step, steps: STEPS, states: &made });
            states.iter_mut().zip(made).for_each(|(states, state)| states.push(state));
        }
        let trajectories = samples.iter().zip(states).map(|(&sample, states)| {
            let header = self.header(sample, purpose, provenance);
            let log_probs = vec![-1.0; header.random_steps.len()];
            Trajectory::new(header, states, log_probs).map_err(SampleError::from)
        });
        Ok(trajectories.collect::<Result<_, _>>()?)
    }
}
