//! Compares every step with diffusers' DDIM and DDPM schedulers (`tests/goldens/scheduler`).

#![allow(clippy::unwrap_used, clippy::print_stdout)] // Tests may panic and print the largest gap.

mod golden;

use ddpo_diffusion::scheduler::config::SchedulerConfig;
use ddpo_diffusion::scheduler::noise_schedule::alphas_cumprod;
use ddpo_diffusion::scheduler::{SchedulerKind, Transitions};
use golden::{Gaps, Golden, gap};
use tch::{Kind, Tensor};

const STATES: f64 = 2e-5;
const SCALARS: f64 = 1e-6;

fn config(golden: &Golden) -> SchedulerConfig {
    SchedulerConfig::from_json(golden.text("config")).unwrap()
}

fn transitions(golden: &Golden) -> Transitions {
    let (kind, eta) = match golden.text("kind") {
        "ddim" => (SchedulerKind::Ddim, golden.json("eta").as_f64().unwrap()),
        _ => (SchedulerKind::Ddpm, 1.0),
    };
    let steps = golden.json("num_inference_steps").as_u64().unwrap() as usize;
    Transitions::new(kind, &config(golden), steps, eta).unwrap()
}

#[test]
fn timesteps_equal_diffusers() {
    for golden in Golden::all("scheduler", "dd") {
        let expected = Vec::<i64>::try_from(golden.tensor("timesteps")).unwrap();
        assert_eq!(transitions(&golden).timesteps(), expected, "{}", golden.name);
    }
}

#[test]
fn cumulative_alphas_and_sigmas_agree_with_diffusers() {
    let (mut alphas, mut sigmas) = (Gaps::within(SCALARS), Gaps::within(SCALARS));
    for golden in Golden::all("scheduler", "dd") {
        let found = Tensor::from_slice(&alphas_cumprod(&config(&golden)));
        alphas.add(&golden.name, gap(&found, &golden.tensor("alphas_cumprod")));
        let found: Vec<f64> =
            transitions(&golden).coefficients().iter().map(|step| step.sigma).collect();
        sigmas.add(&golden.name, gap(&Tensor::from_slice(&found), &golden.tensor("output.sigma")));
    }
    alphas.finish("alphas_cumprod");
    sigmas.finish("sigma");
}

#[test]
fn each_step_agrees_with_diffusers() {
    let (mut means, mut samples) = (Gaps::within(STATES), Gaps::within(STATES));
    for golden in Golden::all("scheduler", "dd") {
        let transitions = transitions(&golden);
        let at = |name: &str, step: usize| golden.tensor(name).get(step as i64);
        for step in 0..transitions.timesteps().len() {
            let state = at("input.sample", step);
            let rows = vec![step; state.size()[0] as usize];
            let (output, noise) = (at("input.model_output", step), at("input.noise", step));
            let taken = transitions.step(&state, &output, &rows, &noise);
            assert_eq!(taken.sigma.size(), [state.size()[0], 1, 1, 1]);
            let what = format!("{} step {step}", golden.name);
            means.add(&what, gap(&taken.mean, &at("output.mean", step)));
            samples.add(&what, gap(&taken.sample, &at("output.prev_sample", step)));
        }
    }
    means.finish("mean");
    samples.finish("sample");
}

/// Training mixes steps of many trajectories in one batch.
#[test]
fn one_batch_can_mix_different_steps() {
    let mut gaps = Gaps::within(STATES);
    for golden in Golden::all("scheduler", "dd") {
        let transitions = transitions(&golden);
        let steps: Vec<usize> = (0..transitions.timesteps().len()).rev().collect();
        let order: Vec<i64> = steps.iter().map(|&step| step as i64).collect();
        let rows = |name: &str| {
            golden.tensor(name).select(1, 0).index_select(0, &Tensor::from_slice(&order))
        };
        let (state, output) = (rows("input.sample"), rows("input.model_output"));
        let taken = transitions.step(&state, &output, &steps, &rows("input.noise"));
        gaps.add(&golden.name, gap(&taken.sample, &rows("output.prev_sample")));
        let timesteps = rows_of_timesteps(&golden, &order);
        assert_eq!(Vec::<i64>::try_from(transitions.timestep_tensor(&steps)).unwrap(), timesteps);
    }
    gaps.finish("mixed steps");
}

fn rows_of_timesteps(golden: &Golden, order: &[i64]) -> Vec<i64> {
    let picked = golden.tensor("timesteps").index_select(0, &Tensor::from_slice(order));
    Vec::try_from(picked.to_kind(Kind::Int64)).unwrap()
}

/// diffusers clamps a zero variance to 1e-20, far below the resolution of an f32 state.
#[test]
fn random_steps_exclude_steps_with_clamped_variance() {
    for golden in Golden::all("scheduler", "dd") {
        let sigmas = Vec::<f32>::try_from(golden.tensor("output.sigma")).unwrap();
        let indices = sigmas.iter().enumerate().filter(|(_, sigma)| **sigma > 1e-9);
        let expected: Vec<usize> = indices.map(|(index, _)| index).collect();
        assert_eq!(transitions(&golden).random_steps(), expected, "{}", golden.name);
    }
}

/// The gradient of `thresholding` includes that of the quantile, as autograd has it in diffusers.
#[test]
fn thresholding_has_the_gradient_of_diffusers() {
    let mut gaps = Gaps::within(STATES);
    let goldens = Golden::all("scheduler", "dd");
    let with = goldens.iter().filter(|golden| config(golden).thresholding);
    let mut compared = 0;
    for golden in with {
        let transitions = transitions(golden);
        for step in 0..transitions.timesteps().len() {
            let at = |name: &str| golden.tensor(name).get(step as i64);
            let output = at("input.model_output").set_requires_grad(true);
            let rows = vec![step; output.size()[0] as usize];
            let (mean, _) = transitions.mean_and_sigma(&at("input.sample"), &output, &rows);
            (mean * at("input.noise")).sum(Kind::Float).backward();
            let what = format!("{} step {step}", golden.name);
            let expected = at("output.gradient");
            let scale = expected.abs().max().double_value(&[]).max(1.0);
            gaps.add(&what, gap(&output.grad(), &expected) / scale);
        }
        compared += 1;
    }
    assert_eq!(compared, 3);
    gaps.finish("gradients");
}
