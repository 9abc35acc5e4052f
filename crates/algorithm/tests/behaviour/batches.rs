//! How an epoch is cut: order, mini-batches, micro-batches, choice of steps, and what is refused.

use crate::tiny::{
    self, RANDOM, largest_gap, learner, prediction_gap, rollouts, settings, unet, weights,
    with_rewards,
};
use ddpo_algorithm::config::LearnerConfig;
use ddpo_algorithm::error::LearnError;
use ddpo_algorithm::learner::{Learner, Model};
use ddpo_algorithm::pairs::{Pair, PairChoice};
use ddpo_algorithm::report::UpdateReport;
use ddpo_diffusion::scheduler::config::SchedulerConfig;
use ddpo_diffusion::scheduler::{SchedulerKind, Transitions};
use ddpo_diffusion::unet::UNet;
use ddpo_rollout::reward::RewardExpression;
use ddpo_rollout::score::{Component, ScoredTrajectory};
use ddpo_rollout::trajectory::{Digest, Trajectory};
use tch::Kind;

fn train(settings: LearnerConfig, batch: &[ScoredTrajectory]) -> (UpdateReport, Learner) {
    let mut learner = learner(settings);
    let report = learner.update(batch, &mut |_, _| {}).unwrap();
    (report, learner)
}

fn digest(learner: &Learner) -> Digest {
    learner.policy().master().parameters().digest()
}

#[test]
fn the_order_of_arrival_has_no_effect() {
    let batch = rollouts(&unet(1), 0, 8);
    let mut shuffled: Vec<ScoredTrajectory> = batch.iter().rev().cloned().collect();
    shuffled.swap(1, 6);
    let settings = LearnerConfig { timestep_fraction: 0.5, ..settings() };
    let ((first, a), (second, b)) = (train(settings.clone(), &batch), train(settings, &shuffled));
    assert_eq!(first, second);
    assert_eq!(digest(&a), digest(&b));
}

/// Gradients are compared by their largest value, to 1e-4: the last random step divides what a
/// forward pass rounds by its sigma of 0.01. Weights are compared by what they predict, since
/// AdamW's first step is as large for a gradient that is rounding alone, such as that of the keys'
/// bias, to which softmax is blind.
#[test]
fn the_size_of_micro_batches_does_not_change_the_update() {
    let batch = rollouts(&unet(1), 0, 8);
    let update = |micro_batch_size| {
        train(LearnerConfig { batch_size: 8, micro_batch_size, ..settings() }, &batch)
    };
    let (report, whole) = update(1000);
    assert_eq!((report.optimizer_steps, report.pairs), (1, 8 * RANDOM as u64));
    for size in [1, 3, 4, 7] {
        let (other, learner) = update(size);
        let (found, expected) = (tiny::gradient(&learner), tiny::gradient(&whole));
        let gap = ((found - &expected).abs().max() / expected.abs().max()).double_value(&[]);
        assert!(gap < 1e-4, "micro-batches of {size}: gradients differ by {gap:.2e}");
        assert!((other.loss - report.loss).abs() < 1e-6);
        let gap = prediction_gap(&learner, &whole);
        assert!(gap < 1e-5, "micro-batches of {size}: predictions differ by {gap:.2e}");
    }
}

#[test]
fn a_share_of_the_steps_is_trained_and_the_choice_is_keyed() {
    let batch = rollouts(&unet(1), 0, 8);
    for (fraction, kept) in [(1.0, 4), (0.75, 3), (0.5, 2), (0.3, 2), (0.01, 1)] {
        let settings = LearnerConfig { timestep_fraction: fraction, ..settings() };
        let (report, learner) = train(settings.clone(), &batch);
        assert_eq!(report.pairs, 8 * kept, "fraction {fraction}");
        assert_eq!(digest(&learner), digest(&train(settings.clone(), &batch).1));
        let other = train(LearnerConfig { run_seed: 12, ..settings }, &batch).1;
        assert_eq!(digest(&learner) == digest(&other), fraction == 1.0, "fraction {fraction}");
    }
}

#[test]
fn each_pass_chooses_its_own_steps_for_each_sample() {
    let batch = rollouts(&unet(1), 0, 8);
    let trajectories: Vec<&Trajectory> = batch.iter().map(|scored| &scored.trajectory).collect();
    let config =
        LearnerConfig { batch_size: 8, num_inner_epochs: 2, timestep_fraction: 0.5, ..settings() };
    let choice = PairChoice { config: &config, levels: &[] };
    let passes = choice.mini_batches(&trajectories);
    let steps = |pass: &[Pair]| -> Vec<(usize, usize)> {
        pass.iter().map(|pair| (pair.trajectory, pair.step)).collect()
    };
    assert_eq!(passes, choice.mini_batches(&trajectories));
    assert_ne!(steps(&passes[0]), steps(&passes[1]));
    let first = &passes[0];
    assert!(first.is_sorted_by_key(|pair| (pair.step, pair.trajectory)));
    let of = |sample: usize| -> Vec<usize> {
        first.iter().filter(|pair| pair.trajectory == sample).map(|pair| pair.step).collect()
    };
    for sample in 0..8 {
        assert_eq!(of(sample).len(), RANDOM / 2, "sample {sample}");
        assert!(of(sample).iter().all(|&step| step < RANDOM), "the last step has no density");
    }
    assert!((1..8).any(|sample| of(sample) != of(0)), "samples choose apart");
}

