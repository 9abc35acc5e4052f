//! Epochs that teach nothing are named, in the metrics and once in the output.

use crate::run::{Draws, Fake, Lines, run_reporting, workshop};
use ddpo_diffusion::host_weights::HostWeights;
use ddpo_rollout::score::{Score, ScoredTrajectory};
use ddpo_rollout::trajectory::Trajectory;
use ddpo_run::error::RolloutsError;
use ddpo_run::progress::Progress;
use ddpo_run::rollouts::{Request, Rollout, Rollouts, Weights};
use std::path::Path;

/// Samplers whose scored samples are changed from an epoch on.
struct Changed {
    inner: Fake,
    from: u32,
    change: fn(&mut [ScoredTrajectory]),
}

impl Rollouts for Changed {
    fn publish(&mut self, weights: &Weights<'_>, host: &HostWeights) -> Result<(), RolloutsError> {
        self.inner.publish(weights, host)
    }

    fn rollout(
        &mut self,
        request: &Request<'_>,
        progress: &dyn Progress,
    ) -> Result<Option<Rollout>, RolloutsError> {
        let mut drawn = self.inner.rollout(request, progress)?;
        if let Some(drawn) = drawn.as_mut().filter(|_| request.epoch >= self.from) {
            (self.change)(&mut drawn.scored);
        }
        Ok(drawn)
    }
}

/// Runs four epochs, changed from the second on. Returns the warnings, and `no_signal` of each epoch.
fn run(change: fn(&mut [ScoredTrajectory])) -> (Vec<String>, Vec<Vec<String>>) {
    let (_folder, settings) = workshop();
    let lines = Lines::default();
    let mut rollouts = Changed { inner: Fake::new(Draws::Late), from: 1, change };
    run_reporting(&settings, &mut rollouts, &lines).unwrap();
    let metrics = Path::new(&settings.output_dir).join("metrics.jsonl");
    let causes = |line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["distinct_samples"].is_u64() && line["saturated_fraction"].is_f64());
        let causes = line["no_signal"].as_array().cloned().unwrap_or_default();
        causes.iter().map(|cause| cause.as_str().unwrap().to_owned()).collect()
    };
    let text = std::fs::read_to_string(metrics).unwrap();
    (lines.warnings(), text.lines().map(causes).collect())
}

/// Returns the trajectory with another final state, which the last, deterministic step leads to.
fn ending_with(one: &Trajectory, last: Vec<u8>) -> Trajectory {
    let mut states = one.states().to_vec();
    *states.last_mut().unwrap() = last.into();
    Trajectory::new(one.header().clone(), states, one.log_probs().to_vec()).unwrap()
}

#[test]
fn a_run_that_learns_gives_no_warning() {
    assert_eq!(run(|_| {}), (vec![], vec![vec![]; 4]));
}

#[test]
fn a_constant_reward_and_its_zero_gradient_are_named_once() {
    let (warnings, causes) = run(|scored| {
        scored.iter_mut().for_each(|one| one.score = Score::plain(0.25));
    });
    let expected = "warning: epoch 2 taught little or nothing (no_signal): the reward of every sample is \
                    0.25; hint: check the reward, or draw more samples; the gradient is zero; hint: \
                    check clip_ratio and the learning rates";
    assert_eq!(warnings, [expected]);
    let silent = vec!["constant_reward".to_owned(), "zero_gradient".to_owned()];
    assert_eq!(causes, [vec![], silent.clone(), silent.clone(), silent]);
}

#[test]
fn equal_samples_are_named() {
    let (warnings, causes) = run(|scored| {
        let last = scored[0].trajectory.states().last().unwrap().to_vec();
        for one in scored {
            one.trajectory = ending_with(&one.trajectory, last.clone());
        }
    });
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("all samples are the same image"), "{warnings:?}");
    assert_eq!(causes[1..], vec![vec!["equal_samples".to_owned()]; 3]);
}

#[test]
fn saturated_samples_are_named() {
    let (warnings, causes) = run(|scored| {
        for (index, one) in scored.iter_mut().enumerate() {
            let values = one.trajectory.final_state().len();
            let level = |at: usize| if at.is_multiple_of(index + 2) { 1.0 } else { -1.0f32 };
            let last = (0..values).flat_map(|at| level(at).to_le_bytes()).collect();
            one.trajectory = ending_with(&one.trajectory, last);
        }
    });
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("100 % of the pixel levels are 0 or 255"), "{warnings:?}");
    assert_eq!(causes[1..], vec![vec!["saturated_samples".to_owned()]; 3]);
}
