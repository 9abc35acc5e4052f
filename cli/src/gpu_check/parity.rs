//! Compares the device with the CPU in f32: forward pass, log-probabilities, update. Also checks
//! that the device's ratios are 1 before the first update.

use super::findings::Check;
use anyhow::{Context, Result};
use ddpo_algorithm::adamw::AdamWConfig;
use ddpo_algorithm::config::{LearnerConfig, OldLogProbs};
use ddpo_algorithm::learner::{Learner, Model as Trained};
use ddpo_algorithm::report::UpdateReport;
use ddpo_algorithm::schedule::LearningRate;
use ddpo_diffusion::device;
use ddpo_diffusion::scheduler::{SchedulerKind, Transitions};
use ddpo_kernels::runtime;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::numerics::{MatmulPrecision, Numerics};
use ddpo_rollout::score::{Score, ScoredTrajectory};
use ddpo_rollout::trajectory::{
    Digest, PolicyVersion, SampleCoordinates, StateDtype, Trajectory, decode,
};
use ddpo_run::embedded;
use ddpo_run::model::Model;
use ddpo_sampler::engine::{Provenance, Sampler};
use tch::{Device, Kind, Tensor};

const SAMPLES: u32 = 4;
const STEPS: usize = 8;

/// An arithmetic and its tolerances against f32 on the CPU: outputs relative to their size,
/// log-probabilities in nats per dimension, the cosine of the gradients.
struct Case {
    name: &'static str,
    kind: Kind,
    precision: MatmulPrecision,
    output: f64,
    log_prob: f64,
    cosine: f64,
}

const CASES: [Case; 4] = [
    Case {
        name: "f32, highest",
        kind: Kind::Float,
        precision: MatmulPrecision::Highest,
        output: 1e-3,
        log_prob: 1e-3,
        cosine: 0.999,
    },
    Case {
        name: "f32, high",
        kind: Kind::Float,
        precision: MatmulPrecision::High,
        output: 2e-2,
        log_prob: 5e-2,
        cosine: 0.99,
    },
    Case {
        name: "f32, medium",
        kind: Kind::Float,
        precision: MatmulPrecision::Medium,
        output: 5e-2,
        log_prob: 1e-1,
        cosine: 0.97,
    },
    Case {
        name: "bf16",
        kind: Kind::BFloat16,
        precision: MatmulPrecision::Highest,
        output: 1e-1,
        log_prob: 2e-1,
        cosine: 0.95,
    },
];

pub fn checks(device: Device) -> Result<Vec<Check>> {
    let model = Model::open(embedded::NAME, &mut |_| {})?;
    device::set_numerics(Numerics::default())?;
    let trajectories = draw(&model, Kind::Float, Device::Cpu, SAMPLES as usize)?;
    let expected = forward(&model, Kind::Float, Device::Cpu, &trajectories)?;
    let reference = update(&model, Kind::Float, Device::Cpu, &trajectories, SAMPLES as usize)?;
    let mut checks = Vec::new();
    for case in CASES {
        let numerics = Numerics { matmul_precision: case.precision, ..Numerics::default() };
        device::set_numerics(numerics)?;
        let found = forward(&model, case.kind, device, &trajectories)?;
        let size = expected.abs().max().double_value(&[]);
        let output = (found - &expected).abs().max().double_value(&[]) / size;
        let updated = update(&model, case.kind, device, &trajectories, SAMPLES as usize)?;
        let log_prob = updated.report.ratio_gap_max.ln_1p();
        let cosine = cosine(&reference.change, &updated.change);
        let passed = output <= case.output && log_prob <= case.log_prob && cosine >= case.cosine;
        let limits = format!(
            "output gap at most {}, log-probability gap at most {} nats per dimension, update's cosine at \
             least {}",
            case.output, case.log_prob, case.cosine
        );
        let figures =
            [("output_gap", output), ("log_prob_gap", log_prob), ("update_cosine", cosine)];
        let name = format!("parity with the CPU in f32: {}", case.name);
        checks.push(Check::new(&name, passed, &limits, &figures));
        for micro_batch in [SAMPLES as usize, 3] {
            checks.push(initial_ratio(&model, &case, device, micro_batch)?);
        }
    }
    device::set_numerics(Numerics::default())?;
    Ok(checks)
}

/// Samples and trains on the device with the same weights, and returns the distance of the ratios
/// from 1, by step. If the micro-batch has another shape than the sampler's batch, kernels may
/// differ in the last bits.
fn initial_ratio(model: &Model, case: &Case, device: Device, micro_batch: usize) -> Result<Check> {
    let drawn = draw(model, case.kind, device, SAMPLES as usize)?;
    let report = update(model, case.kind, device, &drawn, micro_batch)?.report;
    let tolerance = LearnerConfig::default().ratio_tolerance;
    let passed = report.ratio_gap_max <= tolerance;
    let steps = report.ratio_gap_by_step.iter().enumerate();
    let steps: Vec<(String, f64)> =
        steps.map(|(step, gap)| (format!("step_{step}"), *gap)).collect();
    let mut figures: Vec<(&str, f64)> =
        steps.iter().map(|(name, gap)| (name.as_str(), *gap)).collect();
    figures.push(("largest", report.ratio_gap_max));
    let same_shape = micro_batch == SAMPLES as usize;
    let shape = if same_shape { "the same batch" } else { "another batch" };
    let name = format!("ratio before the first update: {}, {shape}", case.name);
    Ok(Check::new(&name, passed, &format!("|ratio - 1| at most {tolerance:e}"), &figures))
}

