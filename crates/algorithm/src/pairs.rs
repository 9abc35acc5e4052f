//! The pairs that each mini-batch trains on: a sample and one of its denoising steps or, for the
//! forward objective, one of its noise levels.

use crate::config::{ForwardConfig, LearnerConfig, LevelSource, Objective};
use crate::forward::levels;
use ddpo_rollout::noise::{NoiseKey, Purpose};
use ddpo_rollout::trajectory::Trajectory;

/// One trained step, or noise level, of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Position of the trajectory in the epoch's batch.
    pub trajectory: usize,
    /// Position in the trajectory's list of random steps; for the forward objective, in the list of
    /// the pass's levels.
    pub slot: usize,
    /// Step index, from 0 at x_T; for the forward objective, the timestep of the level.
    pub step: usize,
    /// Pass over the epoch, from 0.
    pub inner_epoch: u32,
}

/// Chooses the pairs of an epoch.
#[derive(Clone, Copy, Debug)]
pub struct PairChoice<'a> {
    /// The hyperparameters.
    pub config: &'a LearnerConfig,
    /// The timesteps that the forward objective may train, from high to low.
    pub levels: &'a [i64],
}

impl PairChoice<'_> {
    /// Returns the pairs of every mini-batch of an epoch, in the order of training:
    /// `num_inner_epochs` passes over the samples, `batch_size` samples in a mini-batch.
    ///
    /// `trajectories` are the epoch's, at least one and a multiple of `batch_size`.
    pub fn mini_batches(&self, trajectories: &[&Trajectory]) -> Vec<Vec<Pair>> {
        let batch_size = self.config.batch_size;
        let pass = |inner_epoch: usize| {
            let batches = trajectories.chunks(batch_size).enumerate();
            batches.map(move |(index, batch)| {
                self.pairs(batch, index * batch_size, inner_epoch as u32)
            })
        };
        (0..self.config.num_inner_epochs).flat_map(pass).collect()
    }

    /// Returns the pairs of `trajectories` in one pass; the first has position `first` in the epoch.
    /// Pairs are sorted by step so that neighbours share a timestep.
    fn pairs(&self, trajectories: &[&Trajectory], first: usize, inner_epoch: u32) -> Vec<Pair> {
        let chosen = trajectories.iter().enumerate().flat_map(|(offset, trajectory)| {
            let picked = match self.config.objective {
                Objective::Forward => self.chosen_levels(trajectory, inner_epoch),
                _ => self.chosen_steps(trajectory, inner_epoch),
            };
            let pair =
                move |(slot, step)| Pair { trajectory: first + offset, slot, step, inner_epoch };
            picked.into_iter().map(pair)
        });
        let mut pairs: Vec<Pair> = chosen.collect();
        pairs.sort_by_key(|pair| (pair.step, pair.trajectory, pair.slot));
        pairs
    }

    /// Returns slots and timesteps.
    fn chosen_levels(&self, trajectory: &Trajectory, inner_epoch: u32) -> Vec<(usize, usize)> {
        let coordinates = trajectory.header().coordinates;
        let drawn = levels(self.levels, self.config.forward.levels, coordinates, inner_epoch);
        drawn.into_iter().map(|timestep| timestep as usize).enumerate().collect()
    }

    /// Returns slots and step indices in ascending order: all random steps or, with
    /// `timestep_fraction`, those with the lowest keyed draws.
    fn chosen_steps(&self, trajectory: &Trajectory, inner_epoch: u32) -> Vec<(usize, usize)> {
        let header = trajectory.header();
        let count = header.random_steps.len();
        let kept = (count as f64 * self.config.timestep_fraction).ceil() as usize;
        let kept = kept.clamp(1.min(count), count);
        let mut order: Vec<usize> = (0..count).collect();
        if kept < count {
            let mut draws = vec![0.0; count];
            let key = NoiseKey {
                seed: self.config.run_seed,
                purpose: Purpose::StepChoice,
                epoch: header.coordinates.epoch,
                sample: header.coordinates.sample,
                step: inner_epoch,
            };
            key.fill_uniform(&mut draws);
            order.sort_by(|&a, &b| draws[a].total_cmp(&draws[b]).then(a.cmp(&b)));
            order.truncate(kept);
            order.sort_unstable();
        }
        order.into_iter().map(|slot| (slot, header.random_steps[slot])).collect()
    }
}

/// Returns the timesteps that the forward objective may train, from high to low: those of the sampler or
/// all of the schedule's `train_timesteps`, up to `max_timestep`.
pub fn level_candidates(
    config: &ForwardConfig,
    sampler: &[i64],
    train_timesteps: usize,
) -> Vec<i64> {
    let within = |timestep: &i64| config.max_timestep.is_none_or(|largest| *timestep <= largest);
    match config.level_source {
        LevelSource::Sampler => sampler.iter().copied().filter(within).collect(),
        LevelSource::All => (0..train_timesteps as i64).rev().filter(within).collect(),
    }
}
