//! Samples and scores in this process: the sampler denoises one batch while the reward model scores
//! the previous one. A bounded channel connects the two.

use crate::interrupt;
use crate::train::batch_board::BatchBoard;
use anyhow::{Context, Error, Result};
use ddpo_diffusion::flops;
use ddpo_diffusion::host_weights::HostWeights;
use ddpo_inspector::board::Board;
use ddpo_rewards::{Image, RewardError, Rewards};
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::reward::{RewardSource, Task};
use ddpo_rollout::score::{Score, ScoredTrajectory};
use ddpo_rollout::trajectory::{SampleCoordinates, StateShape, Trajectory};
use ddpo_run::error::RolloutsError;
use ddpo_run::open::OpenRun;
use ddpo_run::plan::Plan;
use ddpo_run::progress::Progress as RunProgress;
use ddpo_run::rollouts::{OnInterrupt, Request, Rollout, Rollouts, Weights};
use ddpo_sampler::engine::{Progress, Provenance, Sampler};
use ddpo_service::device::{DeviceFailure, DeviceWork};
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

/// The sampling of a batch, as messages about device failures name it.
const SAMPLING: DeviceWork = DeviceWork {
    name: "sampling",
    less_memory: "free memory on the device and resume, or start a new run with a smaller \
                  sample_batch_size or dtype = \"bf16\"",
};

/// The scoring of a batch, as messages about device failures name it.
const SCORING: DeviceWork = DeviceWork {
    name: "scoring",
    less_memory: "free memory on the device and resume, or start a new run with a smaller \
                  sample_batch_size or reward_dtype = \"bf16\"",
};

/// Batches that may wait for the reward model.
const WAITING: usize = 2;

/// A sampler and a reward model that alternate with the learner.
pub struct InProcess {
    sampler: Sampler,
    rewards: Rewards,
    /// Whether the reward is the JPEG's compressibility, whose highest value is that of a flat grey
    /// image.
    has_floor: bool,
    shape: StateShape,
    sample_batch: usize,
    /// The board of the live page, if it is served.
    board: Option<Board>,
}

impl InProcess {
    /// Creates the engines for `run`.
    pub fn new(plan: &Plan, rewards: Rewards, run: &OpenRun<'_>) -> Result<Self> {
        let steps = plan.settings.num_inference_steps;
        let transitions = plan.transitions(&run.model().scheduler, steps)?.on(run.device());
        let shape = run.model().shape;
        let layout = run.learner().policy().network().parameters().layout();
        let lanes = layout.lanes(run.threads());
        let sampler = Sampler::new(transitions, shape, plan.settings.state_dtype)
            .with_chain(plan.settings.window, plan.learner.objective.contract().states)
            .with_classes(run.model().classes(plan.settings.class_labels.as_ref())?);
        Ok(Self {
            sampler: sampler.with_lanes(lanes),
            rewards,
            has_floor: plan.rewards.reward.plain().and_then(RewardSource::task)
                == Some(Task::JpegCompressibility),
            shape,
            sample_batch: plan.sample_batch,
            board: None,
        })
    }

    /// Shows trajectories on `board`, if given.
    #[must_use]
    pub fn shown_on(self, board: Option<Board>) -> Self {
        Self { board, ..self }
    }

