//! Advantages: A = clip((r - mean) / (std + 1e-6), -c, c) with the unbiased standard deviation, over
//! the epoch, the mini-batch or all rewards so far (no value function is
//! trained).

use crate::config::AdvantageScope;
use serde::{Deserialize, Serialize};

/// Added to a standard deviation before a division by it.
pub(crate) const EPS: f64 = 1e-6;

/// Count, mean and sum of squared deviations of rewards, updated one at a time (Welford 1962).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunningMoments {
    count: u64,
    mean: f64,
    squares: f64,
}

impl RunningMoments {
    fn push(&mut self, value: f64) {
        self.count += 1;
        let delta = value - self.mean;
        self.mean += delta / self.count as f64;
        self.squares += delta * (value - self.mean);
    }

    pub(crate) fn of(values: &[f32]) -> Self {
        let mut moments = Self::default();
        values.iter().for_each(|&value| moments.push(f64::from(value)));
        moments
    }

    /// Returns the mean; 0 without values.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Returns the unbiased standard deviation; 0 for fewer than two values.
    pub fn std(&self) -> f64 {
        match self.count {
            0 | 1 => 0.0,
            count => (self.squares / (count - 1) as f64).sqrt(),
        }
    }

    fn standardise(&self, rewards: &[f32]) -> Vec<f32> {
        let scale = 1.0 / (self.std() + EPS);
        rewards.iter().map(|&reward| ((f64::from(reward) - self.mean) * scale) as f32).collect()
    }
}

/// Returns the advantages of an epoch's `rewards`, in their order, clipped to [-`clip`, `clip`].
///
/// `batch_size` is the mini-batch of [`AdvantageScope::Batch`]. [`AdvantageScope::Running`] adds the
/// rewards to `running` before it standardises with it; the other scopes leave it unchanged.
pub fn advantages(
    rewards: &[f32],
    scope: AdvantageScope,
    batch_size: usize,
    running: &mut RunningMoments,
    clip: f64,
) -> Vec<f32> {
    let standardised: Vec<f32> = match scope {
        AdvantageScope::Epoch => RunningMoments::of(rewards).standardise(rewards),
        AdvantageScope::Batch => rewards
            .chunks(batch_size)
            .flat_map(|batch| RunningMoments::of(batch).standardise(batch))
            .collect(),
        AdvantageScope::Running => {
            rewards.iter().for_each(|&reward| running.push(f64::from(reward)));
            running.standardise(rewards)
        }
    };
    let clip = clip as f32;
    standardised.into_iter().map(|advantage| advantage.clamp(-clip, clip)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REWARDS: [f32; 6] = [1.0, 4.0, -2.0, 8.0, 0.5, 3.0];

    /// The last epoch's advantages are those over all rewards, however they were cut.
    #[test]
    fn running_statistics_carry_on_from_epoch_to_epoch() {
        let mut running = RunningMoments::default();
        let standardised = |rewards: &[f32], running: &mut RunningMoments| {
            advantages(rewards, AdvantageScope::Running, 2, running, f64::INFINITY)
        };
        let _ = standardised(&REWARDS[..4], &mut running);
        let last = standardised(&REWARDS[4..], &mut running);
        let whole = standardised(&REWARDS, &mut RunningMoments::default());
        for (found, expected) in last.iter().zip(&whole[4..]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn other_scopes_leave_the_running_statistics_alone() {
        for scope in [AdvantageScope::Epoch, AdvantageScope::Batch] {
            let mut running = RunningMoments::default();
            let _ = advantages(&REWARDS, scope, 3, &mut running, 10.0);
            assert_eq!(running, RunningMoments::default());
        }
    }

    #[test]
    fn a_single_reward_has_no_advantage() {
        let found =
            advantages(&[5.0], AdvantageScope::Running, 1, &mut RunningMoments::default(), 10.0);
        assert_eq!(found, [0.0]);
    }
}
