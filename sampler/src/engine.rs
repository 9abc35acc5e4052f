//! Ancestral sampling of a batch (Black et al. 2023, section 3.2; DDIM with eta as diffusers
//! `schedulers/scheduling_ddim.py`), recording states and log-probabilities on the way.

use crate::states::{noise, rounded, to_bytes};
use bytes::Bytes;
use ddpo_diffusion::gaussian;
use ddpo_diffusion::lanes::side_by_side;
use ddpo_diffusion::scheduler::Transitions;
use ddpo_diffusion::unet::UNet;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::trajectory::{
    Digest, PolicyVersion, SampleCoordinates, StateDtype, StateShape, Trajectory, TrajectoryError,
    TrajectoryHeader,
};
use std::panic::resume_unwind;
use std::sync::Arc;
use tch::{Kind, Tensor};
use thiserror::Error;

/// Which weights a trajectory is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Version of the weights.
    pub policy_version: PolicyVersion,
    /// Digest of the weights.
    pub weights_digest: Digest,
}

/// The engine's fixed settings.
#[derive(Debug)]
pub struct Sampler {
    transitions: Transitions,
    shape: StateShape,
    dtype: StateDtype,
    timesteps: Arc<[i64]>,
    random_steps: Arc<[usize]>,
    lanes: usize,
}

/// Why sampling failed.
#[derive(Debug, Error)]
pub enum SampleError {
    /// The model predicted something that is not finite.
    #[error(
        "sampling: sample {sample} of epoch {epoch} is not finite after step {step} (t = {timestep})"
    )]
    NotFinite {
        /// Index of the sample.
        sample: u32,
        /// Its epoch.
        epoch: u32,
        /// Index of the step.
        step: usize,
        /// Timestep of the step.
        timestep: i64,
    },
    /// The parts do not make a trajectory.
    #[error("sampling: {0}")]
    Trajectory(#[from] TrajectoryError),
    /// libtorch failed to copy a result.
    #[error("sampling: {0}")]
    Torch(#[from] tch::TchError),
}

/// One state of a batch as it is made, for those who watch.
#[derive(Debug)]
pub struct Progress<'a> {
    /// Position of the first state's sample in the batch.
    pub first: usize,
    /// Steps done: 0 for x_T.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// The batch's states, in the order of its samples.
    pub states: &'a [Bytes],
}

/// Sees the states of a batch as they are made, lane by lane.
pub type Observer<'a> = dyn Fn(Progress<'_>) + Sync + 'a;

/// The images that the model predicts for a batch at one step, for those who want to know what
/// becomes of them on the way.
#[derive(Debug)]
pub struct Prediction<'a> {
    /// Position of the first image's sample in the batch.
    pub first: usize,
    /// Index of the step.
    pub step: usize,
    /// The predicted x_0, clipped as the scheduler has it, f32 `[B, C, H, W]`.
    pub images: &'a Tensor,
}

/// Sees the predicted images of a batch, lane by lane.
pub type Predictions<'a> = dyn Fn(Prediction<'_>) + Sync + 'a;

struct Job<'a> {
    purpose: Purpose,
    provenance: Provenance,
    observe: &'a Observer<'a>,
    predictions: Option<&'a Predictions<'a>>,
}

impl Sampler {
    /// A sampler of images of `shape`, taking `transitions`, rounding states to `dtype`.
    #[must_use]
    pub fn new(transitions: Transitions, shape: StateShape, dtype: StateDtype) -> Self {
        let timesteps = transitions.timesteps().into();
        let random_steps = transitions.random_steps().into();
        Self { transitions, shape, dtype, timesteps, random_steps, lanes: 1 }
    }

    /// Cuts every batch into `lanes` parts that are denoised side by side, each on one thread: for
    /// narrow models faster than one part on all threads, whose operations are too small to share.
    #[must_use]
    pub fn with_lanes(mut self, lanes: usize) -> Self {
        self.lanes = lanes.max(1);
        self
    }

    /// The steps that it takes.
    #[must_use]
    pub fn transitions(&self) -> &Transitions {
        &self.transitions
    }

    /// Shape of the states.
    #[must_use]
    pub fn shape(&self) -> StateShape {
        self.shape
    }