    fn draw(
        &mut self,
        request: &Request<'_>,
        progress: &dyn RunProgress,
    ) -> Result<Option<Rollout>> {
        let _finishing =
            (request.on_interrupt == OnInterrupt::Finish).then(interrupt::Finishing::begin);
        let samples: Vec<SampleCoordinates> = request.coordinates().collect();
        let provenance = Provenance {
            policy_version: request.weights.id.version,
            weights_digest: request.weights.digest,
        };
        let (sampler, unet) = (&self.sampler, request.weights.unet);
        let batch_board = BatchBoard { board: self.board.as_ref() };
        let mut scorer = Scorer {
            batch_board,
            rewards: &mut self.rewards,
            purpose: request.purpose,
            shape: self.shape,
        };
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(WAITING);
            let scoring = scope.spawn(move || SCORING.run(|| scorer.score_all(&receiver)));
            let mut seconds_sampling = 0.0;
            let operations = flops::counted();
            let (mut done, total) = (0, samples.len());
            for samples in samples.chunks(self.sample_batch) {
                if request.on_interrupt == OnInterrupt::Abandon && interrupt::requested() {
                    return Ok(None);
                }
                let start = Instant::now();
                let header = |one: &_| sampler.header(*one, request.purpose, provenance);
                let names = batch_board.open(samples.iter().map(header));
                let observe = |progress: Progress<'_>| batch_board.states(&names, &progress);
                done += samples.len();
                let trajectories = SAMPLING.run(|| {
                    let drawn =
                        sampler.generate(unet, samples, request.purpose, provenance, &observe)?;
                    progress.at(request.stage, done, total);
                    Ok::<_, Error>(drawn)
                })?;
                seconds_sampling += start.elapsed().as_secs_f64();
                if sender.send(trajectories).is_err() {
                    break;
                }
            }
            drop(sender);
            let scored = scoring.join().unwrap_or_else(|cause| resume_unwind(cause));
            let (scored, seconds_scoring) = match scored {
                Err(error) if is_given_up(&error, request) => return Ok(None),
                Err(error) if DeviceFailure::of(error.as_ref()).is_some() => return Err(error),
                scored => scored.context("scoring")?,
            };
            let operations = Some(flops::counted() - operations);
            Ok(Some(Rollout { scored, seconds_sampling, seconds_scoring, operations }))
        })
    }
}

/// Returns whether waiting for a reward server ended because of an interrupt.
fn is_given_up(error: &anyhow::Error, request: &Request<'_>) -> bool {
    let called_off = error.downcast_ref().is_some_and(RewardError::is_called_off);
    called_off && request.on_interrupt == OnInterrupt::Abandon
}

impl Rollouts for InProcess {
    /// The learner's own network is drawn with; nothing has to go anywhere.
    fn publish(
        &mut self,
        _weights: &Weights<'_>,
        _host: &HostWeights,
    ) -> Result<(), RolloutsError> {
        Ok(())
    }

    fn rollout(
        &mut self,
        request: &Request<'_>,
        progress: &dyn RunProgress,
    ) -> Result<Option<Rollout>, RolloutsError> {
        // Boxed explicitly, because `From` would lose the type.
        self.draw(request, progress)
            .map_err(Error::reallocate_into_boxed_dyn_error_without_backtrace)
    }

    /// Returns the compressibility of a flat grey image, the highest possible reward.
    fn flat_reward(&mut self, shape: StateShape) -> Option<f64> {
        if !self.has_floor {
            return None;
        }
        let (width, height) = (shape.width, shape.height);
        let grey = RgbImage::new(width, height, vec![128; width * height * 3]).ok()?;
        let scores = self.rewards.score(&[Image::Levels(grey)], Purpose::Rollout).ok()?;
        scores.first().map(|score| f64::from(score.reward))
    }
}

/// The receiving end of the channel, with the reward models.
struct Scorer<'a> {
    batch_board: BatchBoard<'a>,
    rewards: &'a mut Rewards,
    purpose: Purpose,
    shape: StateShape,
}

impl Scorer<'_> {
    fn score_all(
        &mut self,
        receiver: &Receiver<Vec<Trajectory>>,
    ) -> Result<(Vec<ScoredTrajectory>, f64)> {
        let mut scored = Vec::new();
        let mut seconds = 0.0;
        for trajectories in receiver {
            let start = Instant::now();
            let scores = self.score(&trajectories)?;
            self.batch_board.scored(&trajectories, &scores);
            let pairs = trajectories.into_iter().zip(scores);
            scored.extend(pairs.map(|(trajectory, score)| ScoredTrajectory { trajectory, score }));
            seconds += start.elapsed().as_secs_f64();
        }
        Ok((scored, seconds))
    }

    fn score(&mut self, trajectories: &[Trajectory]) -> Result<Vec<Score>> {
        let sides = (self.shape.channels, self.shape.height, self.shape.width);
        let maps = self.rewards.pixel_maps();
        let images: Vec<Image> = trajectories
            .iter()
            .map(|trajectory| Image::of_state(&trajectory.final_state(), sides, maps))
            .collect::<Result<_, _>>()?;
        let scored = self.rewards.score(&images, self.purpose);
        scored.map_err(|error| match error.device_failure(SCORING) {
            Some(failure) => failure.into(),
            None => error.into(),
        })
    }
}
