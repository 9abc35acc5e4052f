//! The self-test before the first update of an epoch.

use crate::tiny::{
    self, RANDOM, disturb, learner, rollouts, settings, shifted, unet, weights, with_a_lie,
};
use ddpo_algorithm::config::{AdvantageScope, LearnerConfig, Objective, OldLogProbs};
use ddpo_algorithm::error::LearnError;
use ddpo_algorithm::learner::Position;
use ddpo_diffusion::transfer::blocking_reads;
use ddpo_rollout::trajectory::PolicyVersion;

#[test]
fn the_policys_own_rollouts_have_ratio_one() {
    // Micro-batches of other sizes and mixed steps than the rollouts', so rounding may differ.
    let mut learner = learner(LearnerConfig { batch_size: 8, micro_batch_size: 7, ..settings() });
    let report = tiny::epoch(&mut learner, 0);
    assert_eq!(report.ratio_gap_by_step.len(), RANDOM);
    assert!(report.ratio_gap_max < 1e-5, "gap {:.2e}", report.ratio_gap_max);
    assert!((report.ratio_mean - 1.0).abs() < 1e-5);
    assert_eq!(report.clip_fraction, 0.0);
    assert!(report.approx_kl.abs() < 1e-9 && report.log_ratio_abs < 1e-5);
}

#[test]
fn other_weights_are_refused_before_anything_changes() {
    let other = unet(1);
    disturb(&other, 0.05);
    let batch = rollouts(&other, 3, 8);
    let mut learner = learner(settings());
    learner.resume_at(Position { version: PolicyVersion(3), ..Position::default() });
    let before = weights(&learner);
    let error = learner.update(&batch, &mut |_, _| {}).unwrap_err();
    let LearnError::RatioGap { epoch, step, timestep, gap, tolerance, sampled, learned, .. } =
        error
    else {
        panic!("{error}");
    };
    assert_eq!((epoch, sampled.0, learned.0), (3, 3, 3));
    assert_eq!((step, timestep), (0, 800), "the first step that is looked at");
    assert!(gap > tolerance, "{gap} {tolerance}");
    let message = error.to_string();
    for part in ["epoch 3", "step 0 (t = 800)", "sampler's v3", "learner's v3"] {
        assert!(message.contains(part), "{message} lacks {part}");
    }
    assert_eq!(tiny::largest_gap(&weights(&learner), &before), 0.0);
    assert_eq!(learner.position().optimizer_step, 0);
}

#[test]
fn weights_that_are_no_numbers_do_not_pass() {
    let batch = rollouts(&unet(1), 0, 8);
    let mut learner = learner(settings());
    let (_, bias) = &learner.policy().master().parameters().entries()[1];
    let _ = tch::no_grad(|| bias.shallow_clone().fill_(f64::NAN));
    let error = learner.update(&batch, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, LearnError::RatioGap { gap, .. } if gap.is_nan()), "{error}");
}

#[test]
fn a_gap_within_the_tolerance_passes_and_is_reported() {
    let other = unet(1);
    disturb(&other, 1e-6);
    let batch = rollouts(&other, 0, 8);
    let report = learner(settings()).update(&batch, &mut |_, _| {}).unwrap();
    assert!(report.ratio_gap_max > 1e-7, "gap {:.2e}", report.ratio_gap_max);
}

#[test]
fn takes_old_log_probs_anew_where_the_samplers_batch_had_another_shape() {
    let config = LearnerConfig { old_log_probs: OldLogProbs::Learner, ..settings() };
    let batch = rollouts(&unet(1), 0, 8);
    let tolerance = settings().ratio_tolerance as f32;

    let refused = learner(settings()).update(&shifted(&batch, 5.0 * tolerance), &mut |_, _| {});
    assert!(matches!(refused, Err(LearnError::RatioGap { .. })), "{refused:?}");

    let (mut exact, mut anew) = (learner(config.clone()), learner(config.clone()));
    exact.update(&batch, &mut |_, _| {}).unwrap();
    let report = anew.update(&shifted(&batch, 5.0 * tolerance), &mut |_, _| {}).unwrap();
    assert!(report.ratio_gap_max < 1e-6, "gap {:.2e}", report.ratio_gap_max);
    assert_eq!(tiny::largest_gap(&weights(&exact), &weights(&anew)), 0.0);

    // Other weights would be much further away.
    let refused = learner(config).update(&shifted(&batch, 200.0 * tolerance), &mut |_, _| {});
    assert!(matches!(refused, Err(LearnError::RatioGap { .. })), "{refused:?}");
}

#[test]
fn waits_for_the_device_once_a_micro_batch_and_once_an_optimizer_step() {
    let batch = rollouts(&unet(1), 0, 8);
    for (old_log_probs, passes) in [(OldLogProbs::Sampler, 1), (OldLogProbs::Learner, 2)] {
        let config = LearnerConfig { old_log_probs, ..settings() };
        let mut learner = learner(config);
        let before = blocking_reads();
        let report = learner.update(&batch, &mut |_, _| {}).unwrap();
        // 8 samples of 4 random steps in micro-batches of 8 pairs.
        assert_eq!((report.pairs, report.optimizer_steps), (32, 2));
        assert_eq!(blocking_reads() - before, 4 * passes + 2);
    }
}

#[test]
fn checks_all_pairs_of_the_epoch_where_the_learner_evaluates_them_before_the_first_step() {
    let batch = with_a_lie(&rollouts(&unet(1), 0, 8), 6, 0.5);
    for config in [
        LearnerConfig { old_log_probs: OldLogProbs::Learner, ..settings() },
        LearnerConfig { objective: Objective::Decoupled, ..settings() },
    ] {
        let mut learner = learner(config);
        let before = weights(&learner);
        // The sample is in the second mini-batch.
        let error = learner.update(&batch, &mut |_, _| {}).unwrap_err();
        assert!(matches!(error, LearnError::RatioGap { step: 0, .. }), "{error}");
        assert_eq!(tiny::largest_gap(&weights(&learner), &before), 0.0);
    }
}

#[test]
fn finds_all_false_samples_and_trains_as_if_they_had_never_come() {
    let batch = rollouts(&unet(1), 0, 8);
    // The second one is in the second mini-batch, which the update has not reached.
    let lies = with_a_lie(&with_a_lie(&batch, 1, 0.5), 6, 3.0);
    for scope in [AdvantageScope::Epoch, AdvantageScope::Running] {
        let config = LearnerConfig { advantage: scope, ..settings() };
        let (mut honest, mut deceived) = (learner(config.clone()), learner(config));
        let error = deceived.update(&lies, &mut |_, _| {}).unwrap_err();
        assert_eq!(error.false_sample(), Some(1), "{error}");
        assert!(error.to_string().contains("epoch 0, sample 1, step"), "{error}");
        assert_eq!(deceived.false_samples(&lies).unwrap(), [1, 6]);
        assert_eq!(deceived.false_samples(&batch).unwrap(), [0; 0]);
        honest.update(&batch, &mut |_, _| {}).unwrap();
        deceived.update(&batch, &mut |_, _| {}).unwrap();
        assert_eq!(tiny::largest_gap(&weights(&honest), &weights(&deceived)), 0.0);
        assert_eq!(honest.position(), deceived.position());
    }
}
