//! The interface to the source of trajectories: samplers and a reward model in this process or in
//! others.

use crate::error::{RolloutsError, RunError};
use crate::progress::Progress;
use ddpo_diffusion::host_weights::HostWeights;
use ddpo_diffusion::unet::UNet;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::WeightsId;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{Digest, SampleCoordinates, StateShape, TrajectoryHeader};

/// One set of weights that samplers draw with.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// Version and track of the weights.
    pub id: WeightsId,
    /// Digest of `unet`'s parameters.
    pub digest: Digest,
    /// The network, in the dtype that it runs in.
    pub unet: &'a UNet,
}

/// A request to draw and score one batch of samples.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The weights to draw with, published before.
    pub weights: Weights<'a>,
    /// The purpose of the noise.
    pub purpose: Purpose,
    /// Seed of the noise.
    pub run_seed: u64,
    /// Epoch, from 0.
    pub epoch: u32,
    /// Number of samples; their indices start at 0.
    pub samples: u32,
    /// Name of the stage in the progress line.
    pub stage: &'static str,
    /// What to do with the request when the run is asked to stop.
    pub on_interrupt: OnInterrupt,
}

/// What to do with a request when the run is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInterrupt {
    /// Abandon it: a resumed run draws it again, with identical bits.
    Abandon,
    /// Finish it: the update before it is not saved yet and would be lost.
    Finish,
}

impl Request<'_> {
    /// Returns the coordinates of all samples, in order.
    pub fn coordinates(&self) -> impl Iterator<Item = SampleCoordinates> + use<> {
        let (run_seed, epoch) = (self.run_seed, self.epoch);
        (0..self.samples).map(move |sample| SampleCoordinates { run_seed, epoch, sample })
    }

    /// Checks that `rollout` has the requested samples in order, and that every sample with the version
    /// of the request's weights was drawn with exactly these weights.
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

/// Scored trajectories in the order of the samples, and the wall time of each stage.
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

/// A source of scored trajectories.
///
/// A run calls the methods in this order: `publish` and `prefetch` at its start and after each
/// update, `rollout` for each request, `updating` and `updated` around each update, and `saved` when
/// an epoch's checkpoint is on disk.
///
/// With `max_staleness` E, a run that starts at epoch e prefetches the epochs e to e + E, and after
/// the update to version v it prefetches epoch v + E. A sample's weights are therefore at most E
/// versions old when the learner trains on it. The later `rollout` has the same purpose, seed, epoch
/// and count as the prefetch, but names the current weights; the trajectories may name the weights
/// of the prefetch. A request without a prefetch is drawn with the weights that it names. An
/// evaluation is prefetched before the training samples that follow it.
pub trait Rollouts {
    /// Publishes new weights; requests may name them from now on. `host` has their values and the same
    /// digest.
    ///
    /// # Errors
    /// If the weights cannot be published.
    fn publish(&mut self, weights: &Weights<'_>, host: &HostWeights) -> Result<(), RolloutsError>;

    /// Announces a request, so that its samples can be drawn ahead. Does nothing by default.
    ///
    /// # Errors
    /// If the orders cannot be issued.
    fn prefetch(&mut self, _request: &Request<'_>) -> Result<(), RolloutsError> {
        Ok(())
    }

    /// Draws and scores all samples, in order. Returns `None` if the run was asked to stop and the
    /// request may be abandoned.
    ///
    /// # Errors
    /// If the samples cannot be drawn or scored.
    fn rollout(
        &mut self,
        request: &Request<'_>,
        progress: &dyn Progress,
    ) -> Result<Option<Rollout>, RolloutsError>;

    /// Returns whether other processes draw the samples. Drawing a wrong sample again can then give another
    /// result. `false` by default.
    fn can_draw_again(&self) -> bool {
        false
    }

    /// Draws and scores `samples` of the last rollout again with the weights of `request`, and returns the
    /// whole rollout in order. `scored` is the last rollout, in which the trajectories of `samples` failed
    /// the ratio check; `redraw` is the number of this redraw of its epoch, from 1. Returns `None` if the run
    /// was asked to stop. The default implementation always returns `None`.
    ///
    /// # Errors
    /// If the samples cannot be drawn or scored.
    fn draw_again(
        &mut self,
        _request: &Request<'_>,
        _scored: Vec<ScoredTrajectory>,
        _samples: &[u32],
        _redraw: u32,
        _progress: &dyn Progress,
    ) -> Result<Option<Vec<ScoredTrajectory>>, RolloutsError> {
        Ok(None)
    }

    /// Reports the start of an update on the last rollout. Does nothing by default.
    fn updating(&mut self) {}

    /// Reports the end of that update. Does nothing by default.
    fn updated(&mut self) {}

    /// Reports that the checkpoint after `epochs` epochs is on disk, so that the trajectories behind it
    /// can be deleted. Does nothing by default.
    ///
    /// # Errors
    /// If the report cannot be passed on.
    fn saved(&mut self, _epochs: u32) -> Result<(), RolloutsError> {
        Ok(())
    }

    /// Returns the reward of a flat grey image of the model's shape, if it is the highest possible
    /// reward and the summary can compare with it. `None` by default.
    fn flat_reward(&mut self, _shape: StateShape) -> Option<f64> {
        None
    }
}
