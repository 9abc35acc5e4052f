//! The trust region by the exact KL of each step, the adaptive weight of the KL, and tests in nats.

use crate::tiny::{self, SHAPE, disturb, learner_at, rollouts, settings, unet, with_rewards};
use ddpo_algorithm::config::{AdvantageScope, LearnerConfig, Objective, TrustRegion};
use ddpo_algorithm::error::LearnError;
use ddpo_algorithm::learner::Learner;
use ddpo_algorithm::report::UpdateReport;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{Trajectory, decode};
use tch::{Kind, Tensor};

const REWARDS: [f32; 8] = [1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0];

fn update(kl_limit: f64, num_inner_epochs: usize) -> UpdateReport {
    let config = LearnerConfig {
        trust_region: TrustRegion::Kl,
        kl_limit,
        num_inner_epochs,
        batch_size: 8,
        ..settings()
    };
    let batch = with_rewards(&rollouts(&unet(1), 0, 8), &REWARDS);
    learner_at(1e-4, config).update(&batch, &mut |_, _| {}).unwrap()
}

/// The mean of the sampling policy is x_{t-1} - sigma z, with z drawn again by its key. The network sees
/// the batch in the shape that it was sampled in: another shape changes its last bits.
#[test]
fn the_sampling_policys_mean_follows_from_keyed_noise() {
    let _guard = tch::no_grad_guard();
    let (network, transitions) = (unet(1), tiny::transitions());
    let batch = rollouts(&network, 0, 4);
    let stacked = |of: &dyn Fn(&ScoredTrajectory) -> Vec<f32>| {
        let values: Vec<f32> = batch.iter().flat_map(of).collect();
        Tensor::from_slice(&values).view([4, 3, 8, 8])
    };
    let state = |index: usize| {
        stacked(&|one| decode(one.trajectory.state(index).unwrap(), one.trajectory.header().dtype))
    };
    let mut largest: f64 = 0.0;
    for step in transitions.random_steps() {
        let output = network.forward(&state(step), &transitions.timestep_tensor(&[step; 4]), None);
        let (mean, sigma) = transitions.mean_and_sigma(&state(step), &output, &[step; 4]);
        let noise = stacked(&|one| {
            let mut noise = vec![0.0; SHAPE.elements()];
            let coordinates = one.trajectory.header().coordinates;
            coordinates.noise(Purpose::Rollout, step as u32 + 1).fill_normal(&mut noise);
            noise
        });
        let found = state(step + 1) - &sigma * noise;
        let scale = mean.abs().max().double_value(&[]);
        largest = largest.max((found - mean).abs().max().double_value(&[]) / scale);
    }
    println!("largest gap, relative to the largest value: {largest:.2e}");
    assert!(largest < 1e-6, "largest gap {largest:.2e}");
}

/// A trajectory under another key: its noise is not the noise that was added.
#[test]
fn refuses_trajectories_whose_noise_does_not_follow_from_their_key() {
    let config = LearnerConfig { trust_region: TrustRegion::Kl, batch_size: 8, ..settings() };
    let drawn = rollouts(&unet(1), 0, 8);
    let relabelled = drawn.iter().map(|one| {
        let mut header = one.trajectory.header().clone();
        header.coordinates.run_seed += 1;
        let (states, log_probs) = (one.trajectory.states(), one.trajectory.log_probs());
        let trajectory = Trajectory::new(header, states.to_vec(), log_probs.to_vec()).unwrap();
        ScoredTrajectory { trajectory, score: one.score.clone() }
    });
    let batch: Vec<_> = relabelled.collect();
    let mut learner = learner_at(1e-4, config);
    let before = learner.policy().master().parameters().digest();
    let error = learner.update(&batch, &mut |_, _| {}).unwrap_err();
    let LearnError::Noise { run_seed: 12, nats, .. } = error else { panic!("{error}") };
    // |z - z'|^2 / 2 of two independent draws is about the number of dimensions.
    assert!((100.0..300.0).contains(&nats), "{nats} nats of 192 dimensions");
    assert_eq!(learner.policy().master().parameters().digest(), before);
}

