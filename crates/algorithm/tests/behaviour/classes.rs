//! Class-conditional models: a sample's class is that of its key, in the networks and in the advantages.

use crate::tiny::{self, CLASSES, largest_gap, learner_of, rollouts, settings, unet_with_classes};
use ddpo_algorithm::config::{AdvantageScope, ForwardWeighting, LearnerConfig, Objective};
use ddpo_algorithm::error::LearnError;
use ddpo_algorithm::learner::{Learner, Model};
use ddpo_rollout::classes::ClassList;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::score::ScoredTrajectory;
use tch::{Kind, Tensor};

fn learner(config: LearnerConfig, kind: Kind) -> Learner {
    let model = tiny::model(unet_with_classes(1), kind, Some(unet_with_classes(1)));
    learner_of(config, tiny::constant(1e-4), model)
}

fn batch() -> Vec<ScoredTrajectory> {
    rollouts(&unet_with_classes(1), 0, 8)
}

fn class_of(scored: &ScoredTrajectory) -> u32 {
    let coordinates = scored.trajectory.header().coordinates;
    ClassList::all(CLASSES as u32).of(Purpose::Rollout, coordinates)
}

/// Returns the trained class embedding.
fn embedding(learner: &Learner) -> Tensor {
    let weights = tiny::weights(learner);
    let found = weights.into_iter().find(|(name, _)| name == "class_embedding.weight");
    found.unwrap().1
}

/// The ratio check would fail if a network saw another class than the one that the sample was drawn with.
#[test]
fn every_objective_trains_with_the_classes_of_the_samples() {
    use Objective::{ClippedIs, Decoupled, Forward, ScoreFunction};
    for objective in [ClippedIs, Decoupled, ScoreFunction, Forward] {
        let config = LearnerConfig { objective, batch_size: 8, kl_coef: 0.1, ..settings() };
        let mut learner = learner(config, Kind::Float);
        let before = embedding(&learner);
        let report = learner.update(&batch(), &mut |_, _| {}).unwrap();
        assert!(report.grad_norm > 0.0, "{objective:?}");
        // Before the first step, the model is its reference.
        let distance = report.kl_to_pretrained_nats.or(report.distance_to_pretrained);
        assert!(distance.unwrap().abs() < 1e-9, "{objective:?}: {distance:?}");
        let moved = (embedding(&learner) - before).abs().max().double_value(&[]);
        assert!(moved > 0.0, "{objective:?}");
    }
}

#[test]
fn both_weightings_of_the_forward_objective_use_the_classes() {
    for weighting in [ForwardWeighting::Nft, ForwardWeighting::Advantage] {
        let mut config = LearnerConfig { objective: Objective::Forward, ..settings() };
        config.forward.weighting = weighting;
        // Two mini-batches: the second compares the network with a copy of the old policy.
        let mut learner = learner(config, Kind::Float);
        let report = learner.update(&batch(), &mut |_, _| {}).unwrap();
        assert_eq!(report.optimizer_steps, 2);
    }
}

#[test]
fn samples_of_other_classes_fail_the_ratio_check() {
    let model = tiny::model(unet_with_classes(1), Kind::Float, None);
    let classes = Some("2,1,0".parse().unwrap());
    let mut learner = learner_of(settings(), tiny::constant(1e-4), Model { classes, ..model });
    let error = learner.update(&batch(), &mut |_, _| {}).unwrap_err();
    let is_gap = matches!(error, LearnError::RatioGap { .. } | LearnError::GapInNats { .. });
    assert!(is_gap, "{error}");
}

#[test]
fn advantages_of_each_class_add_up_to_zero() {
    let config = LearnerConfig { batch_size: 8, ..settings() };
    let mut learner = learner(config, Kind::Float);
    let batch = batch();
    learner.update(&batch, &mut |_, _| {}).unwrap();
    let advantages = &learner.update_samples().advantages;
    assert_eq!(advantages.len(), batch.len());
    for class in 0..CLASSES as u32 {
        let own: Vec<f32> = advantages
            .iter()
            .zip(&batch)
            .filter(|(_, scored)| class_of(scored) == class)
            .map(|(advantage, _)| *advantage)
            .collect();
        let sum: f32 = own.iter().sum();
        assert!(sum.abs() < 1e-4, "class {class}: {own:?}");
        assert_eq!(own.iter().all(|one| *one == 0.0), own.len() < 2, "class {class}: {own:?}");
    }
}

#[test]
fn only_the_rows_of_drawn_classes_have_a_gradient() {
    let model = tiny::model(unet_with_classes(1), Kind::Float, None);
    let classes: ClassList = "2".parse().unwrap();
    // All samples have class 2 if the run's list has no other.
    let own: Vec<ScoredTrajectory> = rollouts(&unet_with_classes(1), 0, 32)
        .into_iter()
        .filter(|one| class_of(one) == 2)
        .collect();
    let mut config = LearnerConfig { batch_size: 4, micro_batch_size: 4, ..settings() };
    config.optimizer.weight_decay = 0.0;
    let model = Model { classes: Some(classes), ..model };
    let mut learner = learner_of(config, tiny::constant(1e-3), model);
    let before = embedding(&learner);
    learner.update(&own[..4], &mut |_, _| {}).unwrap();
    let moved = (embedding(&learner) - before).abs().sum_dim_intlist(1, false, Kind::Float);
    let moved = Vec::<f32>::try_from(moved).unwrap();
    assert_eq!(moved[..2], [0.0, 0.0]);
    assert!(moved[2] > 0.0);
}

#[test]
fn lanes_and_a_bfloat16_network_use_the_classes() {
    let update = |lanes: usize, micro_batch_size: usize| {
        let config = LearnerConfig { batch_size: 8, micro_batch_size, ..settings() };
        let mut learner = learner(config, Kind::Float).with_lanes(lanes);
        learner.update(&batch(), &mut |_, _| {}).unwrap();
        tiny::weights(&learner)
    };
    let gap = largest_gap(&update(2, 8), &update(1, 4));
    assert!(gap < 1e-6, "two lanes: {gap:.2e}");
    let config = LearnerConfig { ratio_tolerance: 0.1, ratio_tolerance_nats: 1e3, ..settings() };
    let mut half = learner(config, Kind::BFloat16);
    let before = embedding(&half);
    half.update(&batch(), &mut |_, _| {}).unwrap();
    assert!((embedding(&half) - before).abs().max().double_value(&[]) > 0.0);
}

#[test]
fn an_update_repeats_to_the_bit_and_running_statistics_belong_to_a_class() {
    let config = LearnerConfig { advantage: AdvantageScope::Running, ..settings() };
    let trained = || {
        let mut learner = learner(config.clone(), Kind::Float);
        learner.update(&batch(), &mut |_, _| {}).unwrap();
        learner
    };
    let (one, other) = (trained(), trained());
    assert_eq!(largest_gap(&tiny::weights(&one), &tiny::weights(&other)), 0.0);
    let running = one.position().advantages.running;
    assert_eq!(running, other.position().advantages.running);
    let mut drawn: Vec<u32> = batch().iter().map(class_of).collect();
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(running.classes.keys().copied().collect::<Vec<_>>(), drawn);
}
