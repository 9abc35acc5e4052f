//! Anchors: samples of the pretrained model that the policy keeps denoising.

use crate::tiny::{
    self, SHAPE, constant, gradient, largest_gap, learner_of, settings, unet, unet_with_classes,
    weights, with_rewards,
};
use ddpo_algorithm::config::{LearnerConfig, Objective};
use ddpo_algorithm::learner::Learner;
use ddpo_algorithm::report::UpdateReport;
use ddpo_diffusion::unet::UNet;
use ddpo_rollout::score::ScoredTrajectory;
use tch::{Kind, Tensor};

fn config() -> LearnerConfig {
    LearnerConfig { batch_size: 8, anchors: 6, anchor_coef: 0.5, ..settings() }
}

fn learner_from(network: UNet, config: LearnerConfig) -> Learner {
    let model = tiny::model(network, Kind::Float, None);
    learner_of(config, constant(1e-3), model).with_anchors(SHAPE)
}

fn learner(config: LearnerConfig) -> Learner {
    learner_from(unet(1), config)
}

/// Samples whose rewards are equal: their advantages, and the gradient of the objective, are 0.
fn equal() -> Vec<ScoredTrajectory> {
    with_rewards(&tiny::rollouts(&unet(1), 0, 8), &[2.0; 8])
}

fn update(learner: &mut Learner, batch: &[ScoredTrajectory]) -> UpdateReport {
    learner.update(batch, &mut |_, _| {}).unwrap()
}

#[test]
fn without_advantages_the_gradient_is_that_of_the_anchors_times_the_weight() {
    let of = |anchor_coef: f64| {
        let mut learner = learner(LearnerConfig { anchor_coef, ..config() });
        let report = update(&mut learner, &equal());
        (gradient(&learner), report)
    };
    let ((half, first), (whole, second)) = (of(0.05), of(0.1));
    assert!(first.grad_norm > 0.0 && second.grad_norm < 1.0, "{first:?} {second:?}");
    assert_eq!(first.anchor_error, second.anchor_error);
    let gap = (half * 2.0 - &whole).abs().max().double_value(&[]);
    assert!(gap < 1e-6 * whole.abs().max().double_value(&[]), "{gap:.2e}");
    let (zero, report) = of(0.0);
    assert_eq!((zero.abs().max().double_value(&[]), report.grad_norm), (0.0, 0.0));
}

/// The mean squared error of predictions on anchors, over many optimizer steps, which draw other levels.
fn mean_error(learner: &mut Learner, updates: u32) -> f64 {
    let errors = (0..updates).map(|epoch| {
        let batch = tiny::rollouts(learner.policy().network(), epoch, 8);
        update(learner, &with_rewards(&batch, &[2.0; 8])).anchor_error.unwrap()
    });
    errors.sum::<f64>() / f64::from(updates)
}

#[test]
fn training_on_anchors_lowers_their_error() {
    let trained = mean_error(&mut learner(LearnerConfig { anchor_coef: 1.0, ..config() }), 30);
    let mut untrained = learner(LearnerConfig { anchor_coef: 0.0, ..config() });
    let before = mean_error(&mut untrained, 30);
    assert!(trained < 0.9 * before, "{trained} {before}");
}

#[test]
fn a_run_without_anchors_reports_no_error() {
    let mut learner = learner(LearnerConfig { anchors: 0, ..config() });
    assert_eq!(update(&mut learner, &equal()).anchor_error, None);
}

#[test]
fn lanes_and_micro_batches_change_only_the_rounding() {
    for objective in [Objective::ClippedIs, Objective::Forward] {
        let trained = |lanes: usize, micro_batch_size: usize| {
            let config = LearnerConfig { objective, micro_batch_size, ..config() };
            let mut learner = learner(config).with_lanes(lanes);
            update(&mut learner, &equal());
            gradient(&learner)
        };
        let gap = |one: &Tensor, other: &Tensor| {
            let largest = |tensor: Tensor| tensor.abs().max().double_value(&[]);
            largest(one - other) / largest(one.shallow_clone())
        };
        let one = trained(1, 8);
        assert_eq!(gap(&one, &trained(1, 8)), 0.0);
        for (lanes, micro_batch_size) in [(1, 3), (2, 8), (2, 3)] {
            let gap = gap(&one, &trained(lanes, micro_batch_size));
            assert!(gap < 1e-5, "{objective:?}, {lanes} lanes of {micro_batch_size}: {gap:.2e}");
        }
    }
}

fn copy_into(target: &[(String, Tensor)], values: &[(String, Tensor)]) {
    for ((_, target), (_, value)) in target.iter().zip(values) {
        tch::no_grad(|| target.shallow_clone().copy_(value));
    }
}

#[test]
fn a_resumed_learner_continues_with_the_anchors_of_the_pretrained_model() {
    let second = |learner: &mut Learner| {
        let batch = tiny::rollouts(learner.policy().network(), 1, 8);
        update(learner, &batch)
    };
    let moments = |learner: &Learner| {
        learner.optimizer().state(learner.policy().master().parameters().entries())
    };
    let (mut whole, mut resumed) = (learner(config()), learner(config()));
    update(&mut whole, &equal());
    copy_into(resumed.policy().master().parameters().entries(), &weights(&whole));
    copy_into(&moments(&resumed), &moments(&whole));
    resumed.resume_at(whole.position());
    assert_eq!(second(&mut whole), second(&mut resumed));
    assert_eq!(largest_gap(&weights(&whole), &weights(&resumed)), 0.0);
}

#[test]
fn anchors_of_a_class_conditional_model_have_classes() {
    let network = || unet_with_classes(1);
    let mut learner = learner_from(network(), config());
    let batch = with_rewards(&tiny::rollouts(&network(), 0, 8), &[2.0; 8]);
    let before = weights(&learner);
    assert!(update(&mut learner, &batch).anchor_error.unwrap() > 0.0);
    let embedding = |all: &[(String, tch::Tensor)]| {
        all.iter().find(|(name, _)| name == "class_embedding.weight").unwrap().1.copy()
    };
    let moved = embedding(&weights(&learner)) - embedding(&before);
    assert!(moved.abs().max().double_value(&[]) > 1e-5);
}
