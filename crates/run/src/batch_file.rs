//! Trajectories as a safetensors file, to inspect, to compare, and to train on again:
//! `states` f32 `[N, T + 1, C, H, W]` with x_T first, `log_probs` f32 `[N, K]` for the K random
//! steps, `timesteps` i64 `[T]`, `sigmas` f32 `[T]`, and `rewards` f32 `[N]` of scored trajectories.

use ddpo_checkpoint::{TensorFile, TensorFileError, WriteError, write_tensors};
use ddpo_diffusion::scheduler::Transitions;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::score::{Score, ScoredTrajectory};
use ddpo_rollout::trajectory::{
    Digest, PolicyVersion, SampleCoordinates, StateDtype, StateShape, Trajectory, TrajectoryError,
    TrajectoryHeader, decode,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::{Kind, TchError, Tensor};
use thiserror::Error;

/// Errors from reading a batch file.
#[derive(Debug, Error)]
pub enum BatchFileError {
    /// The file cannot be read as tensors.
    #[error("batch file: {0}")]
    Tensors(#[from] TensorFileError),
    /// A tensor is absent.
    #[error("batch file {}: no tensor `{name}`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: &'static str,
    },
    /// A tensor's shape contradicts the other tensors.
    #[error("batch file {}: `{name}` has shape {found:?}, expected {expected}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: &'static str,
        /// The shape that follows from the other tensors.
        expected: String,
        /// The tensor's shape.
        found: Vec<i64>,
    },
    /// The file was sampled with other timesteps.
    #[error(
        "batch file {}: timesteps: expected the scheduler's {expected:?}, found {found:?}; \
         hint: use a checkpoint whose scheduler has the timesteps of the file",
        path.display()
    )]
    Timesteps {
        /// The file.
        path: PathBuf,
        /// The scheduler's.
        expected: Vec<i64>,
        /// The file's.
        found: Vec<i64>,
    },
    /// The tensors do not form a valid trajectory.
    #[error("batch file: sample {sample}: {error}")]
    Trajectory {
        /// Index of the sample.
        sample: usize,
        /// Why.
        error: TrajectoryError,
    },
    /// libtorch refused a tensor.
    #[error("batch file: {0}")]
    Torch(#[from] TchError),
}

/// Writes trajectories of one shape, with their rewards if given.
///
/// # Errors
/// [`WriteError`]; leaves no half-written file.
pub fn write(
    path: &Path,
    trajectories: &[&Trajectory],
    transitions: &Transitions,
    rewards: Option<&[f32]>,
) -> Result<(), WriteError> {
    let Some(first) = trajectories.first() else { return Ok(()) };
    let header = first.header();
    let count = trajectories.len() as i64;
    let (steps, random) = (header.timesteps.len() as i64, header.random_steps.len() as i64);
    let shape = header.shape;
    let size = [count, steps + 1, shape.channels as i64, shape.height as i64, shape.width as i64];
    let states = trajectories.iter().flat_map(|trajectory| {
        trajectory.states().iter().flat_map(|state| decode(state, trajectory.header().dtype))
    });
    let log_probs: Vec<f32> = trajectories.iter().flat_map(|t| t.log_probs().to_vec()).collect();
    let sigmas: Vec<f32> = transitions.coefficients().iter().map(|c| c.sigma as f32).collect();
    let mut tensors = vec![
        ("states".to_owned(), Tensor::from_slice(&states.collect::<Vec<f32>>()).view(size)),
        ("log_probs".to_owned(), Tensor::from_slice(&log_probs).view([count, random])),
        ("timesteps".to_owned(), Tensor::from_slice(&header.timesteps)),
        ("sigmas".to_owned(), Tensor::from_slice(&sigmas)),
    ];
    if let Some(rewards) = rewards {
        tensors.push(("rewards".to_owned(), Tensor::from_slice(rewards)));
    }
    write_tensors(path, &tensors, &BTreeMap::new())
}

/// An open batch file whose tensors agree with each other.
#[derive(Debug)]
pub struct BatchFile {
    path: PathBuf,
    states: Tensor,
    log_probs: Tensor,
    timesteps: Vec<i64>,
    rewards: Vec<f32>,
}

