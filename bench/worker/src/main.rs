//! `ddpo-bench-worker`: answers `bench/run.py`, one JSON request a line on standard input and one JSON answer a line on
//! standard output. Times the work itself, so that the start of the process and the loading of weights do not count.

use anyhow::{Context, Result, bail};
use ddpo_algorithm::config::LearnerConfig;
use ddpo_algorithm::learner::{Learner, Model as Trained};
use ddpo_algorithm::schedule::LearningRate;
use ddpo_checkpoint::open_model;
use ddpo_diffusion::device::{open, set_threads};
use ddpo_diffusion::dtype::{Dtype, TorchKind};
use ddpo_diffusion::scheduler::{SchedulerKind, Transitions};
use ddpo_diffusion::unet::UNet;
use ddpo_rewards::vision::preprocess::ImageProcessor;
use ddpo_rewards::vision::preprocess::config::{Family, PreprocessorConfig};
use ddpo_rewards::{RewardModel, RewardRuntime};
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::numerics::Numerics;
use ddpo_rollout::reward::{RewardSettings, Task};
use ddpo_rollout::score::{Score, ScoredTrajectory};
use ddpo_rollout::trajectory::{Digest, PolicyVersion, SampleCoordinates, StateDtype, Trajectory};
use ddpo_run::model::Model;
use ddpo_sampler::engine::{Provenance, Sampler};
use ddpo_service::memory::{keep_freed_memory, peak_bytes};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::time::Instant;
use tch::{Device, Kind};

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
enum Request {
    Load { ckpt: String, dtype: String, threads: usize },
    Sample { num_samples: usize, batch_size: usize, steps: usize },
    Train { num_samples: usize, steps: usize, micro_batch: usize },
    Jpeg { size: usize, count: usize, threads: usize },
    Reward { task: String, model: String, head: Option<String>, dtype: String, threads: usize },
    Score { size: usize, count: usize },
    Preprocess { model: String, family: String, size: usize, count: usize, threads: usize },
}

struct Loaded {
    model: Model,
    kind: Kind,
    device: Device,
    unet: UNet,
    threads: usize,
}

