//! The port that trajectories come in by: whoever runs the samplers and the reward model, in this
//! process or in others, fills it.

use crate::error::{RolloutsError, RunError};
use crate::progress::Progress;
use ddpo_diffusion::host_weights::HostWeights;
use ddpo_diffusion::unet::UNet;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::WeightsId;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{Digest, SampleCoordinates, StateShape, TrajectoryHeader};

/// One set of weights, as samplers draw with it.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// Which of the run's weights they are.
    pub id: WeightsId,
    /// Digest of `unet`'s parameters.
    pub digest: Digest,
    /// The network in the type that it runs in.
    pub unet: &'a UNet,
}

/// One batch of samples that the run wants drawn and scored.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The weights to draw with, published before.
    pub weights: Weights<'a>,
    /// What the noise is for.
    pub purpose: Purpose,
    /// Seed of the noise.
    pub run_seed: u64,
    /// Epoch, from 0.
    pub epoch: u32,
    /// How many samples; their indices count from 0.
    pub samples: u32,
    /// Word for the progress line.
    pub stage: &'static str,
    /// What becomes of it when somebody asks to stop.
    pub on_interrupt: OnInterrupt,
}

/// What becomes of a request when somebody asks to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInterrupt {
    /// It is given up: a resumed run draws it again, to the same bits.
    Abandon,
    /// It is finished: the update before it is not saved yet, and would be lost.
    Finish,
}

impl Request<'_> {
    /// The coordinates of all samples, in order.
    pub fn coordinates(&self) -> impl Iterator<Item = SampleCoordinates> + use<> {
        let (run_seed, epoch) = (self.run_seed, self.epoch);
        (0..self.samples).map(move |sample| SampleCoordinates { run_seed, epoch, sample })
    }

    /// Checks that `rollout` is what was asked for, in the order of the samples, and that what is of
    /// the version of the request's weights is of these weights.
    pub(crate) fn check(&self, rollout: &Rollout) -> Result<(), RunError> {
        let unasked = |expected: u32, found| {
            Err(RunError::Unasked { stage: self.stage, expected: expected.to_string(), found })
        };
        for (position, coordinates) in self.coordinates().enumerate() {
            let Some(scored) = rollout.scored.get(position) else {
                return unasked(coordinates.sample, "none".into());
            };
            let header = scored.trajectory.header();
            if (header.coordinates, header.purpose) != (coordinates, self.purpose) {
                let SampleCoordinates { run_seed, epoch, sample } = header.coordinates;
                let purpose = header.purpose;
                let found = format!("{purpose:?} {sample} of epoch {epoch}, seed {run_seed}");
                return unasked(coordinates.sample, found);
            }
            self.check_weights(header)?;
        }
        match rollout.scored.len() == self.samples as usize {
            true => Ok(()),
            false => unasked(self.samples, format!("{} samples", rollout.scored.len())),
        }
    }

    fn check_weights(&self, header: &TrajectoryHeader) -> Result<(), RunError> {
        let version = self.weights.id.version;
        let (expected, found) = (self.weights.digest, header.weights_digest);
        if header.policy_version != version || found == expected {
            return Ok(());
        }
        let (stage, sample) = (self.stage, header.coordinates.sample);
        Err(RunError::OtherWeights { stage, sample, version, expected, found })
    }
}

/// Scored trajectories in the order of the samples, and the stages' wall times.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// The trajectories with their scores.
    pub scored: Vec<ScoredTrajectory>,
    /// Seconds of denoising.
    pub seconds_sampling: f64,
    /// Seconds of scoring.
    pub seconds_scoring: f64,
    /// Floating-point operations of denoising; `None` if other processes denoised.
    pub operations: Option<u64>,
}

/// Where trajectories come from.
///
/// A run calls it in this order: `publish` and `prefetch` at its start and after each update, then
/// `rollout` for each request, `updating` and `updated` around each update, `saved` once an epoch's
/// checkpoint lies on the disk.
///
/// With `max_staleness` E, the requests that are prefetched at the start of epoch e are those of
/// epochs e to e + E, and after the update to version v that of epoch v + E: so a sample's weights
/// are at most E versions old when it is trained. Each is asked for later with the same purpose,
/// seed, epoch and count but the weights of that later time; its trajectories carry those of the
/// time of the prefetch. What is asked for without having been prefetched is drawn with the weights
/// that the request names. An evaluation is prefetched before the training samples that follow it.
pub trait Rollouts {
    /// New weights are out; requests may name them from now on. `host` has their values, and the same
    /// digest.
    ///
    /// # Errors
    /// What kept them from being handed on.
    fn publish(&mut self, weights: &Weights<'_>, host: &HostWeights) -> Result<(), RolloutsError>;

    /// The request will come: its samples may be drawn ahead. Does nothing by default.
    ///
    /// # Errors
    /// What kept the work from being given out.
    fn prefetch(&mut self, _request: &Request<'_>) -> Result<(), RolloutsError> {
        Ok(())
    }

    /// Draws and scores all samples, in their order; `None` if somebody asked to stop and the
    /// request may be abandoned.
    ///
    /// # Errors
    /// What kept the samples from being drawn or scored.
    fn rollout(
        &mut self,
        request: &Request<'_>,
        progress: &dyn Progress,
    ) -> Result<Option<Rollout>, RolloutsError>;

    /// An update with what the last rollout gave begins. Does nothing by default.
    fn updating(&mut self) {}

    /// That update is over. Does nothing by default.
    fn updated(&mut self) {}

    /// A checkpoint after `epochs` epochs is safely on the disk: what it was made of may go. Does
    /// nothing by default.
    ///
    /// # Errors
    /// What kept the word from being handed on.
    fn saved(&mut self, _epochs: u32) -> Result<(), RolloutsError> {
        Ok(())
    }

    /// The reward of a flat grey image of the model's shape, where it is a floor that the summary
    /// can compare with. None by default.
    fn flat_reward(&mut self, _shape: StateShape) -> Option<f64> {
        None
    }
}
