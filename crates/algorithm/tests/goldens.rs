//! The parts of an update against PyTorch's numbers (`tests/goldens/learner.json`). Tolerances are
//! relative to the largest expected value: 1e-6, some eight units in the last place of f32, but
//! 5e-6 for advantages, which PyTorch computes in f32 where we take f64: reward minus mean cancels.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // A test may panic, and show its largest gap.

use ddpo_algorithm::adamw::{AdamW, AdamWConfig};
use ddpo_algorithm::advantages::{AdvantageConfig, AdvantageState, advantages};
use ddpo_algorithm::config::{AdvantageScope, ForwardConfig, Objective, TrustRegion};
use ddpo_algorithm::forward::{ForwardInputs, forward_losses};
use ddpo_algorithm::gradient::clip_gradient_norm;
use ddpo_algorithm::objective::{Limits, LossInputs, policy_gradient_losses};
use ddpo_algorithm::schedule::LearningRate;
use ddpo_diffusion::gaussian::{self, Reduction};
use ddpo_diffusion::scheduler::config::SchedulerConfig;
use ddpo_diffusion::scheduler::forward::ForwardProcess;
use ddpo_diffusion::scheduler::{SchedulerKind, Transitions};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

const GOLDENS: &str = include_str!("../../../tests/goldens/learner.json");
const TOLERANCE: f64 = 1e-6;
const ADVANTAGE_TOLERANCE: f64 = 5e-6;

fn cases(key: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(GOLDENS).unwrap();
    let cases = all[key].as_array().unwrap().clone();
    assert!(!cases.is_empty(), "no {key}");
    cases
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// Every f32 is printed so that it reads back to the same bits.
fn tensor(value: &Value) -> Tensor {
    let shape: Vec<i64> = numbers(&value["shape"]).iter().map(|&side| side as i64).collect();
    Tensor::from_slice(&numbers(&value["data"])).to_kind(Kind::Float).view(shape.as_slice())
}

fn named(value: &Value) -> Vec<(String, Tensor)> {
    value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), tensor(value))).collect()
}

fn float(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// Fails beyond the tolerance, naming the gap; gives the gap.
fn close(what: &str, found: &Tensor, expected: &Tensor) -> f64 {
    close_within(TOLERANCE, what, found, expected)
}

fn close_within(tolerance: f64, what: &str, found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size(), "{what}");
    let expected = expected.to_kind(Kind::Double);
    let scale = expected.abs().max().double_value(&[]).max(f64::MIN_POSITIVE);
    let gap = (found.to_kind(Kind::Double) - expected).abs().max().double_value(&[]) / scale;
    assert!(gap <= tolerance, "{what}: largest gap {gap:.2e} of {scale:.2e}");
    gap
}

/// Shows the largest gap under `--nocapture`.
fn report(subject: &str, gaps: &[f64]) {
    let largest = gaps.iter().copied().fold(0.0, f64::max);
    println!("{subject}: largest relative gap {largest:.2e} of {} comparisons", gaps.len());
}

#[test]
fn adamw_is_pytorchs() {
    let mut gaps = Vec::new();
    for (number, case) in cases("adamw").iter().enumerate() {
        let settings = &case["settings"];
        let betas = numbers(&settings["betas"]);
        let config = AdamWConfig {
            beta1: betas[0],
            beta2: betas[1],
            eps: float(&settings["eps"]),
            weight_decay: float(&settings["weight_decay"]),
        };
        let parameters = named(&case["initial"]);
        let mut optimizer = AdamW::new(config, &parameters);
        for (index, step) in case["steps"].as_array().unwrap().iter().enumerate() {
            let gradients: Vec<Tensor> =
                named(&step["gradients"]).into_iter().map(|(_, gradient)| gradient).collect();
            optimizer.step(&parameters, &gradients, float(&step["lr"]));
            let state = optimizer.state(&parameters);
            let found = |name: &str| &state.iter().find(|(n, _)| n == name).unwrap().1;
            for (name, parameter) in &parameters {
                let what = format!("case {number}, step {index}, {name}");
                gaps.push(close(&what, parameter, &tensor(&step["parameters"][name])));
                for (ours, theirs) in [("first", "exp_avg"), ("second", "exp_avg_sq")] {
                    let moment = found(&format!("{ours}.{name}"));
                    gaps.push(close(
                        &format!("{what}, {theirs}"),
                        moment,
                        &tensor(&step[theirs][name]),
                    ));
                }
            }
        }
    }
    report("adamw", &gaps);
}

#[test]
fn gradient_clipping_is_pytorchs() {
    let mut gaps = Vec::new();
    for (number, case) in cases("clip_grad_norm").iter().enumerate() {
        let list = |key: &str| -> Vec<Tensor> {
            case[key].as_array().unwrap().iter().map(tensor).collect()
        };
        let mut gradients = list("gradients");
        let norm = clip_gradient_norm(&mut gradients, float(&case["max_norm"]));
        let what = format!("case {number}");
        gaps.push(close(&what, &Tensor::from(norm), &tensor(&case["norm"])));
        for (found, expected) in gradients.iter().zip(list("clipped")) {
            gaps.push(close(&what, found, &expected));
        }
    }
    report("clip_grad_norm", &gaps);
}

