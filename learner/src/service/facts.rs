//! The facts of a run that every trajectory and every score must match.

use ddpo_rollout::facts::TrajectoryFacts;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::reward::RewardSpec;
use ddpo_rollout::score::Score;

/// The facts of a run that every header and every score must match.
#[derive(Clone, Debug, PartialEq)]
pub struct RunFacts {
    /// The run, and the form of its trajectories.
    pub trajectories: TrajectoryFacts,
    /// The reward that its images are scored with.
    pub reward: RewardSpec,
}

impl RunFacts {
    /// Checks the components and the numbers of a score.
    ///
    /// # Errors
    /// The first fact that differs, with the expected and the found value.
    pub fn check_score(&self, purpose: Purpose, score: &Score) -> Result<(), String> {
        let names = score.components.iter().map(|component| component.name.as_str());
        self.reward.check_components(purpose, names).map_err(|error| error.to_string())?;
        score.check_range().map_err(|error| error.to_string())
    }
}
