//! What a run started from, as `run.toml` records it.

use crate::average::averaged;
use ddpo_algorithm::learner::Learner;
use ddpo_rollout::trajectory::Digest;
use serde::{Deserialize, Serialize};

/// The start of a run. A folder or a name on the Hub can hold other weights later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Digest of the weights that the first evaluation draws with, in the run's `dtype`: the average if
    /// the run keeps one, otherwise the policy.
    pub weights: Digest,
}

impl Start {
    /// The table of `run.toml` with the start.
    pub const TABLE: &str = "start";

    /// Returns the start of a run whose `learner` has not trained yet.
    pub fn of(learner: &Learner) -> Self {
        let weights = match averaged(learner) {
            Some(average) => average.parameters().digest(),
            None => learner.policy().network().parameters().digest(),
        };
        Self { weights }
    }
}
