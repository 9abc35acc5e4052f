//! Sampling and scoring of an epoch: the sampler denoises one batch while the reward model scores
//! the one before. The two meet in a bounded channel.

use crate::interrupt;
use crate::plan::Plan;
use crate::sample::image;
use crate::train::progress::Progress;
use anyhow::{Context, Result, anyhow};
use ddpo_diffusion::unet::UNet;
use ddpo_rewarder::{RewardModel, check};
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::score::{Score, ScoredTrajectory};
use ddpo_rollout::trajectory::{SampleCoordinates, StateShape, Trajectory};
use ddpo_sampler::engine::{Provenance, Sampler};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

/// Batches that may wait for the reward model.
const WAITING: usize = 2;

/// Which samples to draw, and with what.
pub struct Order<'a> {
    /// The weights.
    pub unet: &'a UNet,
    /// Their version and digest.
    pub provenance: Provenance,
    /// What the noise is for.
    pub purpose: Purpose,
    /// The samples.
    pub samples: Vec<SampleCoordinates>,
    /// Word for the progress line.
    pub stage: &'static str,
    /// What becomes of it when somebody asks to stop.
    pub on_interrupt: OnInterrupt,
}

/// What becomes of an order when somebody asks to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInterrupt {
    /// It is given up: a resumed run draws it again, to the same bits.
    Abandon,
    /// It is finished: the update before it is not saved yet, and would be lost.
    Finish,
}

/// Scored trajectories in the order of the samples, and the stages' wall times.
pub struct Rollout {
    /// The trajectories with their scores.
    pub scored: Vec<ScoredTrajectory>,
    /// Seconds of denoising.
    pub seconds_sampling: f64,
    /// Seconds of scoring.
    pub seconds_scoring: f64,
}

/// Draws and scores all of the order's samples; `None` if somebody asked to stop meanwhile.
pub fn run(
    plan: &Plan,
    sampler: &Sampler,
    reward: &mut dyn RewardModel,
    shape: StateShape,
    order: &Order<'_>,
    progress: &Progress,
) -> Result<Option<Rollout>> {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(WAITING);
        let scoring = scope.spawn(move || score_all(plan, reward, shape, &receiver));
        let mut seconds_sampling = 0.0;
        let (mut done, total) = (0, order.samples.len());
        for samples in order.samples.chunks(plan.sample_batch) {
            if order.on_interrupt == OnInterrupt::Abandon && interrupt::requested() {
                return Ok(None);
            }
            let start = Instant::now();
            let trajectories =
                sampler.generate(order.unet, samples, order.purpose, order.provenance, &|_| {})?;
            seconds_sampling += start.elapsed().as_secs_f64();
            done += samples.len();
            progress.at(order.stage, done, total);
            if sender.send(trajectories).is_err() {
                break;
            }
        }
        drop(sender);
        let scored = scoring.join().map_err(|_| anyhow!("the reward model stopped"))?;
        let (scored, seconds_scoring) = scored.context("scoring")?;
        Ok(Some(Rollout { scored, seconds_sampling, seconds_scoring }))
    })
}

fn score_all(
    plan: &Plan,
    reward: &mut dyn RewardModel,
    shape: StateShape,
    receiver: &Receiver<Vec<Trajectory>>,
) -> Result<(Vec<ScoredTrajectory>, f64)> {
    let mut scored = Vec::new();
    let mut seconds = 0.0;
    for trajectories in receiver {
        let start = Instant::now();
        let scores = score(plan, reward, shape, &trajectories)?;
        let pairs = trajectories.into_iter().zip(scores);
        scored.extend(pairs.map(|(trajectory, score)| ScoredTrajectory { trajectory, score }));
        seconds += start.elapsed().as_secs_f64();
    }
    Ok((scored, seconds))
}

fn score(
    plan: &Plan,
    reward: &mut dyn RewardModel,
    shape: StateShape,
    trajectories: &[Trajectory],
) -> Result<Vec<Score>> {
    let images: Vec<RgbImage> = trajectories
        .iter()
        .map(|trajectory| image(trajectory, shape, plan.pixel_map))
        .collect::<Result<_>>()?;
    let scores = reward.score(&images)?;
    check(&images, &scores)?;
    Ok(scores)
}
