//! Trajectories of older weights: which are taken, what is told of them, and the objective that is
//! made for them.

use crate::tiny::{self, SHAPE, learner, log_prob, rollouts_of, settings, unet, with_rewards};
use ddpo_algorithm::config::{LearnerConfig, Objective};
use ddpo_algorithm::error::LearnError;
use ddpo_algorithm::learner::{Learner, Position};
use ddpo_diffusion::gaussian::Reduction;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{PolicyVersion, Trajectory};

const REWARDS: [f32; 8] = [1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0];

fn one_step(objective: Objective) -> LearnerConfig {
    LearnerConfig { objective, batch_size: 8, max_staleness: 1, ..settings() }
}

/// Epoch 1, drawn with version 0, whose weights are `unet(1)` moved by `distance`.
fn old(distance: f64) -> Vec<ScoredTrajectory> {
    let network = unet(1);
    tiny::disturb(&network, distance);
    with_rewards(&rollouts_of(&network, PolicyVersion(0), 1, 8), &REWARDS)
}

/// Epoch 1, drawn with version 1, whose weights are `unet(1)`.
fn fresh() -> Vec<ScoredTrajectory> {
    with_rewards(&rollouts_of(&unet(1), PolicyVersion(1), 1, 8), &REWARDS)
}

/// A learner at `version` with the weights `unet(1)`.
fn learner_at(version: u64, settings: LearnerConfig) -> Learner {
    let mut learner = learner(settings);
    learner.resume_at(Position { version: PolicyVersion(version), ..Position::default() });
    learner
}

/// `scored` as if the sampler had found other log-probabilities.
fn misjudged(scored: &ScoredTrajectory) -> ScoredTrajectory {
    let (header, states) = (scored.trajectory.header(), scored.trajectory.states());
    let log_probs = scored.trajectory.log_probs().iter().map(|value| value + 0.1).collect();
    let trajectory = Trajectory::new(header.clone(), states.to_vec(), log_probs).unwrap();
    ScoredTrajectory { trajectory, score: scored.score.clone() }
}

