//! The facts of a run that every trajectory and every score must match.

use ddpo_rollout::chain::Chain;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::reward::RewardSpec;
use ddpo_rollout::score::Score;
use ddpo_rollout::trajectory::{
    Digest, SampleCoordinates, StateDtype, StateShape, TrajectoryHeader,
};
use std::fmt;

/// The facts of a run that every header and every score must match.
#[derive(Clone, Debug, PartialEq)]
pub struct RunFacts {
    /// Id of the run.
    pub run_id: String,
    /// The reward that its images are scored with.
    pub reward: RewardSpec,
    /// Type of the states.
    pub dtype: StateDtype,
    /// Shape of the states; `None` accepts any, for runs without a model.
    pub shape: Option<StateShape>,
    /// The denoising chain.
    pub chain: ChainFacts,
}

/// What is known of a run's denoising chain.
#[derive(Clone, Debug, PartialEq)]
pub enum ChainFacts {
    /// All of it.
    Known(Chain),
    /// The digest of its steps, for runs without a model.
    Digest(Digest),
}

impl RunFacts {
    /// Checks a header, before or after its states have arrived.
    ///
    /// # Errors
    /// The first fact that differs, with the expected and the found value.
    pub fn check_header(&self, run_id: &str, header: &TrajectoryHeader) -> Result<(), String> {
        same("run", &self.run_id.as_str(), &run_id)?;
        same("state dtype", &AsDebug(self.dtype), &AsDebug(header.dtype))?;
        if let Some(shape) = self.shape {
            same("state shape", &AsDebug(shape), &AsDebug(header.shape))?;
        }
        let chain = match &self.chain {
            ChainFacts::Known(chain) => chain,
            ChainFacts::Digest(digest) => {
                return same("scheduler digest", digest, &header.scheduler_digest);
            }
        };
        let SampleCoordinates { run_seed, epoch, .. } = header.coordinates;
        let expected = chain.of(header.purpose, run_seed, epoch);
        same("scheduler digest", &expected.digest, &header.scheduler_digest)?;
        same("timesteps", &AsDebug(&chain.timesteps), &AsDebug(&header.timesteps))?;
        same("random steps", &AsDebug(&expected.random_steps), &AsDebug(&header.random_steps))?;
        same("kept states", &AsDebug(&expected.kept_states), &AsDebug(&header.kept_states))
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
