//! Ancestral sampling of a batch (Black et al. 2023, section 3.2; DDIM with eta as in diffusers
//! `schedulers/scheduling_ddim.py`). Records states and log-probabilities.

use crate::states::{noise, rounded, to_bytes, to_wire};
use bytes::Bytes;
use ddpo_diffusion::gaussian;
use ddpo_diffusion::lanes::side_by_side;
use ddpo_diffusion::scheduler::Transitions;
use ddpo_diffusion::transfer::{queue_download, read, upload};
use ddpo_diffusion::unet::UNet;
use ddpo_rollout::chain::{Chain, EpochChain, NeededStates};
use ddpo_rollout::classes::ClassList;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::trajectory::{
    Digest, PolicyVersion, SampleCoordinates, StateDtype, StateShape, Trajectory, TrajectoryError,
    TrajectoryHeader,
};
use ddpo_rollout::window::Window;
use std::panic::resume_unwind;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};
use thiserror::Error;

/// The weights that a trajectory is drawn with.
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
    chain: Option<Chain>,
    classes: Option<ClassList>,
    lanes: usize,
}

/// The steps of one epoch's samples.
struct Steps {
    transitions: Transitions,
    chain: EpochChain,
}

/// Errors of sampling a batch.
#[derive(Debug, Error)]
pub enum SampleError {
    /// The model's prediction is not finite.
    #[error(
        "sampling: sample {sample} of epoch {epoch} is not finite after step {step} (t = {timestep})"
    )]
    NotFinite {
        /// Index of the sample.
        sample: u32,
        /// Epoch of the sample.
        epoch: u32,
        /// Index of the step.
        step: usize,
        /// Timestep of the step.
        timestep: i64,
    },
    /// The parts do not form a valid trajectory.
    #[error("sampling: {0}")]
    Trajectory(#[from] TrajectoryError),
    /// libtorch failed to copy a result.
    #[error("sampling: {0}")]
    Torch(#[from] tch::TchError),
}

/// One state of a batch, passed to an observer as soon as it is computed.
#[derive(Debug)]
pub struct Progress<'a> {
    /// Position of the first state's sample in the batch.
    pub first: usize,
    /// Number of completed steps: 0 for x_T.
    pub step: usize,
    /// Total number of steps.
    pub steps: usize,
    /// The batch's states, in the order of its samples.
    pub states: &'a [Bytes],
}

/// Observes the states of a batch as they are computed, lane by lane.
pub type Observer<'a> = dyn Fn(Progress<'_>) + Sync + 'a;

/// The images that the model predicts for a batch at one step, passed to an observer.
#[derive(Debug)]
pub struct Prediction<'a> {
    /// Position of the first image's sample in the batch.
    pub first: usize,
    /// Index of the step.
    pub step: usize,
    /// The predicted x_0, clipped as the scheduler config says, f32 `[B, C, H, W]`.
    pub images: &'a Tensor,
}

/// Observes the predicted images of a batch, lane by lane.
pub type Predictions<'a> = dyn Fn(Prediction<'_>) + Sync + 'a;

struct Job<'a> {
    purpose: Purpose,
    provenance: Provenance,
    observe: &'a Observer<'a>,
    predictions: Option<&'a Predictions<'a>>,
}

impl Sampler {
    /// Creates a sampler of images of `shape` that takes `transitions` and rounds states to
    /// `dtype`.
    pub fn new(transitions: Transitions, shape: StateShape, dtype: StateDtype) -> Self {
        let timesteps = transitions.timesteps().into();
        Self { transitions, shape, dtype, timesteps, chain: None, classes: None, lanes: 1 }
    }

    /// Draws the chain of a run: random steps in its window only, and only the states kept that its
    /// objective needs. Without it every state is kept.
    #[must_use]
    pub fn with_chain(mut self, window: Option<Window>, needed: NeededStates) -> Self {
        self.chain = Some(self.transitions.chain(window, needed));
        self
    }

    /// Draws samples of `classes`, for a class-conditional model.
    #[must_use]
    pub fn with_classes(self, classes: Option<ClassList>) -> Self {
        Self { classes, ..self }
    }