/// Answers requests until standard input ends.
fn main() -> Result<()> {
    keep_freed_memory();
    let (mut loaded, mut reward) = (None, None);
    for line in std::io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line?).context("request")?;
        let answer = match request {
            Request::Load { ckpt, dtype, threads } => {
                loaded = Some(load(&ckpt, &dtype, threads)?);
                json!({ "ok": true })
            }
            Request::Sample { num_samples, batch_size, steps } => {
                let loaded = loaded.as_ref().context("sample: nothing is loaded")?;
                json!({ "seconds": sample(loaded, num_samples, batch_size, steps)?.0 })
            }
            Request::Train { num_samples, steps, micro_batch } => {
                let loaded = loaded.as_ref().context("train: nothing is loaded")?;
                train(loaded, num_samples, steps, micro_batch)?
            }
            Request::Jpeg { size, count, threads } => jpeg(size, count, threads)?,
            Request::Reward { task, model, head, dtype, threads } => {
                let settings = RewardSettings {
                    model: Some(model),
                    aesthetic_head: head,
                    dtype: dtype.parse()?,
                    ..RewardSettings::new(task.parse::<Task>()?)
                };
                let runtime = RewardRuntime {
                    device: open("auto", Numerics::default())?,
                    ..RewardRuntime::on_threads(set_threads(Some(threads))?)
                };
                reward = Some(ddpo_rewards::open(&settings, &runtime, &mut |_| {})?);
                json!({ "ok": true })
            }
            Request::Score { size, count } => {
                let reward = reward.as_mut().context("score: no reward is loaded")?;
                score(reward.as_mut(), &images(size, count)?)?
            }
            Request::Preprocess { model, family, size, count, threads } => {
                preprocess(&model, &family, &images(size, count)?, threads)?
            }
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn load(name: &str, dtype: &str, threads: usize) -> Result<Loaded> {
    let kind = dtype.parse::<Dtype>()?.kind();
    set_threads(Some(threads))?;
    let device = open("auto", Numerics::default())?;
    let model = Model::open(name, &mut |_| {})?;
    let unet = model.load(kind, device)?;
    Ok(Loaded { model, kind, device, unet, threads })
}

fn transitions(loaded: &Loaded, steps: usize) -> Result<Transitions> {
    let scheduler = &loaded.model.scheduler;
    Ok(Transitions::new(SchedulerKind::Ddim, scheduler, steps, 1.0)?.on(loaded.device))
}

fn sample(
    loaded: &Loaded,
    num_samples: usize,
    batch_size: usize,
    steps: usize,
) -> Result<(f64, Vec<Trajectory>)> {
    let sampler = Sampler::new(transitions(loaded, steps)?, loaded.model.shape, StateDtype::F32)
        .with_classes(loaded.model.classes(None)?)
        .with_lanes(loaded.unet.parameters().layout().lanes(loaded.threads));
    let samples: Vec<SampleCoordinates> = (0..num_samples as u32)
        .map(|sample| SampleCoordinates { run_seed: 0, epoch: 0, sample })
        .collect();
    let provenance =
        Provenance { policy_version: PolicyVersion::default(), weights_digest: Digest::of(b"") };
    let start = Instant::now();
    let mut trajectories = Vec::new();
    for chunk in samples.chunks(batch_size.max(1)) {
        let purpose = Purpose::Rollout;
        trajectories.extend(sampler.generate(&loaded.unet, chunk, purpose, provenance, &|_| {})?);
    }
    Ok((start.elapsed().as_secs_f64(), trajectories))
}

fn train(loaded: &Loaded, num_samples: usize, steps: usize, micro_batch: usize) -> Result<Value> {
    let (_, trajectories) = sample(loaded, num_samples, micro_batch, steps)?;
    let batch: Vec<ScoredTrajectory> = trajectories
        .into_iter()
        .enumerate()
        .map(|(index, trajectory)| ScoredTrajectory {
            trajectory,
            score: Score::plain((index % 3) as f32),
        })
        .collect();
    let config = LearnerConfig {
        batch_size: num_samples,
        micro_batch_size: micro_batch,
        clip_advantages: 10.0,
        ratio_tolerance: 1.0,
        ..LearnerConfig::default()
    };
    let rate = LearningRate { initial_lr: 1e-6, peak_lr: 1e-6, warmup_pct: 0.0, total_steps: 1 };
    // Holds one copy of the f32 weights, like a finetuning process.
    let unet = match loaded.kind {
        Kind::Float => loaded.unet.detached(),
        _ => loaded.unet.converted(Kind::Float, loaded.device),
    };
    let steps = transitions(loaded, steps)?;
    let lanes = unet.parameters().layout().lanes(loaded.threads);
    let scheduler = &loaded.model.scheduler;
    let classes = loaded.model.classes(None)?;
    let trained = Trained { unet, kind: loaded.kind, scheduler, reference: None, classes };
    let mut learner = Learner::new(config, rate, steps, trained)?.with_lanes(lanes);
    let start = Instant::now();
    let report = learner.update(&batch, &mut |_, _| {})?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(json!({
        "seconds": seconds, "pairs": report.pairs, "peak_memory_bytes": peak_bytes().unwrap_or(0)
    }))
}

/// Returns slopes with noise from a linear congruential generator, the same as the Python peer's.
fn images(size: usize, count: usize) -> Result<Vec<RgbImage>> {
    let mut state = 0x9E37_79B9_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 27) as u8
    };
    let mut images = Vec::with_capacity(count);
    for index in 0..count {
        let smooth = |p: usize| ((p / 3 % size + p / 3 / size + index) * 255 / (2 * size)) as u8;
        let pixels = (0..size * size * 3).map(|p| smooth(p).saturating_add(noise())).collect();
        images.push(RgbImage::new(size, size, pixels)?);
    }
    Ok(images)
}

fn score(reward: &mut dyn RewardModel, images: &[RgbImage]) -> Result<Value> {
    let start = Instant::now();
    let scores = reward.score(images)?;
    let seconds = start.elapsed().as_secs_f64();
    let rewards: Vec<f32> = scores.iter().map(|score| score.reward).collect();
    Ok(json!({ "seconds": seconds, "rewards": rewards }))
}

fn preprocess(model: &str, family: &str, images: &[RgbImage], threads: usize) -> Result<Value> {
    let family = match family {
        "vit" => Family::Vit,
        "clip" => Family::Clip,
        other => bail!("family = {other}: expected vit or clip"),
    };
    let folder = open_model(model.as_ref())?;
    let processor =
        ImageProcessor::new(PreprocessorConfig::from_json(&folder.preprocessor, family)?);
    let first = images.first().context("preprocess: no images")?;
    let size = processor.size_for(first.width(), first.height());
    let start = Instant::now();
    let values = processor.batch(images, size, threads)?;
    let seconds = start.elapsed().as_secs_f64();
    let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
    Ok(json!({ "seconds": seconds, "mean": sum / values.len().max(1) as f64 }))
}

fn jpeg(size: usize, count: usize, threads: usize) -> Result<Value> {
    let images = images(size, count)?;
    let settings = RewardSettings::new(Task::JpegIncompressibility);
    let runtime = RewardRuntime::on_threads(threads);
    let mut reward = ddpo_rewards::open(&settings, &runtime, &mut |_| {})?;
    let start = Instant::now();
    let scores = reward.score(&images)?;
    let seconds = start.elapsed().as_secs_f64();
    let total: f64 = scores.iter().map(|score| f64::from(score.reward)).sum();
    Ok(json!({ "seconds": seconds, "kilobytes": total }))
}
