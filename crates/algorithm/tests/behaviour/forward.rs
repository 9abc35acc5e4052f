//! The forward objective: DiffusionNFT and AWM on images and rewards alone.

use crate::tiny::{
    self, SHAPE, largest_gap, learner, learner_at, settings, unet, weights, with_rewards,
};
use ddpo_algorithm::config::{
    ForwardConfig, ForwardWeighting, LearnerConfig, LevelSource, LevelWeight, Objective, OldPolicy,
};
use ddpo_algorithm::report::UpdateReport;
use ddpo_diffusion::scheduler::forward::{ForwardProcess, Noised};
use ddpo_diffusion::unet::UNet;
use ddpo_rollout::chain::NeededStates;
use ddpo_rollout::noise::{NoiseKey, Purpose};
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{PolicyVersion, decode};
use tch::{Device, Kind, Tensor};

const REWARDS: [f32; 8] = [1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0];

/// Images only, as a run of the objective samples them.
fn batch() -> Vec<ScoredTrajectory> {
    let chain = tiny::transitions().chain(None, NeededStates::Image);
    let version = PolicyVersion::default();
    with_rewards(&tiny::rollouts_along(&unet(1), &chain, version, 0, 8), &REWARDS)
}

fn config(weighting: ForwardWeighting) -> LearnerConfig {
    LearnerConfig {
        objective: Objective::Forward,
        forward: ForwardConfig { weighting, ..ForwardConfig::default() },
        clip_ratio: 0.5,
        ..settings()
    }
}

fn one_step(weighting: ForwardWeighting) -> LearnerConfig {
    LearnerConfig { batch_size: 8, ..config(weighting) }
}

/// Mean squared error of `network` on noisy forms of one image.
fn error(network: &UNet, scored: &ScoredTrajectory) -> f64 {
    let _guard = tch::no_grad_guard();
    let process = ForwardProcess::new(tiny::scheduler(), Device::Cpu);
    let state = scored.trajectory.states().last().unwrap();
    let image = Tensor::from_slice(&decode(state, scored.trajectory.header().dtype));
    let image = image.view([1, 3, 8, 8]);
    let of = |timestep: i64| {
        let mut noise = vec![0.0; SHAPE.elements()];
        let key = NoiseKey { seed: 5, purpose: Purpose::Weights, epoch: 0, sample: 0, step: 9 };
        key.fill_normal(&mut noise);
        let noise = Tensor::from_slice(&noise).view([1, 3, 8, 8]);
        let Noised { state, target } = process.noised(&image, &noise, &[timestep]);
        let found = network.forward(&state, &Tensor::from_slice(&[timestep]), None);
        (found - target).square().mean(Kind::Double).double_value(&[])
    };
    [100, 300, 500, 700].into_iter().map(of).sum()
}

#[test]
fn good_samples_are_denoised_better_than_bad_ones() {
    let batch = batch();
    for weighting in [ForwardWeighting::Nft, ForwardWeighting::Advantage] {
        let mut learner = learner_at(1e-3, one_step(weighting));
        learner.update(&batch, &mut |_, _| {}).unwrap();
        let change = |scored: &ScoredTrajectory| {
            let (before, after) =
                (error(&unet(1), scored), error(learner.policy().network(), scored));
            (before - after) * f64::from(scored.score.reward)
        };
        let sum: f64 = batch.iter().map(change).sum();
        assert!(sum > 1e-5, "{weighting:?}: reward-weighted change {sum:.2e}");
    }
}

/// At the weights that sampled, both have the gradient of A |prediction - target|^2.
#[test]
fn both_weightings_have_the_same_gradient_on_the_first_step() {
    let batch = batch();
    let gradient = |weighting, beta| {
        let mut config = one_step(weighting);
        config.forward.beta = beta;
        let mut learner = learner(config);
        learner.update(&batch, &mut |_, _| {}).unwrap();
        tiny::gradient(&learner)
    };
    let awm = gradient(ForwardWeighting::Advantage, 1.0);
    let scale = awm.abs().max().double_value(&[]);
    for beta in [1.0, 0.3] {
        let nft = gradient(ForwardWeighting::Nft, beta);
        let gap = (&nft - &awm).abs().max().double_value(&[]) / scale;
        assert!(gap < 1e-4, "beta {beta}: {gap:.2e}");
    }
}