#[test]
fn advantages_are_pytorchs() {
    let mut gaps = Vec::new();
    for (number, case) in cases("advantages").iter().enumerate() {
        let rewards = Vec::<f32>::try_from(tensor(&case["rewards"])).unwrap();
        let (scope, batch_size) = match case["batch_size"].as_u64() {
            Some(size) => (AdvantageScope::Batch, size as usize),
            None => (AdvantageScope::Epoch, rewards.len()),
        };
        let clip = case["clip"].as_f64().unwrap_or(f64::INFINITY);
        let config = AdvantageConfig { scope, batch_size, clip, min_std: 0.0 };
        let found = advantages(&rewards, &[], &config, &mut AdvantageState::default());
        let what = format!("case {number} ({})", case["name"]);
        let (found, expected) = (Tensor::from_slice(&found), tensor(&case["advantages"]));
        gaps.push(close_within(ADVANTAGE_TOLERANCE, &what, &found, &expected));
    }
    report("advantages", &gaps);
}

/// The loss over all (sample, step) pairs and its gradient in the new log-probabilities.
fn loss_and_gradient(objective: Objective, case: &Value) -> (Tensor, Tensor) {
    let log_prob = tensor(&case["new_log_probs"]).set_requires_grad(true);
    let old = case.get("old_log_probs").map_or_else(|| log_prob.detach(), tensor);
    let proximal = case.get("proximal_log_probs").map_or_else(|| old.shallow_clone(), tensor);
    let limit = |name: &str| case.get(name).map_or(1.0, float);
    let moved = case.get("moved_nats").map(|moved| tensor(moved).flatten(0, -1));
    let trust_region = if moved.is_some() { TrustRegion::Kl } else { TrustRegion::Clip };
    let limits = Limits {
        trust_region,
        clip_ratio: limit("clip_ratio"),
        kl_limit: limit("kl_limit"),
        importance_cap: limit("importance_cap"),
    };
    let advantage = tensor(&case["advantages"]).unsqueeze(1).expand_as(&log_prob);
    let flat = |x: &Tensor| x.flatten(0, -1);
    let inputs = LossInputs {
        log_prob: &flat(&log_prob),
        proximal_log_prob: &flat(&proximal),
        drift_nats: &(flat(&proximal) - flat(&old)),
        moved_nats: moved.as_ref(),
        advantage: &flat(&advantage),
    };
    let loss = policy_gradient_losses(objective, &inputs, limits).mean(Kind::Float);
    loss.backward();
    (loss.detach(), log_prob.grad())
}

#[track_caller]
fn objective_is_pytorchs(key: &str, objective: Objective) {
    let mut gaps = Vec::new();
    for (number, case) in cases(key).iter().enumerate() {
        let (loss, gradient) = loss_and_gradient(objective, case);
        gaps.push(close(&format!("case {number}, loss"), &loss, &tensor(&case["loss"])));
        let what = format!("case {number}, gradient");
        gaps.push(close(&what, &gradient, &tensor(&case["gradient"])));
    }
    report(key, &gaps);
}

#[test]
fn the_clipped_objective_is_pytorchs() {
    objective_is_pytorchs("ddpo_is", Objective::ClippedIs);
}

#[test]
fn the_decoupled_objective_is_pytorchs() {
    objective_is_pytorchs("decoupled", Objective::Decoupled);
}

#[test]
fn the_score_function_objective_is_pytorchs() {
    objective_is_pytorchs("score_function", Objective::ScoreFunction);
}

#[test]
fn the_trust_region_by_kl_is_pytorchs() {
    objective_is_pytorchs("trust_region", Objective::ClippedIs);
}

#[test]
fn the_forward_losses_are_pytorchs() {
    let mut gaps = Vec::new();
    for (number, case) in cases("forward").iter().enumerate() {
        let parsed = |name: &str| case[name].clone();
        let config = ForwardConfig {
            weighting: serde_json::from_value(parsed("weighting")).unwrap(),
            level_weight: serde_json::from_value(parsed("level_weight")).unwrap(),
            beta: float(&case["beta"]),
            ..ForwardConfig::default()
        };
        let prediction = tensor(&case["prediction"]).set_requires_grad(true);
        let inputs = ForwardInputs {
            prediction: &prediction,
            old: &tensor(&case["old"]),
            target: &tensor(&case["target"]),
            advantage: &tensor(&case["advantages"]),
        };
        let (largest, clip) = (float(&case["largest_advantage"]), float(&case["clip_ratio"]));
        let found = forward_losses(&config, &inputs, largest, clip);
        found.loss.sum(Kind::Float).backward();
        let what = format!("case {number}");
        gaps.push(close(&what, &found.loss, &tensor(&case["losses"])));
        let gradient = tensor(&case["gradient"]);
        gaps.push(close(&format!("{what}, gradient"), &prediction.grad(), &gradient));
    }
    report("forward", &gaps);
}

