//! The score of a reward model for one image.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Largest absolute value of a reward or a component. Sums of squares over an epoch stay finite in
/// f32 up to here, and a single value that is larger would be the only one that counts.
pub const LARGEST: f32 = 1e12;

/// A number of a score that cannot be trained on.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{name}: expected a finite number between -1e12 and 1e12, found {value:?}")]
pub struct OutOfRange {
    /// `reward`, or the component's name.
    pub name: String,
    /// The value.
    pub value: f32,
}

/// A reward and its named components.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The reward that the learner maximises; finite.
    pub reward: f32,
    /// Named components in the reward model's order and unit.
    pub components: Vec<Component>,
}

/// One named component of a [`Score`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// Name, constant in a run: the name of a column and of a metric.
    pub name: String,
    /// Value in the reward model's unit.
    pub value: f32,
}

impl Score {
    /// Creates a score without components.
    pub fn plain(reward: f32) -> Self {
        Self { reward, components: Vec::new() }
    }

    /// Checks that the reward and each component is finite and at most [`LARGEST`] in absolute value.
    ///
    /// # Errors
    /// [`OutOfRange`] names the first number that is not.
    pub fn check_range(&self) -> Result<(), OutOfRange> {
        let components = self.components.iter().map(|part| (part.name.as_str(), part.value));
        let mut numbers = std::iter::once(("reward", self.reward)).chain(components);
        let fits = |value: f32| value.is_finite() && value.abs() <= LARGEST;
        match numbers.find(|(_, value)| !fits(*value)) {
            Some((name, value)) => Err(OutOfRange { name: name.to_owned(), value }),
            None => Ok(()),
        }
    }
}

/// A trajectory and its score, the input of training.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredTrajectory {
    /// The trajectory.
    pub trajectory: crate::trajectory::Trajectory,
    /// The score of its image.
    pub score: Score,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_numbers_that_are_not_finite_or_absurdly_large_by_name() {
        for reward in [0.0, -1e12, 1e12] {
            assert_eq!(Score::plain(reward).check_range(), Ok(()));
        }
        for reward in [f32::NAN, f32::INFINITY, f32::MAX, -1.1e12] {
            let found = Score::plain(reward).check_range().unwrap_err();
            assert_eq!(found.name, "reward");
        }
        let found = Score::plain(3.4e38).check_range().unwrap_err().to_string();
        assert_eq!(found, "reward: expected a finite number between -1e12 and 1e12, found 3.4e38");
        let components = vec![Component { name: "part".into(), value: f32::NEG_INFINITY }];
        let found = Score { reward: 1.0, components }.check_range().unwrap_err().to_string();
        assert!(found.starts_with("part: "), "{found}");
    }
}
