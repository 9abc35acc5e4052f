//! The denoising chain of a run: which steps are random in an epoch, and which states of a
//! trajectory are kept. Sampler, learner and the wire follow the same [`Chain`].

use crate::noise::Purpose;
use crate::trajectory::Digest;
use crate::window::Window;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The states of a trajectory that an objective trains on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NeededStates {
    /// Both states of each random step, and x_0.
    #[default]
    Steps,
    /// x_0 alone.
    Image,
}

/// What the chain of a run consists of. Without a window every epoch has the same steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// The timesteps, from high to low; T of them.
    pub timesteps: Arc<[i64]>,
    /// Indices of the steps that are random without a window.
    pub random_steps: Arc<[usize]>,
    /// Digest of the table of steps without a window.
    pub digest: Digest,
    /// The window that training samples are drawn with.
    pub window: Option<Window>,
    /// The states of training samples that are kept.
    pub needed: NeededStates,
}

/// The chain of one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochChain {
    /// Digest of the steps.
    pub digest: Digest,
    /// Indices of the random steps, ascending.
    pub random_steps: Arc<[usize]>,
    /// Indices of the kept states, ascending; 0 is x_T, and the last is T, which is x_0.
    pub kept_states: Arc<[usize]>,
}

impl Chain {
    /// Returns the chain that samples of `purpose` and `epoch` are drawn with. Evaluation samples are
    /// drawn without a window and keep x_0 alone.
    pub fn of(&self, purpose: Purpose, run_seed: u64, epoch: u32) -> EpochChain {
        let steps = self.timesteps.len();
        let is_training = purpose == Purpose::Rollout;
        match self.window.filter(|_| is_training) {
            Some(window) => {
                let random_steps = window.steps(&self.random_steps, run_seed, epoch);
                EpochChain {
                    digest: windowed_digest(self.digest, &random_steps),
                    kept_states: kept_states(&random_steps, steps, self.needed).into(),
                    random_steps: random_steps.into(),
                }
            }
            None => {
                let needed = if is_training { self.needed } else { NeededStates::Image };
                EpochChain {
                    digest: self.digest,
                    random_steps: Arc::clone(&self.random_steps),
                    kept_states: kept_states(&self.random_steps, steps, needed).into(),
                }
            }
        }
    }
}

/// Returns the digest of a table of steps whose steps outside `random_steps` are deterministic.
pub fn windowed_digest(table: Digest, random_steps: &[usize]) -> Digest {
    let mut bytes = table.0.to_vec();
    random_steps.iter().for_each(|&step| bytes.extend((step as u64).to_le_bytes()));
    Digest::of(&bytes)
}

/// Returns the indices of the states that are kept: for `random_steps` of a chain of `steps` steps the
/// states before and after each, and x_0.
fn kept_states(random_steps: &[usize], steps: usize, needed: NeededStates) -> Vec<usize> {
    let mut kept: Vec<usize> = match needed {
        NeededStates::Steps => random_steps.iter().flat_map(|&step| [step, step + 1]).collect(),
        NeededStates::Image => Vec::new(),
    };
    kept.push(steps);
    kept.sort_unstable();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(window: Option<&str>, needed: NeededStates) -> Chain {
        Chain {
            timesteps: [9, 7, 5, 3, 1].into(),
            random_steps: [0, 1, 2, 3].into(),
            digest: Digest([1; 32]),
            window: window.map(|text| text.parse().unwrap()),
            needed,
        }
    }

    fn kept(chain: &Chain, purpose: Purpose) -> Vec<usize> {
        chain.of(purpose, 5, 0).kept_states.to_vec()
    }

    #[test]
    fn keeps_the_states_that_the_objective_needs() {
        let all = chain(None, NeededStates::Steps);
        assert_eq!(kept(&all, Purpose::Rollout), [0, 1, 2, 3, 4, 5]);
        assert_eq!(kept(&all, Purpose::Evaluation), [5]);
        let window = chain(Some("2:1"), NeededStates::Steps);
        assert_eq!(kept(&window, Purpose::Rollout), [1, 2, 3, 5]);
        assert_eq!(window.of(Purpose::Rollout, 5, 0).random_steps[..], [1, 2]);
        let image = chain(None, NeededStates::Image);
        assert_eq!(kept(&image, Purpose::Rollout), [5]);
    }

    #[test]
    fn a_window_changes_the_digest_of_training_samples_only() {
        let window = chain(Some("2:moving"), NeededStates::Steps);
        let digest = |purpose, epoch| window.of(purpose, 5, epoch).digest;
        assert_ne!(digest(Purpose::Rollout, 0), digest(Purpose::Rollout, 1));
        assert_eq!(digest(Purpose::Evaluation, 1), window.digest);
    }
}