    /// The header of the trajectory of one sample.
    #[must_use]
    pub fn header(
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
            scheduler_digest: self.transitions.digest(),
            dtype: self.dtype,
            shape: self.shape,
            timesteps: Arc::clone(&self.timesteps),
            random_steps: Arc::clone(&self.random_steps),
        }
    }

    /// Denoises one trajectory for each of `samples`, as one batch, with the weights of `unet`.
    /// A sample's noise depends on its coordinates and `purpose` alone.
    ///
    /// # Errors
    /// [`SampleError::NotFinite`] names the first sample and step whose state is not finite.
    pub fn generate(
        &self,
        unet: &UNet,
        samples: &[SampleCoordinates],
        purpose: Purpose,
        provenance: Provenance,
        observe: &Observer<'_>,
    ) -> Result<Vec<Trajectory>, SampleError> {
        self.run(unet, samples, &Job { purpose, provenance, observe, predictions: None })
    }

    /// [`Sampler::generate`], to the same bits, with a look at what the model predicts at each step.
    ///
    /// # Errors
    /// As [`Sampler::generate`].
    pub fn generate_with_predictions(
        &self,
        unet: &UNet,
        samples: &[SampleCoordinates],
        purpose: Purpose,
        provenance: Provenance,
        predictions: &Predictions<'_>,
    ) -> Result<Vec<Trajectory>, SampleError> {
        let predictions = Some(predictions);
        self.run(unet, samples, &Job { purpose, provenance, observe: &|_| {}, predictions })
    }

    fn run(
        &self,
        unet: &UNet,
        samples: &[SampleCoordinates],
        job: &Job<'_>,
    ) -> Result<Vec<Trajectory>, SampleError> {
        if samples.is_empty() {
            return Ok(Vec::new());
        }
        if self.lanes == 1 || samples.len() == 1 {
            return self.denoise(unet, samples, 0, job);
        }
        let each = samples.len().div_ceil(self.lanes);
        let parts = samples.chunks(each).enumerate();
        let parts = parts.map(|(lane, part)| (self.shared(), unet.shared(), lane * each, part));
        let results = side_by_side(parts, |(sampler, unet, first, part)| {
            sampler.denoise(&unet, part, first, job)
        });
        let parts =
            results.into_iter().map(|part| part.unwrap_or_else(|cause| resume_unwind(cause)));
        Ok(parts.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    fn shared(&self) -> Self {
        Self {
            transitions: self.transitions.shared(),
            shape: self.shape,
            dtype: self.dtype,
            timesteps: Arc::clone(&self.timesteps),
            random_steps: Arc::clone(&self.random_steps),
            lanes: 1,
        }
    }

    /// Denoises a part of a batch whose first sample is number `first`.
    fn denoise(
        &self,
        unet: &UNet,
        samples: &[SampleCoordinates],
        first: usize,
        job: &Job<'_>,
    ) -> Result<Vec<Trajectory>, SampleError> {
        let Job { purpose, provenance, observe, predictions } = *job;
        let _guard = tch::no_grad_guard();
        let device = unet.parameters().device();
        let steps = self.timesteps.len();
        let draw = |step: usize| noise(samples, purpose, step as u32, self.shape, device);
        let mut state = rounded(&draw(0), self.dtype);
        let mut states = vec![Vec::with_capacity(steps + 1); samples.len()];
        let mut log_probs = vec![Vec::with_capacity(steps); samples.len()];
        let show = |step, states: &[Bytes]| {
            observe(Progress { first, step, steps, states });
        };
        self.record(&state, 0, &mut states, &show);
        for step in 0..steps {
            let rows = vec![step; samples.len()];
            let output = unet.forward(&state, &self.transitions.timestep_tensor(&rows));
            if let Some(show) = predictions {
                let images = &self.transitions.predicted_image(&state, &output, &rows);
                show(Prediction { first, step, images });
            }
            let random = self.transitions.coefficients()[step].sigma > 0.0;
            state = if random {
                let taken = self.transitions.step(&state, &output, &rows, &draw(step + 1));
                let next = rounded(&taken.sample, self.dtype);
                let density = gaussian::log_prob(&next, &taken.mean, &taken.sigma);
                collect(&density, &mut log_probs)?;
                next
            } else {
                let (mean, _) = self.transitions.mean_and_sigma(&state, &output, &rows);
                rounded(&mean, self.dtype)
            };
            self.check_finite(&state, samples, step)?;
            self.record(&state, step + 1, &mut states, &show);
        }
        self.assemble(samples, purpose, provenance, states, log_probs)
    }

    fn record(
        &self,
        state: &Tensor,
        step: usize,
        states: &mut [Vec<Bytes>],
        show: &dyn Fn(usize, &[Bytes]),
    ) {
        let bytes = to_bytes(state, self.dtype);
        show(step, &bytes);
        states.iter_mut().zip(bytes).for_each(|(states, bytes)| states.push(bytes));
    }

    fn check_finite(
        &self,
        state: &Tensor,
        samples: &[SampleCoordinates],
        step: usize,
    ) -> Result<(), SampleError> {
        // The sum of a batch is finite if all its values are, unless it overflows; only then are
        // the samples looked at one by one.
        if state.sum(Kind::Double).double_value(&[]).is_finite() {
            return Ok(());
        }
        for (index, coordinates) in samples.iter().enumerate() {
            let finite = state.get(index as i64).isfinite().all();
            if finite.int64_value(&[]) == 0 {
                let (sample, epoch) = (coordinates.sample, coordinates.epoch);
                let timestep = self.timesteps[step];
                return Err(SampleError::NotFinite { sample, epoch, step, timestep });
            }
        }
        Ok(())
    }

    fn assemble(
        &self,
        samples: &[SampleCoordinates],
        purpose: Purpose,
        provenance: Provenance,
        states: Vec<Vec<Bytes>>,
        log_probs: Vec<Vec<f32>>,
    ) -> Result<Vec<Trajectory>, SampleError> {
        let parts = samples.iter().zip(states).zip(log_probs);
        parts
            .map(|((&coordinates, states), log_probs)| {
                let header = self.header(coordinates, purpose, provenance);
                Ok(Trajectory::new(header, states, log_probs)?)
            })
            .collect()
    }
}

/// Appends one log-probability to each sample's list.
fn collect(density: &Tensor, log_probs: &mut [Vec<f32>]) -> Result<(), tch::TchError> {
    let values = Vec::<f32>::try_from(density)?;
    log_probs.iter_mut().zip(values).for_each(|(list, value)| list.push(value));
    Ok(())
}
