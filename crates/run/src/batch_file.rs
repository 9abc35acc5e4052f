//! Trajectories as a safetensors file, to inspect, to compare, and to train on again:
//! `states` f32 `[N, S, C, H, W]`, `log_probs` f32 `[N, K]` for the K random steps, `timesteps` i64
//! `[T]`, `sigmas` f32 `[T]`, and `rewards` f32 `[N]` of scored trajectories.
//!
//! `kept_states` i64 `[S]` has the positions of the states in the chain: 0 is x_T, T is x_0. Without it
//! the file has all T + 1. `random_steps` i64 `[K]` has the positions of the random steps, and
//! `coordinates` i64 `[2]` the seed of the run (as 64 bits) and the epoch, which key the noise; without
//! them, all steps with sigma > 0, and epoch 0 of the seed that the reader gives. `classes` i64 `[N]` has the
//! classes of a class-conditional model's samples. They follow from the keys; a reader only compares them.

use ddpo_checkpoint::{TensorFile, TensorFileError, WriteError, write_tensors};
use ddpo_diffusion::scheduler::{Coefficients, Transitions};
use ddpo_rollout::chain::Chain;
use ddpo_rollout::classes::ClassList;
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
    /// The seed and the epoch are not two numbers in their ranges.
    #[error("batch file {}: `coordinates`: expected a seed and an epoch, found {found:?}", path.display())]
    Coordinates {
        /// The file.
        path: PathBuf,
        /// The file's.
        found: Vec<i64>,
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
    /// Positions do not rise, or are outside the chain.
    #[error("batch file {}: `{name}`: expected rising positions below {end}, found {found:?}", path.display())]
    Positions {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: &'static str,
        /// The number of positions of the chain.
        end: usize,
        /// The file's.
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
    /// The file was sampled with other random steps.
    #[error(
        "batch file {}: random steps: expected {expected:?} for epoch {epoch} of seed {seed}, found \
         {found:?}; hint: use the window, the eta and the scheduler of the file's run",
        path.display()
    )]
    RandomSteps {
        /// The file.
        path: PathBuf,
        /// The seed that the epoch's window follows from.
        seed: u64,
        /// The epoch.
        epoch: u32,
        /// Indices of the random steps of the chain.
        expected: Vec<usize>,
        /// The file's.
        found: Vec<usize>,
    },
    /// The objective trains on a state that the file lacks.
    #[error("batch file {}: no state {state} of {found:?}, which the objective needs", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Position in the chain; 0 is x_T.
        state: usize,
        /// Positions of the states in the file.
        found: Vec<usize>,
    },
    /// A sample was drawn with another class than its key gives.
    #[error(
        "batch file {}: class of sample {sample}: expected {expected}, as its key and class_labels give, \
         found {found}; hint: use the class_labels and the run_seed of the file's run",
        path.display()
    )]
    Class {
        /// The file.
        path: PathBuf,
        /// Index of the sample.
        sample: usize,
        /// The class that follows from the key; "none" for a model without classes.
        expected: String,
        /// The file's.
        found: i64,
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

/// The values of each sample besides its trajectory.
#[derive(Clone, Copy, Debug, Default)]
pub struct SampleValues<'a> {
    /// The rewards of scored samples.
    pub rewards: Option<&'a [f32]>,
    /// The classes of the run, for a class-conditional model.
    pub classes: Option<&'a ClassList>,
}

/// Writes trajectories of one shape and the values of their samples.
///
/// # Errors
/// [`WriteError`]; leaves no half-written file.
pub fn write(
    path: &Path,
    trajectories: &[&Trajectory],
    transitions: &Transitions,
    values: SampleValues<'_>,
) -> Result<(), WriteError> {
    let Some(first) = trajectories.first() else { return Ok(()) };
    let header = first.header();
    let count = trajectories.len() as i64;
    let (shape, random) = (header.shape, header.random_steps.len() as i64);
    let kept = header.kept_states.len() as i64;
    let size = [count, kept, shape.channels as i64, shape.height as i64, shape.width as i64];
    let states = trajectories.iter().flat_map(|trajectory| {
        trajectory.states().iter().flat_map(|state| decode(state, trajectory.header().dtype))
    });
    let log_probs: Vec<f32> = trajectories.iter().flat_map(|t| t.log_probs().to_vec()).collect();
    let is_random = |step: &usize| header.random_steps.binary_search(step).is_ok();
    let sigma =
        |(step, c): (usize, &Coefficients)| if is_random(&step) { c.sigma as f32 } else { 0.0 };
    let sigmas: Vec<f32> = transitions.coefficients().iter().enumerate().map(sigma).collect();
    let SampleCoordinates { run_seed, epoch, .. } = header.coordinates;
    let mut tensors = vec![
        ("states".to_owned(), Tensor::from_slice(&states.collect::<Vec<f32>>()).view(size)),
        ("log_probs".to_owned(), Tensor::from_slice(&log_probs).view([count, random])),
        ("timesteps".to_owned(), Tensor::from_slice(&header.timesteps)),
        ("sigmas".to_owned(), Tensor::from_slice(&sigmas)),
        ("kept_states".to_owned(), positions(&header.kept_states)),
        ("random_steps".to_owned(), positions(&header.random_steps)),
        ("coordinates".to_owned(), Tensor::from_slice(&[run_seed.cast_signed(), i64::from(epoch)])),
    ];
    if let Some(rewards) = values.rewards {
        tensors.push(("rewards".to_owned(), Tensor::from_slice(rewards)));
    }
    if let Some(classes) = values.classes {
        let headers = trajectories.iter().map(|trajectory| trajectory.header());
        let class = |header: &TrajectoryHeader| classes.of(header.purpose, header.coordinates);
        let labels: Vec<i64> = headers.map(|header| i64::from(class(header))).collect();
        tensors.push(("classes".to_owned(), Tensor::from_slice(&labels)));
    }
    write_tensors(path, &tensors, &BTreeMap::new())
}

