//! The facts of a run that every trajectory must match. Sampler, rewarder and learner call the same
//! check, on the header alone, before they take memory for a state.

use crate::chain::Chain;
use crate::noise::Purpose;
use crate::trajectory::{Digest, SampleCoordinates, StateDtype, StateShape, TrajectoryHeader};
use std::fmt;
use thiserror::Error;

/// Longest text of a value in a [`Misfit`], in characters.
const SHOWN: usize = 200;

/// The run of a trajectory, and the form of its trajectories.
#[derive(Clone, Debug, PartialEq)]
pub struct TrajectoryFacts {
    /// Id of the run.
    pub run_id: String,
    /// The form of the run's trajectories; `None` if the learner has not described it.
    pub form: Option<TrajectoryForm>,
}

/// The form of a run's trajectories.
#[derive(Clone, Debug, PartialEq)]
pub struct TrajectoryForm {
    /// Type of the states.
    pub dtype: StateDtype,
    /// Shape of the states; `None` accepts any, for runs without a model.
    pub shape: Option<StateShape>,
    /// The denoising chain.
    pub chain: ChainFacts,
}

/// The known part of a run's denoising chain.
#[derive(Clone, Debug, PartialEq)]
pub enum ChainFacts {
    /// All of it.
    Known(Chain),
    /// The digest of its steps, for runs without a model.
    Digest(Digest),
}

/// A trajectory that does not fit the run.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{fact}: expected {expected}, found {found}")]
pub struct Misfit {
    /// The fact that differs.
    pub fact: &'static str,
    /// The run's value.
    pub expected: String,
    /// The trajectory's value.
    pub found: String,
}

impl TrajectoryFacts {
    /// Decides whether a trajectory of the run `run_id` with this header fits the run.
    ///
    /// # Errors
    /// The first fact that differs: run, purpose, dtype, shape, scheduler digest, timesteps, random
    /// steps or kept states.
    pub fn check(&self, run_id: &str, header: &TrajectoryHeader) -> Result<(), Misfit> {
        same("run", &self.run_id.as_str(), &run_id)?;
        match header.purpose {
            Purpose::Rollout | Purpose::Evaluation => {}
            other => {
                let (expected, found) = ("rollout or evaluation".to_owned(), format!("{other:?}"));
                return Err(Misfit { fact: "purpose", expected, found });
            }
        }
        self.form.as_ref().map_or(Ok(()), |form| form.check(header))
    }
}

impl TrajectoryForm {
    fn check(&self, header: &TrajectoryHeader) -> Result<(), Misfit> {
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
}

/// Compares one fact.
///
/// # Errors
/// [`Misfit`] if the values differ.
pub fn same<T: PartialEq + fmt::Display>(
    fact: &'static str,
    expected: &T,
    found: &T,
) -> Result<(), Misfit> {
    if expected == found {
        Ok(())
    } else {
        Err(Misfit { fact, expected: shown(expected), found: shown(found) })
    }
}

/// Returns the beginning of a value's text: a peer chooses its length.
fn shown(value: &impl fmt::Display) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::NeededStates;
    use crate::trajectory::PolicyVersion;

    const SHAPE: StateShape = StateShape { channels: 3, height: 4, width: 4 };

    fn chain() -> Chain {
        Chain {
            timesteps: (0..10).rev().collect(),
            random_steps: (0..9).collect(),
            digest: Digest([1; 32]),
            window: Some("4:moving".parse().unwrap()),
            needed: NeededStates::Steps,
        }
    }

    fn facts() -> TrajectoryFacts {
        let form = TrajectoryForm {
            dtype: StateDtype::F32,
            shape: Some(SHAPE),
            chain: ChainFacts::Known(chain()),
        };
        TrajectoryFacts { run_id: "run".into(), form: Some(form) }
    }

