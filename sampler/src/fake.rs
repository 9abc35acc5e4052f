//! A backend without a model: small states of keyed noise, after a settable time, sometimes none. For
//! tests of the whole way under load and with faults, at speed.

use crate::backend::{Backend, BackendError, ReceivedWeights};
use crate::engine::{Observer, Progress, Provenance, SampleError};
use bytes::Bytes;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::WeightsId;
use ddpo_rollout::trajectory::{
    Digest, SampleCoordinates, StateDtype, StateShape, Trajectory, TrajectoryHeader,
};
use std::sync::Arc;
use std::time::Duration;

/// The settings of the stand-in.
#[derive(Clone, Debug, PartialEq)]
pub struct FakeConfig {
    /// Time that a batch takes, spread over its steps.
    pub latency: Duration,
    /// Shape of a state.
    pub shape: StateShape,
    /// Steps T.
    pub steps: usize,
    /// Share of batches that fail, in [0, 1].
    pub failure_rate: f64,
}

impl Default for FakeConfig {
    fn default() -> Self {
        let shape = StateShape { channels: 3, height: 8, width: 8 };
        Self { latency: Duration::from_millis(5), shape, steps: 4, failure_rate: 0.0 }
    }
}

/// The stand-in.
#[derive(Debug)]
pub struct FakeBackend {
    config: FakeConfig,
    scheduler_digest: Digest,
    timesteps: Arc<[i64]>,
    random_steps: Arc<[usize]>,
    loaded: Option<(WeightsId, Digest)>,
    batches: u64,
}

impl FakeBackend {
    /// A stand-in whose headers carry the run's `scheduler_digest`.
    #[must_use]
    pub fn new(config: FakeConfig, scheduler_digest: Digest) -> Self {
        let steps = config.steps;
        Self {
            timesteps: (0..steps).rev().map(|step| step as i64).collect(),
            random_steps: (0..steps.saturating_sub(1)).collect(),
            config,
            scheduler_digest,
            loaded: None,
            batches: 0,
        }
    }

    /// Whether this batch is one of those that fail: spread evenly, the same in every run.
    fn fails(&mut self) -> bool {
        let before = (self.batches as f64 * self.config.failure_rate).floor();
        self.batches += 1;
        (self.batches as f64 * self.config.failure_rate).floor() > before
    }

    fn state(&self, sample: SampleCoordinates, purpose: Purpose, step: usize) -> Bytes {
        let mut values = vec![0.0; self.config.shape.elements()];
        sample.noise(purpose, step as u32).fill_uniform(&mut values);
        values.iter().flat_map(|value| (value * 2.0 - 1.0).to_le_bytes()).collect()
    }
}

impl Backend for FakeBackend {
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
            shape: self.config.shape,
            timesteps: Arc::clone(&self.timesteps),
            random_steps: Arc::clone(&self.random_steps),
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
        let fails = self.fails();
        let steps = self.config.steps;
        let mut states = vec![Vec::with_capacity(steps + 1); samples.len()];
        for step in 0..=steps {
            std::thread::sleep(self.config.latency / (steps as u32 + 1));
            if fails && step == steps / 2 {
                return Err(BackendError::Asked);
            }
            let made: Vec<Bytes> =
                samples.iter().map(|&sample| self.state(sample, purpose, step)).collect();
            observe(Progress { first: 0, step, steps, states: &made });
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
