//! Sums of rewards whose terms are standardised before they are added:
//! r = sum_k w_k (r_k - mean_k) / (std_k + 1e-6), over the same samples as the advantage, so that a
//! weight w_k does not depend on the unit of its term.

use crate::advantages::{AdvantageConfig, AdvantageState, EPS, RunningMoments, advantages};
use crate::config::AdvantageScope;
use crate::error::LearnError;
use crate::groups::{Group, Seen};
use ddpo_rollout::reward::{RewardExpression, Term};
use ddpo_rollout::score::ScoredTrajectory;
use serde::{Deserialize, Serialize};

/// One term of a sum, over the samples of an epoch in sample order.
#[derive(Clone, Debug, PartialEq)]
pub struct TermRewards {
    /// The weight w_k.
    pub weight: f64,
    /// The rewards r_k, not standardised.
    pub rewards: Vec<f32>,
}

impl TermRewards {
    /// Returns the rewards of every term of `reward`. The terms of a sum are components of the
    /// scores, under their labels; a single term is the reward of the score.
    ///
    /// # Errors
    /// [`LearnError::Component`] if a component is missing or not finite.
    pub fn of(
        reward: &RewardExpression,
        batch: &[&ScoredTrajectory],
    ) -> Result<Vec<Self>, LearnError> {
        let plain = reward.plain().is_some();
        let of_term = |term: &Term| {
            let label = term.label();
            let values = batch.iter().map(|scored| {
                if plain { Ok(scored.score.reward) } else { component(scored, &label) }
            });
            let rewards = values.collect::<Result<_, _>>()?;
            Ok(Self { weight: f64::from(term.weight), rewards })
        };
        reward.terms().iter().map(of_term).collect()
    }
}

fn component(scored: &ScoredTrajectory, name: &str) -> Result<f32, LearnError> {
    let found = scored.score.components.iter().find(|component| component.name == name);
    let found = found.map(|component| component.value);
    found.filter(|value| value.is_finite()).ok_or_else(|| LearnError::Component {
        sample: scored.trajectory.header().coordinates.sample,
        name: name.to_owned(),
        found: found.map_or_else(|| "none".to_owned(), |value| value.to_string()),
    })
}

/// Running means and sums of products of deviations of the terms' rewards (Welford 1962, for
/// several variables). They give the mean and the standard deviation of a sum of standardised
/// terms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TermMoments {
    count: u64,
    means: Vec<f64>,
    /// The K x K sums of products of deviations, row by row.
    products: Vec<f64>,
}

impl TermMoments {
    /// Returns whether no sample has been added.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns whether the moments are of `terms` terms, or empty.
    pub fn fits(&self, terms: usize) -> bool {
        let whole = self.means.len() == terms && self.products.len() == terms * terms;
        whole || *self == Self::default()
    }

    fn push(&mut self, values: &[f64]) {
        let terms = values.len();
        self.means.resize(terms, 0.0);
        self.products.resize(terms * terms, 0.0);
        self.count += 1;
        let before: Vec<f64> =
            values.iter().zip(&self.means).map(|(value, mean)| value - mean).collect();
        for (mean, delta) in self.means.iter_mut().zip(&before) {
            *mean += delta / self.count as f64;
        }
        for (row, delta) in self.products.chunks_exact_mut(terms).zip(&before) {
            for ((product, value), mean) in row.iter_mut().zip(values).zip(&self.means) {
                *product += delta * (value - mean);
            }
        }
    }

    /// Returns the unbiased covariance of two terms; 0 for fewer than two samples.
    fn covariance(&self, one: usize, other: usize) -> f64 {
        let product = self.products.get(one * self.means.len() + other).copied().unwrap_or(0.0);
        product / self.count.saturating_sub(1).max(1) as f64
    }