#[test]
fn a_sample_beyond_the_bound_is_refused_by_name() {
    let batch = old(0.0);
    for (version, bound) in [(1, 0), (2, 1), (7, 3)] {
        let settings = LearnerConfig { max_staleness: bound, ..settings() };
        let mut learner = learner_at(version, settings);
        let error = learner.update(&batch, &mut |_, _| {}).unwrap_err();
        let LearnError::Stale { sample: 0, lag, bound: found, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((lag, found), (version, bound));
        let expected = format!(
            "learner: sample 0 was made with v0, the learner is at v{version}: a lag of {version}, \
             expected at most max_staleness = {bound}"
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!((learner.version().0, learner.position().optimizer_step), (version, 0));
    }
    let settings = LearnerConfig { max_staleness: 2, ..settings() };
    learner_at(2, settings).update(&batch, &mut |_, _| {}).unwrap();
}

#[test]
fn a_sample_of_weights_to_come_is_refused() {
    let settings = LearnerConfig { max_staleness: 5, ..settings() };
    let error = learner_at(0, settings).update(&fresh(), &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, LearnError::Unknown { sample: 0, .. }), "{error}");
}

#[test]
fn without_a_lag_the_decoupled_objective_is_the_clipped_one() {
    // The first size is that of the rollouts, the other mixes steps and rounds otherwise.
    for (reduction, size) in [(Reduction::Mean, 8), (Reduction::Mean, 7), (Reduction::Sum, 7)] {
        let update = |objective| {
            let settings = LearnerConfig {
                log_prob: reduction,
                clip_ratio: 0.2,
                micro_batch_size: size,
                ..one_step(objective)
            };
            let mut learner = learner_at(1, settings);
            let report = learner.update(&fresh(), &mut |_, _| {}).unwrap();
            assert!(report.staleness.is_empty());
            tiny::gradient(&learner)
        };
        let (clipped, decoupled) = (update(Objective::ClippedIs), update(Objective::Decoupled));
        let gap = (decoupled - &clipped).abs().max() / clipped.abs().max();
        let gap = gap.double_value(&[]);
        println!("{reduction:?}, {size}: gradients differ by {gap:.2e} of the largest");
        assert!(gap < 1e-6, "{reduction:?}, {size}: gradients differ by {gap:.2e}");
    }
}

/// On the first step the ratio is one and the loss is -w A, with w from the weights' own
/// log-probabilities.
#[test]
fn the_importance_weight_is_that_of_the_weights_before_the_update() {
    let batch = old(1e-3);
    let settings = LearnerConfig { log_prob: Reduction::Sum, ..one_step(Objective::Decoupled) };
    let report = learner_at(1, settings).update(&batch, &mut |_, _| {}).unwrap();
    assert!(report.ratio_gap_max < 1e-5, "two passes differ by {:.2e}", report.ratio_gap_max);
    assert_eq!(report.clip_fraction, 0.0, "the clip is around the current weights");
    let std = (REWARDS.iter().map(|r| f64::from(r * r)).sum::<f64>() / 7.0).sqrt();
    let network = unet(1);
    let (mut loss, mut weights) = (0.0, Vec::new());
    for scored in &batch {
        let sampled = scored.trajectory.log_probs();
        for (now, then) in tiny::log_probs(&network, scored).iter().zip(sampled) {
            let weight = ((now - f64::from(*then)) * SHAPE.elements() as f64).exp().min(5.0);
            loss -= weight * f64::from(scored.score.reward) / (std + 1e-6);
            weights.push(weight);
        }
    }
    let pairs = weights.len() as f64;
    let mean = weights.iter().sum::<f64>() / pairs;
    let spread = weights.iter().map(|w| (w - mean).abs()).fold(0.0, f64::max);
    assert!(spread > 0.05, "the weights say something: {weights:?}");
    assert!((report.loss - loss / pairs).abs() < 2e-4, "{} {}", report.loss, loss / pairs);
    let [told] = report.staleness.as_slice() else { panic!("{:?}", report.staleness) };
    assert_eq!((told.lag, told.trajectories, told.clip_fraction), (1, 8, 0.0));
    let found = told.importance_mean.unwrap();
    assert!((found - mean).abs() < 2e-4, "{found} {mean}");
}

#[test]
fn large_importance_weights_are_cut() {
    let report = |importance_cap| {
        let reduction = Reduction::Sum;
        let settings =
            LearnerConfig { log_prob: reduction, importance_cap, ..one_step(Objective::Decoupled) };
        let report = learner_at(1, settings).update(&old(1e-2), &mut |_, _| {}).unwrap();
        report.staleness[0].clone()
    };
    let (loose, tight) = (report(1e9), report(1.5));
    assert_eq!(loose.importance_cut_fraction, Some(0.0));
    assert!(tight.importance_cut_fraction > Some(0.0), "{tight:?}");
    assert!(tight.importance_mean < loose.importance_mean && tight.importance_mean <= Some(1.5));
}

/// Half of the samples are the learner's own. Only theirs are held against the sampler's word.
#[test]
fn samples_of_several_ages_are_told_apart() {
    let mut batch = fresh();
    batch.splice(4.., old(1e-4).split_off(4));
    for objective in [Objective::ClippedIs, Objective::Decoupled] {
        let update = |batch: &[ScoredTrajectory]| {
            learner_at(1, one_step(objective)).update(batch, &mut |_, _| {})
        };
        let report = update(&batch).unwrap();
        let ages: Vec<_> = report.staleness.iter().map(|one| (one.lag, one.trajectories)).collect();
        assert_eq!(ages, [(0, 4), (1, 4)]);
        assert!(report.ratio_gap_max < 1e-5, "{objective:?}: {:.2e}", report.ratio_gap_max);
        let weighed = report.staleness.iter().all(|one| one.importance_mean.is_some());
        assert_eq!(weighed, objective == Objective::Decoupled);

        let mut wrong = batch.clone();
        wrong[6] = misjudged(&wrong[6]);
        update(&wrong).unwrap();
        let mut wrong = batch.clone();
        wrong[2] = misjudged(&wrong[2]);
        let error = update(&wrong).unwrap_err();
        assert!(matches!(error, LearnError::RatioGap { .. }), "{objective:?}: {error}");
    }
}

/// With a share of the steps in each pass, every pair still has its proximal log-probability.
#[test]
fn several_passes_share_one_proximal_policy() {
    let settings = LearnerConfig {
        num_inner_epochs: 3,
        timestep_fraction: 0.5,
        batch_size: 4,
        ..one_step(Objective::Decoupled)
    };
    let mut learner = learner_at(1, settings);
    let report = learner.update(&old(1e-3), &mut |_, _| {}).unwrap();
    assert_eq!((report.optimizer_steps, learner.version().0), (6, 2));
    assert!(report.ratio_gap_max < 1e-5, "{:.2e}", report.ratio_gap_max);
    assert!(report.approx_kl > 0.0, "the policy has moved away from the proximal one");
}

#[test]
fn good_samples_of_older_weights_become_more_likely_than_bad_ones() {
    let batch = old(1e-3);
    let mut learner = learner_at(1, one_step(Objective::Decoupled));
    learner.update(&batch, &mut |_, _| {}).unwrap();
    let changes = batch.iter().map(|scored| {
        let change = log_prob(learner.policy().network(), scored) - log_prob(&unet(1), scored);
        change * f64::from(scored.score.reward)
    });
    let sum = changes.sum::<f64>();
    assert!(sum > 1e-5, "reward-weighted change {sum:.2e}");
}

#[test]
fn a_run_without_a_lag_tells_nothing_of_ages() {
    let report = learner_at(1, one_step(Objective::Decoupled)).update(&fresh(), &mut |_, _| {});
    let text = serde_json::to_string(&report.unwrap()).unwrap();
    assert!(!text.contains("staleness"), "{text}");
}