#[test]
fn the_observer_sees_every_optimizer_step() {
    let batch = rollouts(&unet(1), 0, 8);
    let mut seen = Vec::new();
    let mut learner = learner(LearnerConfig { num_inner_epochs: 2, ..settings() });
    let report = learner.update(&batch, &mut |done, total| seen.push((done, total))).unwrap();
    assert_eq!(seen, [(1, 4), (2, 4), (3, 4), (4, 4)]);
    assert_eq!((report.optimizer_steps, learner.version().0), (4, 1));
    assert_eq!(learner.position().schedule_step, 4);
}

#[test]
fn equal_rewards_change_nothing_but_by_weight_decay() {
    let batch = with_rewards(&rollouts(&unet(1), 0, 8), &[0.7; 8]);
    let mut learner = learner(settings());
    let before = weights(&learner);
    let report = learner.update(&batch, &mut |_, _| {}).unwrap();
    assert_eq!((report.loss, report.grad_norm), (0.0, 0.0));
    let gap = largest_gap(&weights(&learner), &before);
    assert!(gap < 1e-7, "{gap:e}");
}

#[test]
fn batches_that_cannot_be_trained_are_refused() {
    let batch = rollouts(&unet(1), 0, 8);
    let refusal = |batch: &[ScoredTrajectory]| {
        let mut learner = learner(settings());
        let error = learner.update(batch, &mut |_, _| {}).unwrap_err();
        assert_eq!((learner.version().0, learner.position().optimizer_step), (0, 0));
        error
    };
    for samples in [0, 3, 6] {
        let error = refusal(&batch[..samples]);
        assert!(
            matches!(error, LearnError::Indivisible { samples: s, batch_size: 4 } if s == samples)
        );
    }
    let mut rewards = [0.0; 8];
    rewards[5] = f32::NAN;
    let message = refusal(&with_rewards(&batch, &rewards)).to_string();
    assert!(message.contains("reward of sample 5 is NaN"), "{message}");
}

#[test]
fn trajectories_of_another_scheduler_are_refused() {
    let batch = rollouts(&unet(1), 0, 8);
    let transitions = transitions(0.5);
    let mut learner =
        Learner::new(settings(), tiny::constant(1e-4), transitions, float(unet(1))).unwrap();
    let error = learner.update(&batch, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, LearnError::Scheduler { sample: 0, .. }), "{error}");
}

#[test]
fn a_schedule_without_chance_cannot_be_trained() {
    let made = Learner::new(settings(), tiny::constant(1e-4), transitions(0.0), float(unet(1)));
    assert!(matches!(made, Err(LearnError::Deterministic { .. })));
}

fn float(unet: UNet) -> Model<'static> {
    tiny::model(unet, Kind::Float, None)
}

fn transitions(eta: f64) -> Transitions {
    Transitions::new(SchedulerKind::Ddim, &SchedulerConfig::default(), tiny::STEPS, eta).unwrap()
}

/// Standardised terms come from the components, and a score that lacks one is refused by name
/// before anything changes.
#[test]
fn normalised_terms_are_the_components_of_the_scores() {
    let reward: RewardExpression = "2*torchscript:a - torchscript:b".parse().unwrap();
    let config = LearnerConfig { normalised_reward: Some(reward), ..settings() };
    let mut batch = rollouts(&unet(1), 0, 8);
    for (index, scored) in batch.iter_mut().enumerate() {
        let part = |name: &str, value: f32| Component { name: name.into(), value };
        scored.score.components =
            vec![part("torchscript:b", 5.0), part("torchscript:a", (index * index) as f32)];
    }
    // A constant term adds nothing, and the sum of the terms itself is not used.
    let (report, trained) = train(config.clone(), &batch);
    let values: Vec<f32> = (0..8).map(|index| (index * index) as f32).collect();
    let (other, expected) = train(settings(), &with_rewards(&batch, &values));
    assert!((report.loss - other.loss).abs() < 1e-5, "{} {}", report.loss, other.loss);
    assert!(prediction_gap(&trained, &expected) < 1e-5);

    batch[3].score.components.pop();
    let mut learner = learner(config);
    let before = learner.position();
    let found = learner.update(&batch, &mut |_, _| {}).unwrap_err();
    let text = "learner: sample 3: expected a component \"torchscript:a\" that is a \
                number, for reward_scale = normalised, found none";
    assert_eq!(found.to_string(), text);
    assert_eq!(learner.position(), before);
}