    /// Returns the steps of the samples of `purpose` and of the epoch of `coordinates`.
    fn steps(&self, purpose: Purpose, coordinates: SampleCoordinates) -> Steps {
        let chain = self.epoch_chain(purpose, coordinates);
        Steps { transitions: self.transitions.of_epoch(&chain), chain }
    }

    fn epoch_chain(&self, purpose: Purpose, coordinates: SampleCoordinates) -> EpochChain {
        let SampleCoordinates { run_seed, epoch, .. } = coordinates;
        match &self.chain {
            Some(chain) => chain.of(purpose, run_seed, epoch),
            None => EpochChain {
                digest: self.transitions.digest(),
                random_steps: self.transitions.random_steps().into(),
                kept_states: TrajectoryHeader::all_states(self.timesteps.len()),
            },
        }
    }

    /// Splits every batch into `lanes` parts that are denoised in parallel, one thread each. Faster
    /// for narrow models, whose operations are too small to share between threads.
    #[must_use]
    pub fn with_lanes(mut self, lanes: usize) -> Self {
        self.lanes = lanes.max(1);
        self
    }

    /// Returns the steps of a trajectory.
    pub fn transitions(&self) -> &Transitions {
        &self.transitions
    }

    /// Returns the shape of the states.
    pub fn shape(&self) -> StateShape {
        self.shape
    }

    /// Returns the header of one sample's trajectory.
    pub fn header(
        &self,
        coordinates: SampleCoordinates,
        purpose: Purpose,
        provenance: Provenance,
    ) -> TrajectoryHeader {
        self.header_in(&self.epoch_chain(purpose, coordinates), coordinates, purpose, provenance)
    }

    fn header_in(
        &self,
        chain: &EpochChain,
        coordinates: SampleCoordinates,
        purpose: Purpose,
        provenance: Provenance,
    ) -> TrajectoryHeader {
        TrajectoryHeader {
            coordinates,
            purpose,
            policy_version: provenance.policy_version,
            weights_digest: provenance.weights_digest,
            scheduler_digest: chain.digest,
            dtype: self.dtype,
            shape: self.shape,
            timesteps: Arc::clone(&self.timesteps),
            random_steps: Arc::clone(&chain.random_steps),
            kept_states: Arc::clone(&chain.kept_states),
        }
    }

    /// Denoises one trajectory for each of `samples`, all of one epoch, as one batch, with the weights of
    /// `unet`.
    /// A sample's noise and its class depend on its coordinates and `purpose` alone.
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