#[test]
fn masks_the_pairs_that_have_moved_too_far() {
    let free = update(1e9, 4);
    assert_eq!(free.clip_fraction, 0.0);
    let held = update(1e-7, 4);
    assert!(held.clip_fraction > 0.1, "{}", held.clip_fraction);
    assert!(held.approx_kl < free.approx_kl, "{} {}", held.approx_kl, free.approx_kl);
    // Before the first step nothing has moved but by rounding.
    assert_eq!(update(1e-7, 1).clip_fraction, 0.0);
}

#[test]
fn a_region_by_kl_is_refused_where_the_sampling_policy_is_not_the_old_one() {
    for objective in [Objective::Decoupled, Objective::ScoreFunction, Objective::Forward] {
        let config = LearnerConfig { objective, trust_region: TrustRegion::Kl, ..settings() };
        assert_eq!(config.check().unwrap_err().name, "trust_region", "{objective:?}");
    }
}

fn with_reference(config: LearnerConfig) -> Learner {
    let model = tiny::model(unet(1), Kind::Float, Some(unet(2)));
    tiny::learner_of(config, tiny::constant(1e-5), model)
}

/// The reference is far away, so the weight of its KL doubles after each epoch.
#[test]
fn the_weight_of_the_kl_adapts_to_its_target() {
    let config = LearnerConfig { kl_coef: 0.1, kl_target: Some(1e-3), ..settings() };
    let mut learner = with_reference(config.clone());
    let weight = |learner: &mut Learner, epoch| tiny::epoch(learner, epoch).kl_coef.unwrap();
    assert_eq!(weight(&mut learner, 0), 0.1);
    assert_eq!(weight(&mut learner, 1), 0.2);
    let position = learner.position();
    assert_eq!(position.kl_coef, Some(0.4));
    let mut resumed = with_reference(config);
    resumed.resume_at(position);
    assert_eq!(resumed.position().kl_coef, Some(0.4));
}

/// Rewards that differ ten times less have a tenth of the gradient.
#[test]
fn a_fixed_scale_is_kept_from_epoch_to_epoch() {
    let config = LearnerConfig {
        advantage: AdvantageScope::Fixed,
        batch_size: 8,
        ratio_tolerance: f64::MAX,
        ratio_tolerance_nats: f64::MAX,
        ..settings()
    };
    let norm_after_the_first = |scale: f32| {
        let mut learner = learner_at(0.0, config.clone());
        let mut norm = |epoch, scale: f32| {
            let rewards = REWARDS.map(|reward| reward * scale);
            let batch = with_rewards(&rollouts(&unet(1), epoch, 8), &rewards);
            learner.update(&batch, &mut |_, _| {}).unwrap().grad_norm
        };
        norm(0, 1.0);
        norm(1, scale)
    };
    let (wide, narrow) = (norm_after_the_first(1.0), norm_after_the_first(0.1));
    assert!((wide / narrow / 10.0 - 1.0).abs() < 1e-3, "{wide} {narrow}");
}

/// A gap that is spread over all dimensions is small in the mean and large in nats.
#[test]
fn the_ratio_is_tested_in_nats_too() {
    let other = unet(1);
    disturb(&other, 1e-4);
    let batch = rollouts(&other, 0, 8);
    let refusal = |ratio_tolerance_nats| {
        let config = LearnerConfig { ratio_tolerance: 1.0, ratio_tolerance_nats, ..settings() };
        tiny::learner(config).update(&batch, &mut |_, _| {})
    };
    assert!(refusal(100.0).is_ok());
    let error = refusal(1e-3).unwrap_err();
    assert!(matches!(error, LearnError::GapInNats { .. }), "{error}");
}

/// Samples of the score-function objective must be drawn with the current weights.
#[test]
fn the_score_function_takes_one_step_an_epoch() {
    let config = LearnerConfig { objective: Objective::ScoreFunction, ..settings() };
    let error =
        tiny::learner(config).update(&rollouts(&unet(1), 0, 8), &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, LearnError::OnPolicy { samples: 8, batch_size: 4 }), "{error}");
}
