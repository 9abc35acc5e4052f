//! Checks of an epoch's trajectories before the update.

use crate::error::LearnError;
use crate::learner::Learner;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{SampleCoordinates, TrajectoryHeader};

impl Learner {
    /// Sorts `batch` by sample and checks the number of samples, and of each sample the scheduler,
    /// the reward and the age of the weights.
    pub(crate) fn sorted_and_checked<'a>(
        &self,
        batch: &'a [ScoredTrajectory],
    ) -> Result<Vec<&'a ScoredTrajectory>, LearnError> {
        let (samples, batch_size) = (batch.len(), self.config.batch_size);
        if samples == 0 || !samples.is_multiple_of(batch_size) {
            return Err(LearnError::Indivisible { samples, batch_size });
        }
        if !self.config.objective.contract().off_policy && samples > batch_size {
            return Err(LearnError::OnPolicy { samples, batch_size });
        }
        let mut sorted: Vec<&ScoredTrajectory> = batch.iter().collect();
        sorted.sort_by_key(|scored| scored.trajectory.header().coordinates);
        for scored in &sorted {
            let header = scored.trajectory.header();
            let (sample, reward) = (header.coordinates.sample, scored.score.reward);
            self.check_chain(header)?;
            if !reward.is_finite() {
                return Err(LearnError::Reward { sample, reward });
            }
            self.check_lag(header)?;
        }
        Ok(sorted)
    }

    /// Rejects a trajectory that was not drawn with the steps of its epoch, or lacks states that
    /// the objective needs.
    fn check_chain(&self, header: &TrajectoryHeader) -> Result<(), LearnError> {
        let SampleCoordinates { run_seed, epoch, sample } = header.coordinates;
        let chain = self.chain.of(header.purpose, run_seed, epoch);
        let (expected, found) = (chain.digest, header.scheduler_digest);
        if expected != found {
            return Err(LearnError::Scheduler { sample, expected, found });
        }
        let carries = |state: &usize| header.kept_states.binary_search(state).is_ok();
        let has_states = chain.kept_states.iter().all(carries);
        if chain.random_steps == header.random_steps && has_states {
            return Ok(());
        }
        Err(LearnError::Chain {
            sample,
            expected: chain.random_steps.to_vec(),
            found: header.random_steps.to_vec(),
            states: header.kept_states.to_vec(),
        })
    }

    /// Rejects a trajectory whose weights are older than `max_staleness` versions, or newer than
    /// the learner's.
    fn check_lag(&self, header: &TrajectoryHeader) -> Result<(), LearnError> {
        let (sample, sampled) = (header.coordinates.sample, header.policy_version);
        let (learned, bound) = (self.version, self.config.max_staleness);
        match learned.0.checked_sub(sampled.0) {
            None => Err(LearnError::Unknown { sample, sampled, learned }),
            Some(lag) if lag > u64::from(bound) => {
                Err(LearnError::Stale { sample, lag, bound, sampled, learned })
            }
            Some(_) => Ok(()),
        }
    }
}
