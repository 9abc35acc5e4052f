//! The optimizer steps at which the gradient norm is clipped.

use crate::tiny::{constant, learner_of, model, rollouts, settings, unet};
use ddpo_algorithm::config::{GradientClip, LearnerConfig};
use ddpo_algorithm::schedule::LearningRate;
use tch::{Kind, Tensor};

const LIMIT: f64 = 1e-3;
const STEPS: u32 = 4;

/// Returns the norm of the gradient that each optimizer step of a run took.
fn norms(gradient_clip: GradientClip, rate: LearningRate) -> Vec<f64> {
    let config = LearnerConfig { batch_size: 8, max_grad_norm: LIMIT, gradient_clip, ..settings() };
    let mut learner = learner_of(config, rate, model(unet(1), Kind::Float, None));
    let mut before: Option<Tensor> = None;
    (0..STEPS)
        .map(|epoch| {
            let batch = rollouts(learner.policy().network(), epoch, 8);
            let report = learner.update(&batch, &mut |_, _| {}).unwrap();
            assert!(report.grad_norm > 2.0 * LIMIT, "{}", report.grad_norm);
            // The first moments are m <- 0.9 m + 0.1 g.
            let moments = moments(&learner);
            let gradient = match before.replace(moments.copy()) {
                Some(before) => moments * 10.0 - before * 9.0,
                None => moments * 10.0,
            };
            gradient.norm().double_value(&[])
        })
        .collect()
}

/// Returns the first moments of all parameters.
fn moments(learner: &ddpo_algorithm::learner::Learner) -> Tensor {
    let state = learner.optimizer().state(learner.policy().master().parameters().entries());
    let first = state.into_iter().filter(|(name, _)| name.starts_with("first."));
    Tensor::cat(&first.map(|(_, moment)| moment.flatten(0, -1)).collect::<Vec<_>>(), 0)
        .to_kind(Kind::Double)
}

fn clipped(gradient_clip: GradientClip, rate: LearningRate) -> Vec<bool> {
    norms(gradient_clip, rate).into_iter().map(|norm| norm < 1.1 * LIMIT).collect()
}

#[test]
fn clips_every_step_or_those_after_the_warm_up() {
    let rising = LearningRate { initial_lr: 1e-7, peak_lr: 1e-6, warmup_pct: 0.5, total_steps: 4 };
    assert_eq!(rising.warm_up_steps(), 2);
    assert_eq!(clipped(GradientClip::EveryStep, rising), [true; 4]);
    assert_eq!(clipped(GradientClip::AfterWarmUp, rising), [false, false, false, true]);
    let short = LearningRate { warmup_pct: 0.0, ..rising };
    assert_eq!(clipped(GradientClip::AfterWarmUp, short), [false, false, true, true]);
    assert_eq!(clipped(GradientClip::AfterWarmUp, constant(1e-7)), [false, true, true, true]);
}
