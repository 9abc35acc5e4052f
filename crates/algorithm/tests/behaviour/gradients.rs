//! The gradient of every term of the loss against finite differences of the reported loss.

use crate::tiny::{self, rollouts, settings, unet, with_rewards};
use ddpo_algorithm::config::{
    ForwardConfig, ForwardWeighting, LearnerConfig, Objective, TrustRegion,
};
use ddpo_algorithm::forward::{ForwardInputs, forward_losses};
use ddpo_algorithm::step_weights::StepWeights;
use ddpo_diffusion::unet::UNet;
use tch::{Device, Kind, Tensor};

const REWARDS: [f32; 8] = [1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0];

/// The loss of one full batch under the weights `network`, sampled by `unet(1)`, and its gradient.
fn loss_and_gradient(config: &LearnerConfig, network: UNet) -> (f64, Tensor) {
    let batch = with_rewards(&rollouts(&unet(1), 0, 8), &REWARDS);
    let model = tiny::model(network, Kind::Float, Some(unet(2)));
    let mut learner = tiny::learner_of(config.clone(), tiny::constant(0.0), model);
    let report = learner.update(&batch, &mut |_, _| {}).unwrap();
    (report.loss, tiny::gradient(&learner))
}

/// Compares the slope of the loss along the gradient with the gradient's norm.
fn check(name: &str, config: LearnerConfig, tolerance: f64) {
    let config = LearnerConfig {
        batch_size: 8,
        max_grad_norm: 1e9,
        ratio_tolerance: f64::MAX,
        ratio_tolerance_nats: f64::MAX,
        clip_ratio: 0.5,
        ..config
    };
    // Away from the sampling policy, so that ratios are not one.
    let start = || {
        let network = unet(1);
        tiny::disturb(&network, 1e-5);
        network
    };
    let (_, gradient) = loss_and_gradient(&config, start());
    let norm = gradient.norm().double_value(&[]);
    let step = 1e-3;
    let moved = |length: f64| {
        let network = start();
        let mut offset = 0;
        tch::no_grad(|| {
            for (_, tensor) in network.parameters().entries() {
                let count = tensor.numel() as i64;
                let part = gradient.narrow(0, offset, count).view_as(tensor) * (length / norm);
                let _ = tensor.shallow_clone().g_add_(&part);
                offset += count;
            }
        });
        loss_and_gradient(&config, network).0
    };
    let slope = (moved(step) - moved(-step)) / (2.0 * step);
    let gap = (slope / norm - 1.0).abs();
    println!("{name}: norm {norm:.3e}, relative gap {gap:.2e}");
    assert!(gap < tolerance, "{name}: slope {slope:.4e}, norm {norm:.4e}");
}

#[test]
fn objectives_on_the_density_agree_with_finite_differences() {
    let mean = settings;
    check("clipped-is", mean(), 0.02);
    let step_weights = StepWeights::Uniform;
    check("uniform weights", LearnerConfig { step_weights, ..mean() }, 0.02);
    let score = Objective::ScoreFunction;
    check("score-function", LearnerConfig { objective: score, ..mean() }, 0.02);
    check("with KL", LearnerConfig { kl_coef: 0.3, ..mean() }, 0.02);
    let both = LearnerConfig { kl_coef: 0.3, step_weights, ..mean() };
    check("uniform weights with KL", both, 0.02);
    let region = LearnerConfig { trust_region: TrustRegion::Kl, kl_limit: 1e9, ..mean() };
    check("trust region by KL", region, 0.02);
}

/// In f64, on predictions rather than weights: an update takes the old prediction from the network.
#[test]
fn forward_losses_agree_with_finite_differences() {
    tch::manual_seed(3);
    let options = (Kind::Double, Device::Cpu);
    let drawn = || Tensor::randn([4, 3, 4, 4], options);
    let (prediction, target, direction) = (drawn(), drawn(), drawn());
    let old = &prediction + drawn() * 0.3;
    let advantage = Tensor::from_slice(&[1.5, -0.7, 0.2, -2.0]);
    for weighting in [ForwardWeighting::Nft, ForwardWeighting::Advantage] {
        let config = ForwardConfig { weighting, beta: 0.6, ..ForwardConfig::default() };
        let loss = |prediction: &Tensor| {
            let inputs =
                ForwardInputs { prediction, old: &old, target: &target, advantage: &advantage };
            forward_losses(&config, &inputs, 2.5, 1e9).loss.sum(Kind::Double)
        };
        let leaf = prediction.copy().set_requires_grad(true);
        loss(&leaf).backward();
        let expected = (leaf.grad() * &direction).sum(Kind::Double).double_value(&[]);
        let at = |step: f64| loss(&(&prediction + &direction * step)).double_value(&[]);
        let found = (at(1e-3) - at(-1e-3)) / 2e-3;
        let gap = (found / expected - 1.0).abs();
        println!("{weighting:?}: relative gap {gap:.2e}");
        assert!(gap < 1e-4, "{weighting:?}: {found} {expected}");
    }
}
