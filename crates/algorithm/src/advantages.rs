//! Advantages: A = clip((r - mean) / (max(std, floor) + 1e-6), -c, c) with the unbiased standard
//! deviation, of the epoch, the mini-batch, all rewards so far, or the first epoch. No value
//! function is trained.
//!
//! For a class-conditional model, mean and deviation are those of the sample's class, as Black et al. 2023
//! take those of a prompt. Otherwise an advantage would compare classes, whose rewards differ whatever the
//! policy does. The only sample of a class has the advantage 0.

use crate::config::AdvantageScope;
use crate::groups::{Group, Seen, groups};
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

    pub(crate) fn of<T: Copy + Into<f64>>(values: &[T]) -> Self {
        let mut moments = Self::default();
        values.iter().for_each(|&value| moments.push(value.into()));
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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdvantageState {
    /// All rewards so far, for [`AdvantageScope::Running`].
    pub running: Seen<RunningMoments>,
    /// The standard deviation of [`AdvantageScope::Fixed`]; set by the first epoch.
    pub fixed_std: Option<f64>,
}

impl AdvantageConfig {
    /// Returns the groups of samples over which advantages are standardised.
    pub(crate) fn groups(&self, samples: usize, classes: &[u32]) -> Vec<Group> {
        let size = match self.scope {
            AdvantageScope::Batch => self.batch_size,
            AdvantageScope::Epoch | AdvantageScope::Running | AdvantageScope::Fixed => samples,
        };
        groups(samples, size, classes)
    }
}

/// Returns the advantages of an epoch's `rewards`, in their order, clipped to [-c, c]. `classes` has the
/// class of each sample; it is empty for a model without classes.
///
/// [`AdvantageScope::Running`] adds the rewards to `state.running` before it standardises with it;
/// [`AdvantageScope::Fixed`] sets `state.fixed_std` if it is not set: the standard deviation within
/// classes, pooled over all of them. The other scopes leave `state` unchanged.
pub fn advantages(
    rewards: &[f32],
    classes: &[u32],
    config: &AdvantageConfig,
    state: &mut AdvantageState,
) -> Vec<f32> {
    let floor = |std: f64| std.max(config.min_std);
    let groups = config.groups(rewards.len(), classes);
    if config.scope == AdvantageScope::Fixed && state.fixed_std.is_none() {
        state.fixed_std = pooled_std(rewards, &groups);
    }
    let mut found = vec![0.0; rewards.len()];
    for group in &groups {
        let rewards = group.of(rewards);
        let moments = if config.scope == AdvantageScope::Running {
            let running = state.running.of(group.class);
            rewards.iter().for_each(|&reward| running.push(f64::from(reward)));
            *running
        } else {
            RunningMoments::of(&rewards)
        };
        let std = match config.scope {
            AdvantageScope::Fixed => state.fixed_std.unwrap_or_default(),
            _ => moments.std(),
        };
        group.put(moments.standardise(&rewards, floor(std)), &mut found);
    }
    let clip = config.clip as f32;
    found.into_iter().map(|advantage| advantage.clamp(-clip, clip)).collect()
}

/// Returns the standard deviation of rewards around the means of their groups; `None` if every group has one
/// sample.
fn pooled_std(rewards: &[f32], groups: &[Group]) -> Option<f64> {
    let squares: f64 =
        groups.iter().map(|group| RunningMoments::of(&group.of(rewards)).squares).sum();
    let freedom = rewards.len().saturating_sub(groups.len());
    (freedom > 0).then(|| (squares / freedom as f64).sqrt())
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
            advantages(rewards, &[], &config(AdvantageScope::Running), state)
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
            let _ = advantages(&REWARDS, &[], &config(scope), &mut state);
            assert_eq!(state, AdvantageState::default());
        }
    }

    #[test]
    fn a_single_reward_has_no_advantage() {
        let running = config(AdvantageScope::Running);
        assert_eq!(advantages(&[5.0], &[], &running, &mut AdvantageState::default()), [0.0]);
    }

    #[test]
    fn a_fixed_scale_is_that_of_the_first_epoch() {
        let (mut state, fixed) = (AdvantageState::default(), config(AdvantageScope::Fixed));
        let first = advantages(&REWARDS, &[], &fixed, &mut state);
        let epoch = config(AdvantageScope::Epoch);
        assert_eq!(first, advantages(&REWARDS, &[], &epoch, &mut state));
        let narrow: Vec<f32> = REWARDS.iter().map(|reward| reward / 8.0).collect();
        let second = advantages(&narrow, &[], &fixed, &mut state);
        for (first, second) in first.iter().zip(&second) {
            assert!((first / 8.0 - second).abs() < 1e-6, "{first} {second}");
        }
        let mut given = AdvantageState { fixed_std: Some(2.0), ..AdvantageState::default() };
        assert_eq!(
            advantages(&[1.0, 5.0], &[], &fixed, &mut given),
            [-1.0, 1.0].map(|one: f32| { (f64::from(one) * 2.0 / (2.0 + EPS)) as f32 })
        );
    }

    #[test]
    fn a_floor_keeps_small_differences_small() {
        let with_floor = AdvantageConfig { min_std: 2.0, ..config(AdvantageScope::Epoch) };
        let found = advantages(&[0.0, 0.02], &[], &with_floor, &mut AdvantageState::default());
        assert!((found[1] - 0.005).abs() < 1e-6, "{found:?}");
    }

    /// Class 1 has the rewards 1 and 5 (mean 3, std 2 sqrt 2), class 4 has 100, 102 and 104 (mean 102, std
    /// 2), class 9 has one sample.
    const CLASSES: [u32; 6] = [1, 4, 4, 1, 9, 4];
    const BY_CLASS: [f32; 6] = [1.0, 100.0, 104.0, 5.0, -7.0, 102.0];

    fn close(found: &[f32], expected: [f64; 6]) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn rewards_are_compared_within_a_class() {
        let half = 0.5_f64.sqrt();
        let expected = [-half, -1.0, 1.0, half, 0.0, 0.0];
        for scope in [AdvantageScope::Epoch, AdvantageScope::Running] {
            let mut state = AdvantageState::default();
            close(&advantages(&BY_CLASS, &CLASSES, &config(scope), &mut state), expected);
        }
        // The mini-batches have one sample of class 1 each, and one of class 9.
        let mut state = AdvantageState::default();
        let batch = config(AdvantageScope::Batch);
        let expected = [0.0, -half, half, 0.0, 0.0, 0.0];
        close(&advantages(&BY_CLASS, &CLASSES, &batch, &mut state), expected);
    }

    /// Squares around the means of the classes: 8 + 8 + 0, of 6 samples in 3 classes.
    #[test]
    fn a_fixed_scale_is_the_deviation_within_classes() {
        let (mut state, fixed) = (AdvantageState::default(), config(AdvantageScope::Fixed));
        let std = (16.0_f64 / 3.0).sqrt();
        let expected = [-2.0 / std, -2.0 / std, 2.0 / std, 2.0 / std, 0.0, 0.0];
        close(&advantages(&BY_CLASS, &CLASSES, &fixed, &mut state), expected);
        assert!((state.fixed_std.unwrap() - std).abs() < 1e-9);
    }

    #[test]
    fn an_epoch_of_single_samples_sets_no_fixed_scale() {
        let (mut state, fixed) = (AdvantageState::default(), config(AdvantageScope::Fixed));
        assert_eq!(advantages(&[3.0, 8.0], &[0, 1], &fixed, &mut state), [0.0, 0.0]);
        assert_eq!(state.fixed_std, None);
        let found = advantages(&[3.0, 8.0], &[1, 1], &fixed, &mut state);
        assert!((found[1] - 0.5_f32.sqrt()).abs() < 1e-5, "{found:?}");
    }

    #[test]
    fn running_statistics_of_a_class_make_single_samples_comparable() {
        let mut state = AdvantageState::default();
        let running = config(AdvantageScope::Running);
        let of = |rewards: &[f32], state: &mut AdvantageState| {
            advantages(rewards, &[2, 3], &running, state)
        };
        assert_eq!(of(&[1.0, 50.0], &mut state), [0.0, 0.0]);
        let second = of(&[5.0, 40.0], &mut state);
        let half = 0.5_f64.sqrt();
        assert!((f64::from(second[0]) - half).abs() < 1e-6, "{second:?}");
        assert!((f64::from(second[1]) + half).abs() < 1e-6, "{second:?}");
        assert_eq!(state.running.all, RunningMoments::default());
    }
}