    /// Returns the standardised sums of `samples`. Their mean over all samples so far is 0, because the
    /// mean of each standardised term is 0.
    fn standardise(&self, terms: &[TermRewards], samples: &[usize]) -> Vec<f64> {
        let std = |index: usize| self.covariance(index, index).sqrt();
        let factors: Vec<f64> =
            terms.iter().enumerate().map(|(at, term)| term.weight / (std(at) + EPS)).collect();
        let mut variance = 0.0;
        for (one, a) in factors.iter().enumerate() {
            for (other, b) in factors.iter().enumerate() {
                variance += a * b * self.covariance(one, other);
            }
        }
        let scale = 1.0 / (variance.max(0.0).sqrt() + EPS);
        let centred = |&sample: &usize| {
            let parts = terms.iter().zip(&self.means).zip(&factors);
            let parts = parts
                .map(|((term, mean), factor)| factor * (f64::from(term.rewards[sample]) - mean));
            parts.sum::<f64>() * scale
        };
        samples.iter().map(centred).collect()
    }
}

/// Returns the advantages of the sums of standardised `terms`, in sample order, clipped to
/// [-`clip`, `clip`]. `classes` has the class of each sample, over which terms and sums are standardised; it
/// is empty for a model without classes.
///
/// [`AdvantageScope::Running`] adds the samples to `seen` and standardises all sums so far with the
/// current statistics; the other scopes leave `seen` unchanged.
pub fn advantages_of_terms(
    terms: &[TermRewards],
    classes: &[u32],
    config: &AdvantageConfig,
    seen: &mut Seen<TermMoments>,
) -> Vec<f32> {
    let samples = terms.first().map_or(0, |term| term.rewards.len());
    let groups = config.groups(samples, classes);
    // The settings refuse a fixed scale with standardised terms.
    if config.scope != AdvantageScope::Running {
        let sums = sums(terms, samples, &groups);
        return advantages(&sums, classes, config, &mut AdvantageState::default());
    }
    let mut found = vec![0.0; samples];
    for group in &groups {
        let seen = seen.of(group.class);
        for &sample in &group.samples {
            let values = terms.iter().map(|term| f64::from(term.rewards[sample]));
            seen.push(&values.collect::<Vec<_>>());
        }
        group.put(seen.standardise(terms, &group.samples), &mut found);
    }
    let clip = config.clip;
    found.into_iter().map(|advantage: f64| advantage.clamp(-clip, clip) as f32).collect()
}