fn positions(of: &[usize]) -> Tensor {
    Tensor::from_slice(&of.iter().map(|&position| position as i64).collect::<Vec<_>>())
}

/// The tensors of a file, by name.
struct Tensors<'a> {
    path: &'a Path,
    file: TensorFile,
}

impl Tensors<'_> {
    fn read(&self, name: &'static str) -> Result<Tensor, BatchFileError> {
        if self.file.tensors().iter().any(|info| info.name == name) {
            return Ok(self.file.read(name)?);
        }
        Err(BatchFileError::Missing { path: self.path.into(), name })
    }

    fn integers(&self, name: &'static str) -> Result<Vec<i64>, BatchFileError> {
        Ok(Vec::try_from(self.read(name)?.to_kind(Kind::Int64).flatten(0, -1))?)
    }

    fn optional(&self, name: &'static str) -> Result<Option<Vec<i64>>, BatchFileError> {
        match self.integers(name) {
            Err(BatchFileError::Missing { .. }) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Reads rising positions below `end`, if the file has them.
    fn positions(
        &self,
        name: &'static str,
        end: usize,
    ) -> Result<Option<Vec<usize>>, BatchFileError> {
        let Some(found) = self.optional(name)? else { return Ok(None) };
        let position = |&value: &i64| usize::try_from(value).ok().filter(|value| *value < end);
        let rises = |all: &Vec<usize>| all.windows(2).all(|pair| pair[0] < pair[1]);
        match found.iter().map(position).collect::<Option<Vec<usize>>>().filter(rises) {
            Some(positions) => Ok(Some(positions)),
            None => Err(BatchFileError::Positions { path: self.path.into(), name, end, found }),
        }
    }

    /// Reads the seed of the run and the epoch, if the file has them.
    fn coordinates(&self) -> Result<Option<(u64, u32)>, BatchFileError> {
        let Some(found) = self.optional("coordinates")? else { return Ok(None) };
        if let &[seed, epoch] = found.as_slice()
            && let Ok(epoch) = u32::try_from(epoch)
        {
            return Ok(Some((seed.cast_unsigned(), epoch)));
        }
        Err(BatchFileError::Coordinates { path: self.path.into(), found })
    }
}

/// An open batch file whose tensors agree with each other.
#[derive(Debug)]
pub struct BatchFile {
    path: PathBuf,
    states: Tensor,
    log_probs: Tensor,
    timesteps: Vec<i64>,
    kept_states: Vec<usize>,
    /// `None` for all steps with sigma > 0.
    random_steps: Option<Vec<usize>>,
    /// The seed of the run and the epoch.
    coordinates: Option<(u64, u32)>,
    rewards: Vec<f32>,
    /// The classes of the samples, if the file has them.
    classes: Option<Vec<i64>>,
}

impl BatchFile {
    /// Opens a file with rewards.
    ///
    /// # Errors
    /// [`BatchFileError`] names the tensor that is missing or has the wrong shape.
    pub fn open(path: &Path) -> Result<Self, BatchFileError> {
        let file = Tensors { path, file: TensorFile::open(path)? };
        let timesteps = file.integers("timesteps")?;
        let steps = timesteps.len();
        let kept_states = file.positions("kept_states", steps + 1)?;
        let opened = Self {
            path: path.into(),
            states: file.read("states")?.to_kind(Kind::Float),
            log_probs: file.read("log_probs")?.to_kind(Kind::Float),
            kept_states: kept_states.unwrap_or_else(|| (0..=steps).collect()),
            random_steps: file.positions("random_steps", steps)?,
            coordinates: file.coordinates()?,
            classes: file.optional("classes")?,
            timesteps,
            rewards: Vec::try_from(file.read("rewards")?.to_kind(Kind::Float).flatten(0, -1))?,
        };
        opened.check()?;
        Ok(opened)
    }

    fn check(&self) -> Result<(), BatchFileError> {
        let states = self.states.size();
        let (count, kept) = (self.rewards.len() as i64, self.kept_states.len() as i64);
        if states.len() != 5 || states[0] != count || states[1] != kept {
            let expected = format!("[{count}, {kept}, C, H, W]");
            return Err(self.misshapen("states", expected, states));
        }
        let log_probs = self.log_probs.size();
        if log_probs.len() != 2 || log_probs[0] != count {
            return Err(self.misshapen("log_probs", format!("[{count}, K]"), log_probs));
        }
        match &self.classes {
            Some(classes) if classes.len() as i64 != count => {
                let found = vec![classes.len() as i64];
                Err(self.misshapen("classes", format!("[{count}]"), found))
            }
            _ => Ok(()),
        }
    }

    /// Checks the recorded classes, if there are any, against the classes of the keys: samples of the file's
    /// epoch, with classes from `classes`. `seed` is the run's seed for a file that has none.
    ///
    /// # Errors
    /// [`BatchFileError::Class`] names the first sample of another class.
    pub fn check_classes(
        &self,
        classes: Option<&ClassList>,
        seed: u64,
    ) -> Result<(), BatchFileError> {
        let (run_seed, epoch) = self.coordinates.unwrap_or((seed, 0));
        for (sample, &found) in self.classes.iter().flatten().enumerate() {
            let key = SampleCoordinates { run_seed, epoch, sample: sample as u32 };
            let expected = classes.map(|classes| i64::from(classes.of(Purpose::Rollout, key)));
            if expected != Some(found) {
                let expected = expected.map_or_else(|| "none".to_owned(), |one| one.to_string());
                let path = self.path.clone();
                return Err(BatchFileError::Class { path, sample, expected, found });
            }
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

    /// Returns the trajectories as samples of the file's epoch, drawn with the learner's weights: the
    /// steps and states of `chain`, which must be in the file. `seed` is the run's seed for a file that has
    /// none.
    ///
    /// # Errors
    /// [`BatchFileError`] if timesteps, random steps or counts differ from the chain's, or a state is
    /// missing.
    pub fn trajectories(
        &self,
        transitions: &Transitions,
        chain: &Chain,
        seed: u64,
        weights_digest: Digest,
    ) -> Result<Vec<ScoredTrajectory>, BatchFileError> {
        if self.timesteps != transitions.timesteps() {
            let (expected, found) = (transitions.timesteps().to_vec(), self.timesteps.clone());
            return Err(BatchFileError::Timesteps { path: self.path.clone(), expected, found });
        }
        let (run_seed, epoch) = self.coordinates.unwrap_or((seed, 0));
        let chain = chain.of(Purpose::Rollout, run_seed, epoch);
        let all = transitions.random_steps();
        let random_steps = self.random_steps.as_ref().unwrap_or(&all);
        if chain.random_steps[..] != random_steps[..] {
            let (expected, found) = (chain.random_steps.to_vec(), random_steps.clone());
            let path = self.path.clone();
            return Err(BatchFileError::RandomSteps {
                path,
                seed: run_seed,
                epoch,
                expected,
                found,
            });
        }
        let found = self.log_probs.size();
        if found[1] != random_steps.len() as i64 {
            let expected = format!("[{}, {}]", found[0], random_steps.len());
            return Err(self.misshapen("log_probs", expected, found));
        }
        let places = self.places(&chain.kept_states)?;
        let header = |sample: usize| TrajectoryHeader {
            coordinates: SampleCoordinates { run_seed, epoch, sample: sample as u32 },
            purpose: Purpose::Rollout,
            policy_version: PolicyVersion::default(),
            weights_digest,
            scheduler_digest: chain.digest,
            dtype: StateDtype::F32,
            shape: self.shape(),
            timesteps: self.timesteps.clone().into(),
            random_steps: chain.random_steps.clone(),
            kept_states: chain.kept_states.clone(),
        };
        (0..self.rewards.len()).map(|sample| self.one(sample, header(sample), &places)).collect()
    }

    /// Returns the places in the file of the states at these positions of the chain.
    fn places(&self, states: &[usize]) -> Result<Vec<usize>, BatchFileError> {
        let place = |&state: &usize| {
            self.kept_states.binary_search(&state).map_err(|_| BatchFileError::State {
                path: self.path.clone(),
                state,
                found: self.kept_states.clone(),
            })
        };
        states.iter().map(place).collect()
    }

    fn one(
        &self,
        sample: usize,
        header: TrajectoryHeader,
        places: &[usize],
    ) -> Result<ScoredTrajectory, BatchFileError> {
        let values = self.states.get(sample as i64).contiguous();
        let mut buffer = vec![0; values.numel() * 4];
        values.view(-1).copy_data_u8(&mut buffer, values.numel());
        let each = buffer.len() / self.kept_states.len();
        let buffer = bytes::Bytes::from(buffer);
        let states = places.iter().map(|&place| buffer.slice(place * each..(place + 1) * each));
        let log_probs = Vec::<f32>::try_from(self.log_probs.get(sample as i64))?;
        let trajectory = Trajectory::new(header, states.collect(), log_probs)
            .map_err(|error| BatchFileError::Trajectory { sample, error })?;
        Ok(ScoredTrajectory { trajectory, score: Score::plain(self.rewards[sample]) })
    }
}
