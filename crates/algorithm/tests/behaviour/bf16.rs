//! A policy that runs in bfloat16 under f32 master weights.

use crate::tiny::{self, epoch, largest_gap, settings, unet, weights};
use ddpo_algorithm::config::{LearnerConfig, Objective};
use ddpo_algorithm::learner::Learner;
use tch::{Device, Kind};

fn learner(rate: f64) -> Learner {
    let settings = LearnerConfig { ratio_tolerance: 0.1, ..settings() };
    let rate = tiny::constant(rate);
    tiny::learner_of(settings, rate, tiny::model(unet(1), Kind::BFloat16, None))
}

#[test]
fn the_network_is_the_masters_rounded() {
    let mut learner = learner(1e-3);
    for index in 0..2 {
        let (master, network) = (learner.policy().master(), learner.policy().network());
        assert_eq!(network.parameters().kind(), Kind::BFloat16);
        let rounded = master.converted(Kind::BFloat16, Device::Cpu);
        assert_eq!(network.parameters().digest(), rounded.parameters().digest());
        epoch(&mut learner, index);
    }
    assert!(weights(&learner).iter().all(|(_, tensor)| tensor.kind() == Kind::Float));
}

/// A rate that bfloat16 weights could not feel still moves the masters, and adds up.
#[test]
fn steps_below_bfloat16s_resolution_add_up_in_the_masters() {
    let mut learner = learner(1e-6);
    let start = weights(&learner);
    epoch(&mut learner, 0);
    let once = largest_gap(&weights(&learner), &start);
    assert!(once > 1e-7, "{once:e}");
    (1..4).for_each(|index| _ = epoch(&mut learner, index));
    assert!(largest_gap(&weights(&learner), &start) > 2.0 * once);
}

#[test]
fn its_own_rollouts_have_a_ratio_near_one() {
    let report = epoch(&mut learner(1e-4), 0);
    // Rounding depends on the batch's shape; log-probabilities themselves are f32.
    assert!(report.ratio_gap_max < 0.02, "gap {:.2e}", report.ratio_gap_max);
    assert!(report.grad_norm > 0.0);
}

/// Gradients are summed over micro-batches in f32 and point where the f32 policy's do.
#[test]
fn its_gradient_points_where_the_f32_policys_does() {
    let gradient = |kind| {
        let settings = LearnerConfig {
            objective: Objective::ScoreFunction,
            batch_size: 8,
            micro_batch_size: 4,
            ratio_tolerance: 0.1,
            ..settings()
        };
        let rate = tiny::constant(1e-4);
        let mut learner = tiny::learner_of(settings, rate, tiny::model(unet(1), kind, None));
        // Its own rollouts: the mean of other weights is off by more than a sigma of 0.01.
        let batch = tiny::rollouts(learner.policy().network(), 0, 8);
        let batch = tiny::with_rewards(&batch, &[1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0]);
        learner.update(&batch, &mut |_, _| {}).unwrap();
        tiny::gradient(&learner)
    };
    let (half, full) = (gradient(Kind::BFloat16), gradient(Kind::Float));
    let cosine = half.dot(&full) / (half.norm() * full.norm());
    let cosine = cosine.double_value(&[]);
    assert!(cosine > 0.98, "cosine {cosine}");
}