fn scheduler_config(case: &Value, keys: &[&str]) -> SchedulerConfig {
    let mut config = serde_json::json!({ "clip_sample": false, "set_alpha_to_one": false });
    for &key in keys {
        config[key] = case[key].clone();
    }
    SchedulerConfig::from_json(&config.to_string()).unwrap()
}

#[test]
fn noisy_images_and_targets_are_those_of_diffusers() {
    let mut gaps = Vec::new();
    for (number, case) in cases("noised").iter().enumerate() {
        let config = scheduler_config(case, &["prediction_type", "beta_schedule"]);
        let process = ForwardProcess::new(&config, Device::Cpu);
        let timesteps: Vec<i64> =
            numbers(&case["timesteps"]).into_iter().map(|t| t as i64).collect();
        let (image, noise) = (tensor(&case["image"]), tensor(&case["noise"]));
        let found = process.noised(&image, &noise, &timesteps);
        gaps.push(close(&format!("case {number}, state"), &found.state, &tensor(&case["state"])));
        let target = tensor(&case["target"]);
        gaps.push(close(&format!("case {number}, target"), &found.target, &target));
    }
    report("noised", &gaps);
}

#[test]
fn the_sensitivity_of_each_step_is_that_of_diffusers() {
    let mut gaps = Vec::new();
    for (number, case) in cases("sensitivity").iter().enumerate() {
        let config = scheduler_config(case, &["prediction_type", "timestep_spacing"]);
        let steps = case["steps"].as_u64().unwrap() as usize;
        let transitions = Transitions::new(SchedulerKind::Ddim, &config, steps, 1.0).unwrap();
        let sensitivity: Vec<f64> =
            (0..steps).map(|step| transitions.output_sensitivity(step)).collect();
        let sigma: Vec<f64> = transitions.coefficients().iter().map(|c| c.sigma).collect();
        for (name, found) in [("sensitivity", sensitivity), ("sigma", sigma)] {
            let expected = Tensor::from_slice(&numbers(&case[name]));
            let what = format!("case {number}, {name}");
            // The last steps subtract nearly equal numbers of f32.
            gaps.push(close_within(1e-4, &what, &Tensor::from_slice(&found), &expected));
        }
    }
    report("sensitivity", &gaps);
}

/// One quantity per sample in the case's unit, and the gradient of its sum in the mean.
fn per_sample(case: &Value, quantity: impl Fn(&Tensor, &Tensor) -> Tensor) -> (Tensor, Tensor) {
    let mean = tensor(&case["mean"]).set_requires_grad(true);
    let batch = mean.size()[0];
    let sigma = Tensor::full([batch, 1, 1, 1], float(&case["sigma"]), (Kind::Float, mean.device()));
    let reduction: Reduction = serde_json::from_value(case["reduction"].clone()).unwrap();
    let values = quantity(&mean, &sigma) * reduction.factor(mean.numel() / batch as usize);
    values.sum(Kind::Float).backward();
    (values.detach(), mean.grad())
}

#[test]
fn the_gaussian_log_probability_is_pytorchs() {
    let mut gaps = Vec::new();
    for (number, case) in cases("gaussian_log_prob").iter().enumerate() {
        let sample = tensor(&case["sample"]);
        let (value, gradient) =
            per_sample(case, |mean, sigma| gaussian::log_prob(&sample, mean, sigma));
        gaps.push(close(&format!("case {number}"), &value, &tensor(&case["log_prob"])));
        gaps.push(close(
            &format!("case {number}, gradient"),
            &gradient,
            &tensor(&case["gradient"]),
        ));
    }
    report("gaussian_log_prob", &gaps);
}

#[test]
fn the_gaussian_divergence_is_pytorchs() {
    let mut gaps = Vec::new();
    for (number, case) in cases("gaussian_kl").iter().enumerate() {
        let reference = tensor(&case["reference"]);
        let (value, gradient) =
            per_sample(case, |mean, sigma| gaussian::kl_same_sigma(mean, &reference, sigma));
        gaps.push(close(&format!("case {number}"), &value, &tensor(&case["kl"])));
        gaps.push(close(
            &format!("case {number}, gradient"),
            &gradient,
            &tensor(&case["gradient"]),
        ));
    }
    report("gaussian_kl", &gaps);
}

#[test]
fn learning_rates_are_those_of_the_definition() {
    for (number, case) in cases("schedule").iter().enumerate() {
        let schedule = LearningRate {
            initial_lr: float(&case["initial_lr"]),
            peak_lr: float(&case["peak_lr"]),
            warmup_pct: float(&case["warmup_pct"]),
            total_steps: case["total_steps"].as_u64().unwrap(),
        };
        for (step, expected) in numbers(&case["lr"]).into_iter().enumerate() {
            let found = schedule.at(step as u64);
            let gap = ((found - expected) / expected).abs();
            assert!(gap < 1e-12, "case {number}, step {step}: {found:e}, expected {expected:e}");
        }
    }
}