impl BatchFile {
    /// Opens a file with rewards.
    ///
    /// # Errors
    /// [`BatchFileError`] names the tensor that is missing or has the wrong shape.
    pub fn open(path: &Path) -> Result<Self, BatchFileError> {
        let file = TensorFile::open(path)?;
        let read = |name: &'static str| {
            if !file.tensors().iter().any(|info| info.name == name) {
                return Err(BatchFileError::Missing { path: path.into(), name });
            }
            Ok(file.read(name)?)
        };
        let timesteps = read("timesteps")?.to_kind(Kind::Int64).flatten(0, -1);
        let opened = Self {
            path: path.into(),
            states: read("states")?.to_kind(Kind::Float),
            log_probs: read("log_probs")?.to_kind(Kind::Float),
            timesteps: Vec::try_from(timesteps)?,
            rewards: Vec::try_from(read("rewards")?.to_kind(Kind::Float).flatten(0, -1))?,
        };
        opened.check()?;
        Ok(opened)
    }

    fn check(&self) -> Result<(), BatchFileError> {
        let states = self.states.size();
        let (count, steps) = (self.rewards.len() as i64, self.timesteps.len() as i64);
        if states.len() != 5 || states[0] != count || states[1] != steps + 1 {
            let expected = format!("[{count}, {}, C, H, W]", steps + 1);
            return Err(self.misshapen("states", expected, states));
        }
        let log_probs = self.log_probs.size();
        if log_probs.len() != 2 || log_probs[0] != count {
            return Err(self.misshapen("log_probs", format!("[{count}, K]"), log_probs));
        }
        Ok(())
    }

    fn misshapen(&self, name: &'static str, expected: String, found: Vec<i64>) -> BatchFileError {
        BatchFileError::Shape { path: self.path.clone(), name, expected, found }
    }

    /// Returns the number of denoising steps.
    pub fn steps(&self) -> usize {
        self.timesteps.len()
    }

    /// Returns the rewards, in sample order.
    pub fn rewards(&self) -> &[f32] {
        &self.rewards
    }

    /// Returns channels, height and width of the states.
    pub fn shape(&self) -> StateShape {
        let side = |index: usize| self.states.size()[index] as usize;
        StateShape { channels: side(2), height: side(3), width: side(4) }
    }

    /// Returns the trajectories as samples of epoch 0, drawn with the learner's weights.
    ///
    /// # Errors
    /// [`BatchFileError`] if timesteps or counts differ from the scheduler's.
    pub fn trajectories(
        &self,
        transitions: &Transitions,
        seed: u64,
        weights_digest: Digest,
    ) -> Result<Vec<ScoredTrajectory>, BatchFileError> {
        if self.timesteps != transitions.timesteps() {
            let (expected, found) = (transitions.timesteps().to_vec(), self.timesteps.clone());
            return Err(BatchFileError::Timesteps { path: self.path.clone(), expected, found });
        }
        let random_steps = transitions.random_steps();
        let found = self.log_probs.size();
        if found[1] != random_steps.len() as i64 {
            let expected = format!("[{}, {}]", found[0], random_steps.len());
            return Err(self.misshapen("log_probs", expected, found));
        }
        let header = |sample: usize| TrajectoryHeader {
            coordinates: SampleCoordinates { run_seed: seed, epoch: 0, sample: sample as u32 },
            purpose: Purpose::Rollout,
            policy_version: PolicyVersion::default(),
            weights_digest,
            scheduler_digest: transitions.digest(),
            dtype: StateDtype::F32,
            shape: self.shape(),
            timesteps: self.timesteps.clone().into(),
            random_steps: random_steps.clone().into(),
            kept_states: TrajectoryHeader::all_states(self.timesteps.len()),
        };
        (0..self.rewards.len()).map(|sample| self.one(sample, header(sample))).collect()
    }

    fn one(
        &self,
        sample: usize,
        header: TrajectoryHeader,
    ) -> Result<ScoredTrajectory, BatchFileError> {
        let values = self.states.get(sample as i64).contiguous();
        let mut buffer = vec![0; values.numel() * 4];
        values.view(-1).copy_data_u8(&mut buffer, values.numel());
        let each = buffer.len() / (self.timesteps.len() + 1);
        let buffer = bytes::Bytes::from(buffer);
        let states = (0..=self.timesteps.len())
            .map(|index| buffer.slice(index * each..(index + 1) * each))
            .collect();
        let log_probs = Vec::<f32>::try_from(self.log_probs.get(sample as i64))?;
        let trajectory = Trajectory::new(header, states, log_probs)
            .map_err(|error| BatchFileError::Trajectory { sample, error })?;
        Ok(ScoredTrajectory { trajectory, score: Score::plain(self.rewards[sample]) })
    }
}