/// The first optimizer step takes the old prediction from the network itself; a second pass with the old
/// weights gives the same bits.
#[test]
fn the_old_policy_is_the_network_before_the_first_step() {
    let batch = batch();
    let update = |batch_size| {
        let config = LearnerConfig { batch_size, ..config(ForwardWeighting::Nft) };
        let mut learner = learner(config);
        let report = learner.update(&batch, &mut |_, _| {}).unwrap();
        (report, weights(&learner))
    };
    let (report, found) = update(4);
    assert_eq!(report.optimizer_steps, 2);
    // From an average that has just begun, the old policy is the same weights.
    let mut config = config(ForwardWeighting::Nft);
    config.ema_decay = Some(0.5);
    config.forward.old = OldPolicy::Average;
    let mut averaged = learner(config);
    averaged.update(&batch, &mut |_, _| {}).unwrap();
    assert_eq!(largest_gap(&weights(&averaged), &found), 0.0);
}

fn train(
    config: LearnerConfig,
    batch: &[ScoredTrajectory],
) -> (UpdateReport, Vec<(String, Tensor)>) {
    let mut learner = learner(config);
    let report = learner.update(batch, &mut |_, _| {}).unwrap();
    (report, weights(&learner))
}

#[test]
fn the_order_of_the_batch_changes_nothing() {
    let batch = batch();
    for weighting in [ForwardWeighting::Nft, ForwardWeighting::Advantage] {
        let (report, expected) = train(config(weighting), &batch);
        assert_eq!(report.pairs, 8 * 4);
        let reversed: Vec<_> = batch.iter().rev().cloned().collect();
        assert_eq!(largest_gap(&train(config(weighting), &reversed).1, &expected), 0.0);
    }
}

#[test]
fn each_setting_changes_the_update() {
    let batch = batch();
    let base = train(config(ForwardWeighting::Nft), &batch).1;
    let with = |change: &dyn Fn(&mut ForwardConfig)| {
        let mut config = config(ForwardWeighting::Nft);
        change(&mut config.forward);
        largest_gap(&train(config, &batch).1, &base)
    };
    assert!(with(&|config| config.levels = 2) > 0.0);
    assert!(with(&|config| config.level_source = LevelSource::All) > 0.0);
    assert!(with(&|config| config.max_timestep = Some(500)) > 0.0);
    assert!(with(&|config| config.level_weight = LevelWeight::Adaptive) > 0.0);
    assert!(with(&|config| config.beta = 0.2) > 0.0);
}

#[test]
fn reports_the_distance_from_the_pretrained_model_and_the_denoising_error() {
    let config = LearnerConfig { kl_coef: 0.1, ..config(ForwardWeighting::Nft) };
    let reference = tiny::model(unet(1), Kind::Float, Some(unet(1)));
    let mut learner = tiny::learner_of(config, tiny::constant(1e-3), reference);
    let first = learner.update(&batch(), &mut |_, _| {}).unwrap();
    assert_eq!(first.kl_to_pretrained_nats, None);
    assert!(first.distance_to_pretrained.unwrap() > 0.0, "the second step has moved");
    assert!(first.denoising_error.unwrap() > 0.0);
    assert_eq!(first.steps.len(), 4);
    let shares: f64 = first.steps.iter().map(|step| step.gradient_share).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
    assert!(first.steps.is_sorted_by_key(|step| -step.timestep));
}

#[test]
fn settings_of_the_density_of_a_step_are_refused() {
    let refused = |config: LearnerConfig| config.check().unwrap_err().name;
    let base = || config(ForwardWeighting::Nft);
    assert_eq!(refused(LearnerConfig { timestep_fraction: 0.5, ..base() }), "timestep_fraction");
    assert_eq!(refused(LearnerConfig { kl_stop: Some(1.0), ..base() }), "kl_stop");
    let window = Some("2".parse().unwrap());
    assert_eq!(refused(LearnerConfig { window, ..base() }), "window");
    let mut average = base();
    average.forward.old = OldPolicy::Average;
    assert_eq!(refused(average), "ema_decay");
    let mut beta = base();
    beta.forward.beta = 0.0;
    assert_eq!(refused(beta), "forward_beta");
}
