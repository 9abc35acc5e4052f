//! The facts of a run that every trajectory and every score must match.

use ddpo_rollout::noise::Purpose;
use ddpo_rollout::reward::RewardSpec;
use ddpo_rollout::score::Score;
use ddpo_rollout::trajectory::{Digest, StateDtype, StateShape, TrajectoryHeader};
use std::fmt;

/// The facts of a run that every header and every score must match.
#[derive(Clone, Debug, PartialEq)]
pub struct RunFacts {
    /// Id of the run.
    pub run_id: String,
    /// The reward that its images are scored with.
    pub reward: RewardSpec,
    /// Digest of the transitions.
    pub scheduler_digest: Digest,
    /// Type of the states.
    pub dtype: StateDtype,
    /// Shape and steps of the trajectories; `None` accepts any, for runs without a model.
    pub trajectory: Option<TrajectoryFacts>,
}

/// The shape and the steps of a run's trajectories.
#[derive(Clone, Debug, PartialEq)]
pub struct TrajectoryFacts {
    /// Shape of the states.
    pub shape: StateShape,
    /// Timesteps visited, from high to low.
    pub timesteps: Vec<i64>,
    /// Positions in `timesteps` whose transition is random.
    pub random_steps: Vec<usize>,
}

impl RunFacts {
    /// Checks a header, before or after its states have arrived.
    ///
    /// # Errors
    /// The first fact that differs, with the expected and the found value.
    pub fn check_header(&self, run_id: &str, header: &TrajectoryHeader) -> Result<(), String> {
        same("run", &self.run_id.as_str(), &run_id)?;
        same("scheduler digest", &self.scheduler_digest, &header.scheduler_digest)?;
        same("state dtype", &AsDebug(self.dtype), &AsDebug(header.dtype))?;
        let Some(expected) = &self.trajectory else { return Ok(()) };
        same("state shape", &AsDebug(expected.shape), &AsDebug(header.shape))?;
        same("timesteps", &AsDebug(&expected.timesteps[..]), &AsDebug(&header.timesteps[..]))?;
        let random = (&expected.random_steps[..], &header.random_steps[..]);
        same("random steps", &AsDebug(random.0), &AsDebug(random.1))
    }

    /// Checks the components and the value of a score.
    ///
    /// # Errors
    /// The first fact that differs, with the expected and the found value.
    pub fn check_score(&self, purpose: Purpose, score: &Score) -> Result<(), String> {
        let names = score.components.iter().map(|component| component.name.as_str());
        self.reward.check_components(purpose, names).map_err(|error| error.to_string())?;
        if score.reward.is_finite() {
            Ok(())
        } else {
            Err(format!("reward: expected a finite number, found {}", score.reward))
        }
    }
}

/// Displays a value in its debug form, for messages.
#[derive(PartialEq)]
struct AsDebug<T>(T);

impl<T: fmt::Debug> fmt::Display for AsDebug<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.0)
    }
}

pub(super) fn same<T: PartialEq + fmt::Display>(
    fact: &str,
    expected: &T,
    found: &T,
) -> Result<(), String> {
    if expected == found {
        Ok(())
    } else {
        Err(format!("{fact}: expected {expected}, found {found}"))
    }
}