    /// Returns an honest header of epoch 1.
    fn header(purpose: Purpose) -> TrajectoryHeader {
        let of = chain().of(purpose, 7, 1);
        TrajectoryHeader {
            coordinates: SampleCoordinates { run_seed: 7, epoch: 1, sample: 2 },
            purpose,
            policy_version: PolicyVersion(1),
            weights_digest: Digest([2; 32]),
            scheduler_digest: of.digest,
            dtype: StateDtype::F32,
            shape: SHAPE,
            timesteps: chain().timesteps,
            random_steps: of.random_steps,
            kept_states: of.kept_states,
        }
    }

    /// Returns the refusal of a header with one lie.
    fn refusal(lie: impl FnOnce(&mut TrajectoryHeader)) -> String {
        let mut header = header(Purpose::Rollout);
        lie(&mut header);
        facts().check("run", &header).unwrap_err().to_string()
    }

    #[test]
    fn accepts_honest_headers_of_both_purposes() {
        for purpose in [Purpose::Rollout, Purpose::Evaluation] {
            assert_eq!(facts().check("run", &header(purpose)), Ok(()));
        }
    }

    #[test]
    fn refuses_a_foreign_run_and_a_purpose_that_is_never_sent() {
        let found = facts().check("nope", &header(Purpose::Rollout)).unwrap_err();
        assert_eq!(found.to_string(), "run: expected run, found nope");
        let found = refusal(|header| header.purpose = Purpose::Weights);
        assert_eq!(found, "purpose: expected rollout or evaluation, found Weights");
    }

    #[test]
    fn refuses_another_shape_and_another_dtype() {
        let large = StateShape { channels: 4, height: 1024, width: 1024 };
        let found = refusal(|header| header.shape = large);
        assert!(found.starts_with("state shape: expected StateShape { channels: 3"), "{found}");
        let found = refusal(|header| header.dtype = StateDtype::F16);
        assert_eq!(found, "state dtype: expected F32, found F16");
    }

    #[test]
    fn refuses_random_steps_beyond_the_chain_or_of_another_epoch() {
        let found = refusal(|header| header.random_steps = (30..39).collect());
        assert!(found.starts_with("random steps: expected [4, 5, 6, 7], found [30, 31"), "{found}");
        let found = refusal(|header| header.random_steps = [2].into());
        assert_eq!(found, "random steps: expected [4, 5, 6, 7], found [2]");
        let found = refusal(|header| header.random_steps = [0, 1, 2, 3].into());
        assert_eq!(found, "random steps: expected [4, 5, 6, 7], found [0, 1, 2, 3]");
    }

    #[test]
    fn refuses_shifted_timesteps_and_a_longer_chain() {
        let found = refusal(|header| header.timesteps = (1..11).rev().collect());
        assert!(found.starts_with("timesteps: expected [9, 8"), "{found}");
        let found = refusal(|header| header.timesteps = (0..40).rev().collect());
        assert!(found.starts_with("timesteps: expected [9, 8"), "{found}");
    }

    #[test]
    fn refuses_the_chain_of_another_epoch_and_other_kept_states() {
        let found = refusal(|header| header.coordinates.epoch = 2);
        assert!(found.starts_with("scheduler digest: "), "{found}");
        let found = refusal(|header| header.kept_states = TrajectoryHeader::all_states(10));
        assert!(found.starts_with("kept states: expected [4, 5, 6, 7, 8, 10]"), "{found}");
    }

    #[test]
    fn cuts_long_values_in_messages() {
        let found = refusal(|header| header.timesteps = (0..1000).rev().collect());
        assert!(found.len() < 300 && found.ends_with("..."), "{found}");
        let run = "ä".repeat(5000);
        let found = facts().check(&run, &header(Purpose::Rollout)).unwrap_err();
        assert_eq!(found.found.chars().count(), SHOWN + 3);
    }

    #[test]
    fn without_a_form_only_run_and_purpose_are_compared() {
        let facts = TrajectoryFacts { form: None, ..facts() };
        let mut other = header(Purpose::Rollout);
        other.dtype = StateDtype::F16;
        assert_eq!(facts.check("run", &other), Ok(()));
        assert!(facts.check("nope", &other).is_err());
    }
}