    /// Does the same as [`Sampler::generate`], with bit-identical results, and passes the model's
    /// prediction at each step to an observer.
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
            chain: self.chain.clone(),
            classes: self.classes.clone(),
            lanes: 1,
        }
    }

    /// Denoises the part of a batch that begins at sample `first`.
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
        let Steps { transitions, chain } = self.steps(purpose, samples[0]);
        let steps = self.timesteps.len();
        let draw = |step: usize| noise(samples, purpose, step as u32, self.shape, device);
        let all_steps: Vec<usize> = (0..steps).collect();
        let timesteps = transitions.timestep_tensor(&all_steps);
        let labels = self.labels(samples, purpose, device);
        let mut state = rounded(&draw(0), self.dtype);
        let mut states = vec![Vec::with_capacity(chain.kept_states.len()); samples.len()];
        let mut log_probs = vec![Vec::with_capacity(chain.random_steps.len()); samples.len()];
        let keeps = |step: usize| chain.kept_states.binary_search(&step).is_ok();
        let show = |step, states: &[Bytes]| {
            observe(Progress { first, step, steps, states });
        };
        let mut on_their_way = vec![self.queue(0, &state)];
        let mut arrived = Vec::new();
        for step in 0..steps {
            let rows = vec![step; samples.len()];
            let timestep = timesteps.narrow(0, step as i64, 1).expand([rows.len() as i64], false);
            let output = unet.forward(&state, &timestep, labels.as_ref());
            // The host works while the device runs the forward pass.
            record(arrived.drain(..), &mut states, &keeps, &show);
            if let Some(show) = predictions {
                let images = &transitions.predicted_image(&state, &output, &rows);
                show(Prediction { first, step, images });
            }
            let random = transitions.coefficients()[step].sigma > 0.0;
            let density = if random {
                let taken = transitions.step(&state, &output, &rows, &draw(step + 1));
                state = rounded(&taken.sample, self.dtype);
                Some(gaussian::log_prob(&state, &taken.mean, &taken.sigma))
            } else {
                let (mean, _) = transitions.mean_and_sigma(&state, &output, &rows);
                state = rounded(&mean, self.dtype);
                None
            };
            on_their_way.push(self.queue(step + 1, &state));
            // The only wait for the device in a step: work queued before is complete afterwards.
            let sums = state.flatten(1, -1).sum_dim_intlist(1, false, Kind::Double);
            let small: Vec<&Tensor> = std::iter::once(&sums).chain(&density).collect();
            let values = read(&small)?;
            arrived.append(&mut on_their_way);
            let (sums, densities) = values.split_at(samples.len());
            self.check_finite(sums, samples, step)?;
            for (list, &density) in log_probs.iter_mut().zip(densities) {
                list.push(density as f32);
            }
        }
        record(arrived.drain(..), &mut states, &keeps, &show);
        self.assemble(&chain, samples, purpose, provenance, states, log_probs)
    }

    /// Returns the classes of `samples`, i64 `[B]` on `device`; `None` for a model without classes.
    fn labels(
        &self,
        samples: &[SampleCoordinates],
        purpose: Purpose,
        device: Device,
    ) -> Option<Tensor> {
        let classes = self.classes.as_ref()?;
        let label = |&sample: &SampleCoordinates| i64::from(classes.of(purpose, sample));
        let labels: Vec<i64> = samples.iter().map(label).collect();
        Some(upload(&labels, &[labels.len() as i64], device))
    }

    /// Queues a copy of the state before `step` to the host.
    fn queue(&self, step: usize, state: &Tensor) -> Queued {
        Queued { step, state: queue_download(&to_wire(state, self.dtype)), dtype: self.dtype }
    }

    /// Checks a state by the f64 sum of each sample. A sum of f32 values cannot overflow f64, so it
    /// is finite if and only if all values are.
    fn check_finite(
        &self,
        sums: &[f64],
        samples: &[SampleCoordinates],
        step: usize,
    ) -> Result<(), SampleError> {
        match samples.iter().zip(sums).find(|(_, sum)| !sum.is_finite()) {
            None => Ok(()),
            Some((&SampleCoordinates { sample, epoch, .. }, _)) => {
                let timestep = self.timesteps[step];
                Err(SampleError::NotFinite { sample, epoch, step, timestep })
            }
        }
    }

    fn assemble(
        &self,
        chain: &EpochChain,
        samples: &[SampleCoordinates],
        purpose: Purpose,
        provenance: Provenance,
        states: Vec<Vec<Bytes>>,
        log_probs: Vec<Vec<f32>>,
    ) -> Result<Vec<Trajectory>, SampleError> {
        let parts = samples.iter().zip(states).zip(log_probs);
        parts
            .map(|((&coordinates, states), log_probs)| {
                let header = self.header_in(chain, coordinates, purpose, provenance);
                Ok(Trajectory::new(header, states, log_probs)?)
            })
            .collect()
    }
}

/// A state whose copy to the host is queued.
struct Queued {
    step: usize,
    state: Tensor,
    dtype: StateDtype,
}

/// Shows states that have arrived, and appends the kept ones to each sample's list.
fn record(
    arrived: impl Iterator<Item = Queued>,
    states: &mut [Vec<Bytes>],
    keeps: &dyn Fn(usize) -> bool,
    show: &dyn Fn(usize, &[Bytes]),
) {
    for Queued { step, state, dtype } in arrived {
        let bytes = to_bytes(&state, dtype);
        show(step, &bytes);
        if keeps(step) {
            states.iter_mut().zip(bytes).for_each(|(states, bytes)| states.push(bytes));
        }
    }
}
