//! An update cut over lanes is the update of one lane.

use crate::tiny::{self, RANDOM, learner, prediction_gap, rollouts, settings, unet, with_rewards};
use ddpo_algorithm::config::{LearnerConfig, Objective};
use ddpo_algorithm::learner::Learner;
use ddpo_algorithm::report::UpdateReport;

const REWARDS: [f32; 8] = [1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0];

/// One optimizer step on the whole batch.
fn update(objective: Objective, lanes: usize, micro_batch_size: usize) -> (UpdateReport, Learner) {
    let batch = with_rewards(&rollouts(&unet(1), 0, 8), &REWARDS);
    let settings = LearnerConfig { objective, batch_size: 8, micro_batch_size, ..settings() };
    let mut learner = learner(settings).with_lanes(lanes);
    let report = learner.update(&batch, &mut |_, _| {}).unwrap();
    (report, learner)
}

/// The largest difference of gradients, relative to the largest gradient.
fn gradient_gap(found: &Learner, expected: &Learner) -> f64 {
    let (found, expected) = (tiny::gradient(found), tiny::gradient(expected));
    ((found - &expected).abs().max() / expected.abs().max()).double_value(&[])
}

/// The lanes' parts are the micro-batches of one lane, so that passes have the same shapes: what is
/// left is the order in which gradients are added.
#[test]
fn lanes_give_the_update_of_one_lane() {
    use Objective::{ClippedIs, Decoupled, Forward, ScoreFunction};
    for objective in [ClippedIs, Decoupled, ScoreFunction, Forward] {
        for (lanes, size, part) in [(2, 8, 4), (2, 16, 8), (4, 8, 2), (8, 8, 1), (16, 8, 1)] {
            let (one, alone) = update(objective, 1, part);
            let (several, together) = update(objective, lanes, size);
            assert_eq!((several.pairs, several.optimizer_steps), (8 * RANDOM as u64, 1));
            let name = format!("{objective:?}, {lanes} lanes");
            let gap = gradient_gap(&together, &alone);
            assert!(gap < 1e-6, "{name}: gradients differ by {gap:.2e}");
            let gap = (several.grad_norm / one.grad_norm - 1.0).abs();
            assert!(gap < 1e-6, "{name}: gradient norms differ by {gap:.2e}");
            let gap = (several.loss - one.loss).abs() / one.loss.abs().max(1.0);
            assert!(gap < 1e-6, "{name}: losses differ by {gap:.2e}");
            let gap = prediction_gap(&together, &alone);
            assert!(gap < 1e-6, "{name}: predictions differ by {gap:.2e}");
        }
    }
}

/// With passes of other shapes the rounding is another; as with micro-batches of other sizes, the
/// last random step divides it by its sigma of 0.01.
#[test]
fn lanes_that_cut_passes_differ_from_one_by_rounding_alone() {
    let (_, alone) = update(Objective::ClippedIs, 1, 8);
    for lanes in [2, 3, 5, 8] {
        let gap = gradient_gap(&update(Objective::ClippedIs, lanes, 8).1, &alone);
        assert!(gap < 1e-4, "{lanes} lanes: gradients differ by {gap:.2e}");
    }
}

#[test]
fn the_same_number_of_lanes_gives_the_same_bits() {
    let digest = || update(Objective::Decoupled, 3, 8).1.policy().master().parameters().digest();
    assert_eq!(digest(), digest());
}