/// Returns the weighted sums of terms over `samples` samples, each term standardised over each group.
fn sums(terms: &[TermRewards], samples: usize, groups: &[Group]) -> Vec<f32> {
    let mut sums = vec![0.0_f64; samples];
    for TermRewards { weight, rewards } in terms {
        for group in groups {
            let moments = RunningMoments::of(&group.of(rewards));
            let scale = weight / (moments.std() + EPS);
            for &sample in &group.samples {
                sums[sample] += (f64::from(rewards[sample]) - moments.mean()) * scale;
            }
        }
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::groups;

    /// Kilobytes and probabilities: mean -2 and std 1; mean 0.5 and std 0.3.
    fn terms() -> Vec<TermRewards> {
        vec![
            TermRewards { weight: 0.5, rewards: vec![-3.0, -2.0, -1.0] },
            TermRewards { weight: 2.0, rewards: vec![0.5, 0.2, 0.8] },
        ]
    }

    fn close(found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-4, "{found} {expected}");
        }
    }

    fn config(scope: AdvantageScope, clip: f64) -> AdvantageConfig {
        AdvantageConfig { scope, batch_size: 3, clip, min_std: 0.0 }
    }

    fn of(terms: &[TermRewards], scope: AdvantageScope, seen: &mut Seen<TermMoments>) -> Vec<f32> {
        advantages_of_terms(terms, &[], &config(scope, 10.0), seen)
    }

    /// The sums are 0.5*(-1, 0, 1) + 2*(0, -1, 1) = (-0.5, -2, 2.5), of mean 0 and variance
    /// (0.25 + 4 + 6.25) / 2.
    #[test]
    fn the_sums_of_standardised_terms_are_those_by_hand() {
        close(&sums(&terms(), 3, &groups(3, 3, &[])), &[-0.5, -2.0, 2.5]);
        let std = 5.25_f64.sqrt();
        let expected = [-0.5 / std, -2.0 / std, 2.5 / std];
        for scope in [AdvantageScope::Epoch, AdvantageScope::Batch, AdvantageScope::Running] {
            close(&of(&terms(), scope, &mut Seen::default()), &expected);
        }
        let running = config(AdvantageScope::Running, 0.5);
        let clipped = advantages_of_terms(&terms(), &[], &running, &mut Seen::default());
        assert_eq!(clipped[1..], [-0.5, 0.5]);
    }

    #[test]
    fn units_do_not_matter() {
        let mut scaled = terms();
        scaled[0].rewards.iter_mut().for_each(|reward| *reward = *reward * 1000.0 + 5.0);
        for scope in [AdvantageScope::Epoch, AdvantageScope::Running] {
            let (one, other) = (&mut Seen::default(), &mut Seen::default());
            let expected: Vec<f64> = of(&terms(), scope, one).into_iter().map(f64::from).collect();
            close(&of(&scaled, scope, other), &expected);
        }
    }

    /// The last epoch's running advantages equal those over all rewards at once, however the
    /// rewards are split into epochs.
    #[test]
    fn running_statistics_carry_on_from_epoch_to_epoch() {
        let part = |range: std::ops::Range<usize>| -> Vec<TermRewards> {
            let cut = |term: &TermRewards| TermRewards {
                weight: term.weight,
                rewards: [&term.rewards[..], &[4.0, 0.25, -1.0]].concat()[range.clone()].to_vec(),
            };
            terms().iter().map(cut).collect()
        };
        let mut seen = Seen::<TermMoments>::default();
        let _ = of(&part(0..4), AdvantageScope::Running, &mut seen);
        let text = serde_json::to_string(&seen).unwrap();
        let mut resumed: Seen<TermMoments> = serde_json::from_str(&text).unwrap();
        assert_eq!(resumed, seen);
        let (all, none) = (&resumed.all, TermMoments::default());
        assert!(all.fits(2) && !all.fits(3) && none.fits(3));
        let last = of(&part(4..6), AdvantageScope::Running, &mut resumed);
        let whole = of(&part(0..6), AdvantageScope::Running, &mut Seen::default());
        let expected: Vec<f64> = whole[4..].iter().map(|value| f64::from(*value)).collect();
        close(&last, &expected);
    }

    #[test]
    fn a_term_that_never_changes_adds_nothing() {
        let flat = TermRewards { weight: 7.0, rewards: vec![0.1; 3] };
        let with_flat = [terms(), vec![flat]].concat();
        for scope in [AdvantageScope::Epoch, AdvantageScope::Running] {
            let (one, other) = (&mut Seen::default(), &mut Seen::default());
            let expected: Vec<f64> = of(&terms(), scope, one).into_iter().map(f64::from).collect();
            close(&of(&with_flat, scope, other), &expected);
        }
    }

    /// Two classes whose terms have other means and units give the advantages of each class alone.
    #[test]
    fn terms_are_standardised_within_a_class() {
        let shifted = |term: &TermRewards| TermRewards {
            weight: term.weight,
            rewards: term
                .rewards
                .iter()
                .flat_map(|reward| [*reward, 40.0 + 3.0 * reward])
                .chain([9.0])
                .collect(),
        };
        let both: Vec<TermRewards> = terms().iter().map(shifted).collect();
        let classes = [1, 6, 1, 6, 1, 6, 8];
        let std = 5.25_f64.sqrt();
        let one = [-0.5 / std, -2.0 / std, 2.5 / std];
        let expected: Vec<f64> = one.iter().flat_map(|one| [*one; 2]).chain([0.0]).collect();
        for scope in [AdvantageScope::Epoch, AdvantageScope::Running] {
            let mut seen = Seen::default();
            let found = advantages_of_terms(&both, &classes, &config(scope, 10.0), &mut seen);
            close(&found, &expected);
        }
    }
}
