//! Advantages: A = clip((r - mean) / (max(std, floor) + 1e-6), -c, c) with the unbiased standard
//! deviation, of the epoch, the mini-batch, all rewards so far, or the first epoch. No value
//! function is trained.

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

    fn standardise(&self, rewards: &[f32], std: f64) -> Vec<f32> {
        let scale = 1.0 / (std + EPS);
        rewards.iter().map(|&reward| ((f64::from(reward) - self.mean) * scale) as f32).collect()
    }
}

/// How rewards become advantages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdvantageConfig {
    /// The rewards over which they are standardised.
    pub scope: AdvantageScope,
    /// The mini-batch of [`AdvantageScope::Batch`].
    pub batch_size: usize,
    /// c: advantages are clipped to [-c, c].
    pub clip: f64,
    /// The smallest standard deviation that rewards are divided by.
    pub min_std: f64,
}

/// The statistics of advantages that a run carries from epoch to epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AdvantageState {
    /// All rewards so far, for [`AdvantageScope::Running`].
    pub running: RunningMoments,
    /// The standard deviation of [`AdvantageScope::Fixed`]; set by the first epoch.
    pub fixed_std: Option<f64>,
}

/// Returns the advantages of an epoch's `rewards`, in their order, clipped to [-c, c].
///
/// [`AdvantageScope::Running`] adds the rewards to `state.running` before it standardises with it;
/// [`AdvantageScope::Fixed`] sets `state.fixed_std` if it is not set. The other scopes leave `state`
/// unchanged.
pub fn advantages(
    rewards: &[f32],
    config: &AdvantageConfig,
    state: &mut AdvantageState,
) -> Vec<f32> {
    let floor = |std: f64| std.max(config.min_std);
    let within = |rewards: &[f32]| {
        let moments = RunningMoments::of(rewards);
        moments.standardise(rewards, floor(moments.std()))
    };
    let standardised: Vec<f32> = match config.scope {
        AdvantageScope::Epoch => within(rewards),
        AdvantageScope::Batch => rewards.chunks(config.batch_size).flat_map(within).collect(),
        AdvantageScope::Running => {
            rewards.iter().for_each(|&reward| state.running.push(f64::from(reward)));
            state.running.standardise(rewards, floor(state.running.std()))
        }
        AdvantageScope::Fixed => {
            let moments = RunningMoments::of(rewards);
            let std = *state.fixed_std.get_or_insert_with(|| moments.std());
            moments.standardise(rewards, floor(std))
        }
    };
    let clip = config.clip as f32;
    standardised.into_iter().map(|advantage| advantage.clamp(-clip, clip)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REWARDS: [f32; 6] = [1.0, 4.0, -2.0, 8.0, 0.5, 3.0];

    fn config(scope: AdvantageScope) -> AdvantageConfig {
        AdvantageConfig { scope, batch_size: 3, clip: f64::from(f32::MAX), min_std: 0.0 }
    }

    /// The last epoch's running advantages equal those over all rewards at once, however the
    /// rewards are split into epochs.
    #[test]
    fn running_statistics_carry_on_from_epoch_to_epoch() {
        let mut state = AdvantageState::default();
        let standardised = |rewards: &[f32], state: &mut AdvantageState| {
            advantages(rewards, &config(AdvantageScope::Running), state)
        };
        let _ = standardised(&REWARDS[..4], &mut state);
        let last = standardised(&REWARDS[4..], &mut state);
        let whole = standardised(&REWARDS, &mut AdvantageState::default());
        for (found, expected) in last.iter().zip(&whole[4..]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn other_scopes_leave_the_running_statistics_alone() {
        for scope in [AdvantageScope::Epoch, AdvantageScope::Batch] {
            let mut state = AdvantageState::default();
            let _ = advantages(&REWARDS, &config(scope), &mut state);
            assert_eq!(state, AdvantageState::default());
        }
    }

    #[test]
    fn a_single_reward_has_no_advantage() {
        let running = config(AdvantageScope::Running);
        assert_eq!(advantages(&[5.0], &running, &mut AdvantageState::default()), [0.0]);
    }

    #[test]
    fn a_fixed_scale_is_that_of_the_first_epoch() {
        let (mut state, fixed) = (AdvantageState::default(), config(AdvantageScope::Fixed));
        let first = advantages(&REWARDS, &fixed, &mut state);
        assert_eq!(first, advantages(&REWARDS, &config(AdvantageScope::Epoch), &mut state));
        let narrow: Vec<f32> = REWARDS.iter().map(|reward| reward / 8.0).collect();
        let second = advantages(&narrow, &fixed, &mut state);
        for (first, second) in first.iter().zip(&second) {
            assert!((first / 8.0 - second).abs() < 1e-6, "{first} {second}");
        }
        let mut given = AdvantageState { fixed_std: Some(2.0), ..AdvantageState::default() };
        assert_eq!(
            advantages(&[1.0, 5.0], &fixed, &mut given),
            [-1.0, 1.0].map(|one: f32| { (f64::from(one) * 2.0 / (2.0 + EPS)) as f32 })
        );
    }

    #[test]
    fn a_floor_keeps_small_differences_small() {
        let with_floor = AdvantageConfig { min_std: 2.0, ..config(AdvantageScope::Epoch) };
        let found = advantages(&[0.0, 0.02], &with_floor, &mut AdvantageState::default());
        assert!((found[1] - 0.005).abs() < 1e-6, "{found:?}");
    }
}
