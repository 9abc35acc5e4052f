//! Checks of an epoch's trajectories before the update.

use crate::error::LearnError;
use crate::learner::Learner;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::TrajectoryHeader;

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
        let mut sorted: Vec<&ScoredTrajectory> = batch.iter().collect();
        sorted.sort_by_key(|scored| scored.trajectory.header().coordinates);
        for scored in &sorted {
            let header = scored.trajectory.header();
            let (sample, reward) = (header.coordinates.sample, scored.score.reward);
            let (expected, found) = (self.transitions.digest(), header.scheduler_digest);
            if expected != found {
                return Err(LearnError::Scheduler { sample, expected, found });
            }
            if !reward.is_finite() {
                return Err(LearnError::Reward { sample, reward });
            }
            self.check_lag(header)?;
        }
        Ok(sorted)
    }

    /// Refuses a trajectory whose weights are older than `max_staleness` versions, or newer than
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
