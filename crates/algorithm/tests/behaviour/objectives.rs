//! The two objectives, the two units, and what an update does to the samples' probabilities.

use crate::tiny::{
    self, SHAPE, learner, log_prob, rollouts, settings, unet, weights, with_rewards,
};
use ddpo_algorithm::config::{LearnerConfig, Objective};
use ddpo_diffusion::gaussian::Reduction;
use ddpo_rollout::score::ScoredTrajectory;

const REWARDS: [f32; 8] = [1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0];

fn batch() -> Vec<ScoredTrajectory> {
    with_rewards(&rollouts(&unet(1), 0, 8), &REWARDS)
}

/// One optimizer step on the whole batch.
fn one_step(objective: Objective) -> LearnerConfig {
    LearnerConfig { objective, batch_size: 8, ..settings() }
}

#[test]
fn good_samples_become_more_likely_than_bad_ones() {
    let batch = batch();
    for objective in [Objective::ClippedIs, Objective::ScoreFunction] {
        let mut learner = learner(one_step(objective));
        learner.update(&batch, &mut |_, _| {}).unwrap();
        let changes = batch.iter().map(|scored| {
            let change = log_prob(learner.policy().network(), scored) - log_prob(&unet(1), scored);
            change * f64::from(scored.score.reward)
        });
        let sum = changes.sum::<f64>();
        assert!(sum > 1e-5, "{objective:?}: reward-weighted change {sum:.2e}");
    }
}

/// Where the ratio is one, its gradient is that of the log-probability.
#[test]
fn on_the_first_step_both_objectives_have_the_same_gradient() {
    let batch = batch();
    let update = |objective| {
        let mut learner = learner(one_step(objective));
        let report = learner.update(&batch, &mut |_, _| {}).unwrap();
        (report.grad_norm, weights(&learner))
    };
    let (clipped, score) = (update(Objective::ClippedIs), update(Objective::ScoreFunction));
    let gap = (clipped.0 / score.0 - 1.0).abs();
    assert!(gap < 1e-4, "gradient norms differ by {gap:.2e}");
    // AdamW's first step is as large as the rate wherever a gradient is not zero.
    let gap = tiny::largest_gap(&clipped.1, &score.1);
    assert!(gap < 1e-6, "weights differ by {gap:.2e}");
}

#[test]
fn the_score_function_loss_is_minus_advantage_times_log_probability() {
    let batch = batch();
    let report =
        learner(one_step(Objective::ScoreFunction)).update(&batch, &mut |_, _| {}).unwrap();
    let rewards: Vec<f64> = REWARDS.iter().map(|&reward| f64::from(reward)).collect();
    let std = (rewards.iter().map(|r| r * r).sum::<f64>() / 7.0).sqrt();
    let products = batch.iter().map(|scored| {
        let log_probs = scored.trajectory.log_probs().iter().map(|&value| f64::from(value));
        f64::from(scored.score.reward) / (std + 1e-6) * log_probs.sum::<f64>()
    });
    let expected = -products.sum::<f64>() / report.pairs as f64;
    assert!((report.loss - expected).abs() < 1e-5, "{} {expected}", report.loss);
}

#[test]
fn sums_over_dimensions_are_means_times_their_number() {
    let batch = batch();
    let norm = |reduction| {
        let settings = LearnerConfig { log_prob: reduction, ..one_step(Objective::ScoreFunction) };
        learner(settings).update(&batch, &mut |_, _| {}).unwrap().grad_norm
    };
    let ratio = norm(Reduction::Sum) / norm(Reduction::Mean);
    assert!((ratio / SHAPE.elements() as f64 - 1.0).abs() < 1e-4, "{ratio}");
}

/// Beyond the clip a pair has no gradient: with a tiny clip a second pass hardly moves.
#[test]
fn the_clip_holds_the_second_pass_back() {
    let batch = batch();
    let report = |clip_ratio| {
        let settings =
            LearnerConfig { clip_ratio, num_inner_epochs: 4, ..one_step(Objective::ClippedIs) };
        tiny::learner_at(1e-5, settings).update(&batch, &mut |_, _| {}).unwrap()
    };
    let (tight, loose) = (report(1e-6), report(0.5));
    assert_eq!(loose.clip_fraction, 0.0);
    assert!(tight.clip_fraction > 0.5, "clipped {}", tight.clip_fraction);
    assert!(tight.grad_norm < loose.grad_norm);
    assert!(tight.approx_kl >= 0.0 && loose.approx_kl > 0.0);
    let nats = loose.log_ratio_abs * SHAPE.elements() as f64;
    assert!((loose.log_ratio_abs_nats - nats).abs() < 1e-12);
}

#[test]
fn the_gradient_norm_is_clipped_from_the_first_step() {
    let batch = batch();
    let update = |max_grad_norm| {
        let mut learner =
            learner(LearnerConfig { max_grad_norm, ..one_step(Objective::ClippedIs) });
        let norm = learner.update(&batch, &mut |_, _| {}).unwrap().grad_norm;
        (norm, tiny::gradient(&learner).norm().double_value(&[]))
    };
    let (norm, _) = update(1e9);
    let (reported, clipped) = update(norm / 100.0);
    assert!((reported / norm - 1.0).abs() < 1e-6, "the norm before the clip is reported");
    assert!((clipped / norm * 100.0 - 1.0).abs() < 1e-3, "{clipped} {norm}");
}