fn transitions(model: &Model, device: Device) -> Result<Transitions> {
    Ok(Transitions::new(SchedulerKind::Ddim, &model.scheduler, STEPS, 1.0)?.on(device))
}

fn draw(model: &Model, kind: Kind, device: Device, count: usize) -> Result<Vec<Trajectory>> {
    let unet = model.load(kind, device)?;
    let sampler = Sampler::new(transitions(model, device)?, model.shape, StateDtype::F32)
        .with_classes(model.classes(None)?);
    let of = |sample| SampleCoordinates { run_seed: 0, epoch: 0, sample };
    let samples: Vec<SampleCoordinates> = (0..count as u32).map(of).collect();
    let provenance =
        Provenance { policy_version: PolicyVersion::default(), weights_digest: Digest::of(b"") };
    Ok(sampler.generate(&unet, &samples, Purpose::Rollout, provenance, &|_| {})?)
}

/// Returns the network's output on the states in the middle of the chain, f32 on the CPU.
fn forward(
    model: &Model,
    kind: Kind,
    device: Device,
    trajectories: &[Trajectory],
) -> Result<Tensor> {
    let unet = model.load(kind, device)?;
    let shape = model.shape;
    let size = [shape.channels, shape.height, shape.width].map(|side| side as i64);
    let states: Vec<Tensor> = trajectories
        .iter()
        .map(|one| {
            Tensor::from_slice(&decode(&one.states()[STEPS / 2], one.header().dtype)).view(size)
        })
        .collect();
    let states = Tensor::stack(&states, 0).to_device(device);
    let steps = vec![STEPS / 2; trajectories.len()];
    let timesteps = transitions(model, device)?.timestep_tensor(&steps);
    let labels = unet.config().first_class(trajectories.len() as i64, device);
    let output = tch::no_grad(|| unet.forward(&states, &timesteps, labels.as_ref()));
    Ok(output.to_device(Device::Cpu))
}

struct Updated {
    report: UpdateReport,
    /// The change of all weights as one vector, f64 on the CPU.
    change: Tensor,
}

/// Takes one optimizer step whose change of the weights is proportional to the gradient.
fn update(
    model: &Model,
    kind: Kind,
    device: Device,
    trajectories: &[Trajectory],
    micro_batch: usize,
) -> Result<Updated> {
    const EPS: f64 = 1e3;
    let scored = trajectories.iter().enumerate().map(|(index, trajectory)| ScoredTrajectory {
        trajectory: trajectory.clone(),
        score: Score::plain((index % 3) as f32),
    });
    let optimizer = AdamWConfig { eps: EPS, weight_decay: 0.0, ..AdamWConfig::default() };
    // A run's settings choose the same where drawn and trained batches differ in shape.
    let is_exact = kind == Kind::Float && runtime::switches()?.matmul_precision == "highest";
    let other_shape = micro_batch != trajectories.len();
    let old_log_probs =
        if other_shape && !is_exact { OldLogProbs::Learner } else { OldLogProbs::Sampler };
    let config = LearnerConfig {
        old_log_probs,
        batch_size: trajectories.len(),
        micro_batch_size: micro_batch,
        ratio_tolerance: f64::MAX,
        // Wide enough to clip nothing: a clipped pair has no gradient.
        clip_ratio: 0.5,
        optimizer,
        ..LearnerConfig::default()
    };
    let rate = LearningRate { initial_lr: EPS, peak_lr: EPS, warmup_pct: 0.0, total_steps: 1 };
    let unet = model.load(Kind::Float, device)?;
    let before = flat(&unet);
    let (scheduler, classes) = (&model.scheduler, model.classes(None)?);
    let trained = Trained { unet, kind, scheduler, reference: None, classes };
    let mut learner = Learner::new(config, rate, transitions(model, device)?, trained)?;
    let scored: Vec<ScoredTrajectory> = scored.collect();
    let report = learner.update(&scored, &mut |_, _| {}).context("the update")?;
    let change = flat_of(learner.policy().master().parameters().entries()) - before;
    Ok(Updated { report, change })
}

fn flat(unet: &ddpo_diffusion::unet::UNet) -> Tensor {
    flat_of(unet.parameters().entries())
}

fn flat_of(entries: &[(String, Tensor)]) -> Tensor {
    let parts: Vec<Tensor> = entries
        .iter()
        .map(|(_, tensor)| {
            tensor.detach().to_device(Device::Cpu).to_kind(Kind::Double).reshape([-1])
        })
        .collect();
    Tensor::cat(&parts, 0)
}

fn cosine(one: &Tensor, other: &Tensor) -> f64 {
    let product = one.dot(other).double_value(&[]);
    product / (one.norm().double_value(&[]) * other.norm().double_value(&[]))
}
