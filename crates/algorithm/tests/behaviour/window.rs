//! Training in a window of the chain, and the weight of each step.

use crate::tiny::{self, largest_gap, learner, rollouts, settings, unet, weights};
use ddpo_algorithm::config::LearnerConfig;
use ddpo_algorithm::error::LearnError;
use ddpo_algorithm::step_weights::StepWeights;
use ddpo_rollout::chain::NeededStates;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::PolicyVersion;
use ddpo_rollout::window::Window;

fn window(text: &str) -> Window {
    text.parse().unwrap()
}

fn batch(text: &str, epoch: u32) -> Vec<ScoredTrajectory> {
    let chain = tiny::transitions().chain(Some(window(text)), NeededStates::Steps);
    let version = PolicyVersion(u64::from(epoch));
    tiny::rollouts_along(&unet(1), &chain, version, epoch, 8)
}

#[test]
fn trains_the_steps_of_the_window_only() {
    let batch = batch("2:1", 0);
    assert_eq!(batch[0].trajectory.states().len(), 4, "states 1, 2, 3 and the image");
    let mut learner = learner(LearnerConfig { window: Some(window("2:1")), ..settings() });
    let report = learner.update(&batch, &mut |_, _| {}).unwrap();
    assert_eq!(report.pairs, 8 * 2);
    assert!(report.ratio_gap_max < 1e-5, "{}", report.ratio_gap_max);
    let timesteps: Vec<i64> = report.steps.iter().map(|step| step.timestep).collect();
    assert_eq!(timesteps, tiny::transitions().timesteps()[1..3]);
}

#[test]
fn a_moving_window_trains_other_steps_in_the_next_epoch() {
    let config = LearnerConfig { window: Some(window("2:moving")), ..settings() };
    let mut learner = learner(config);
    let mut seen = Vec::new();
    for epoch in 0..2 {
        let chain = tiny::transitions().chain(Some(window("2:moving")), NeededStates::Steps);
        let version = learner.version();
        let network = learner.policy().network();
        let batch = tiny::rollouts_along(network, &chain, version, epoch, 8);
        let report = learner.update(&batch, &mut |_, _| {}).unwrap();
        seen.extend(report.steps.iter().map(|step| step.timestep));
    }
    assert_eq!(seen, tiny::transitions().timesteps()[..4]);
}

#[test]
fn refuses_samples_of_another_window() {
    let refusal = |config: LearnerConfig, batch: &[ScoredTrajectory]| {
        learner(config).update(batch, &mut |_, _| {}).unwrap_err()
    };
    let windowed = LearnerConfig { window: Some(window("2:1")), ..settings() };
    for other in [batch("2:0", 0), rollouts(&unet(1), 0, 8)] {
        assert!(matches!(refusal(windowed.clone(), &other), LearnError::Scheduler { .. }));
    }
    // Images alone have the digest of the whole chain.
    let chain = tiny::transitions().chain(None, NeededStates::Image);
    let images = tiny::rollouts_along(&unet(1), &chain, PolicyVersion(0), 0, 8);
    let message = refusal(settings(), &images).to_string();
    assert!(message.contains("states [5]"), "{message}");
}

#[test]
fn uniform_weights_even_out_the_gradients_of_the_steps() {
    let batch = rollouts(&unet(1), 0, 8);
    let spread = |step_weights| {
        let config = LearnerConfig { step_weights, batch_size: 8, ..settings() };
        let mut learner = learner(config);
        let report = learner.update(&batch, &mut |_, _| {}).unwrap();
        let shares: Vec<f64> = report.steps.iter().map(|step| step.gradient_share).collect();
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let largest = shares.iter().copied().fold(0.0, f64::max);
        let smallest = shares.iter().copied().fold(1.0, f64::min);
        (largest / smallest, weights(&learner))
    };
    let (density, uniform) = (spread(StepWeights::Density), spread(StepWeights::Uniform));
    assert!(density.0 > 2.0, "{}", density.0);
    assert!(uniform.0 < 1.1, "{}", uniform.0);
    assert!(largest_gap(&density.1, &uniform.1) > 0.0);
}
