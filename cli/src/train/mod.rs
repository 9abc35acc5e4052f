//! One run of DDPO in one process: the sampler, the reward model and the learner, epoch by epoch.

mod evaluation;
mod leftovers;
pub mod metrics;
mod pictures;
mod progress;
mod rollout;
pub mod run_folder;
mod summary;

use crate::device;
use crate::interrupt;
use crate::model::Model;
use crate::plan::Plan;
use crate::settings::Settings;
use anyhow::{Context, Result, bail};
use ddpo_learner::batch_file;
use ddpo_learner::checkpoint::{self, RunState};
use ddpo_learner::learner::Learner;
use ddpo_rewarder::{RewardModel, reward_for};
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{SampleCoordinates, StateShape};
use ddpo_sampler::engine::{Provenance, Sampler};
use evaluation::Evaluations;
use metrics::{EpochMetrics, MetricsFile, RewardSummary, Seconds, peak_memory_bytes};
use progress::Progress;
use rollout::{OnInterrupt, Order, Rollout};
use run_folder::RunFolder;
use std::path::Path;
use std::time::Instant;
use tch::{Device, Kind};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done, or the divergence's budget is used up.
    Finished,
    /// Somebody asked to stop.
    Interrupted,
}

/// The engines and what they share.
struct Run<'a> {
    plan: &'a Plan,
    folder: &'a RunFolder,
    model: Model,
    sampler: Sampler,
    reward: Box<dyn RewardModel>,
    learner: Learner,
    evaluations: Evaluations,
    metrics: MetricsFile,
    progress: Progress,
    best_reward: Option<f64>,
    epoch: u32,
    saved: Option<u32>,
}

/// Trains from the last checkpoint in `folder`, or from the pretrained model, to the end.
pub fn run(plan: &Plan, folder: &RunFolder) -> Result<Outcome> {
    let mut run = Run::start(plan, folder)?;
    // Only now: a model that cannot be loaded leaves no folder behind.
    folder.begin(&plan.settings)?;
    run.finish_best()?;
    run.progress.say(&summary::opening(plan, folder, run.epoch));
    let outcome = run.epochs()?;
    run.progress.finish();
    let closing = match outcome {
        Outcome::Finished => {
            summary::closing(plan, folder, run.shape(), &run.evaluations, run.epoch)
        }
        Outcome::Interrupted => summary::interrupted(folder, run.epoch),
    };
    run.progress.say(&closing);
    Ok(outcome)
}

impl<'a> Run<'a> {
    fn start(plan: &'a Plan, folder: &'a RunFolder) -> Result<Self> {
        let device = device::parse(&plan.settings.device)?;
        let threads = device::set_threads(plan.settings.threads)?;
        let model = Model::open(&plan.settings.ddpm_ckpt)?;
        let steps = plan.settings.num_inference_steps;
        let transitions =
            || Ok::<_, anyhow::Error>(plan.transitions(&model.scheduler, steps)?.on(device));
        let sampler = Sampler::new(transitions()?, model.shape, plan.settings.state_dtype);
        let learner = new_learner(plan, &model, device)?;
        let lanes = Sampler::lanes_for(learner.policy().network(), threads);
        let sampler = sampler.with_lanes(lanes);
        let mut learner = learner.with_lanes(lanes);
        let resumed = folder.last_checkpoint()?;
        let mut best_reward = plan.settings.manual_best_reward;
        let mut epoch = 0;
        if let Some((number, path)) = &resumed {
            let state = checkpoint::load(path, &mut learner)?;
            if state.epoch != *number {
                bail!("{}: holds epoch {}, not {number}", path.display(), state.epoch);
            }
            (epoch, best_reward) = (state.epoch, state.best_reward.or(best_reward));
        } else if let Some(path) = &plan.settings.resume_from_ckpt {
            best_reward = best_reward.or(start_from(Path::new(path), &mut learner)?);
        }
        Ok(Self {
            plan,
            folder,
            sampler,
            reward: reward_for(plan.task, threads)?,
            learner,
            evaluations: Evaluations::open(folder, epoch)?,
            metrics: MetricsFile::open(&folder.metrics(), epoch)?,
            progress: Progress::new(),
            best_reward,
            epoch,
            saved: resumed.map(|(epoch, _)| epoch),
            model,
        })
    }

    fn epochs(&mut self) -> Result<Outcome> {
        if self.plan.settings.eval_every_each_epoch.is_some() && self.epoch == 0 {
            // Before the first update, to compare with. It does not count as the best.
            if self.evaluate()?.is_none() {
                return self.stop();
            }
        }
        while self.epoch < self.plan.settings.num_epochs && !self.kl_budget_used() {
            if interrupt::requested() || !self.one_epoch()? {
                return self.stop();
            }
        }
        if self.saved != Some(self.epoch) {
            self.save()?;
        }
        Ok(Outcome::Finished)
    }

    /// Samples, scores, updates, evaluates, saves; false if asked to stop while sampling.
    fn one_epoch(&mut self) -> Result<bool> {
        let start = Instant::now();
        let Some(rollout) = self.sample()? else { return Ok(false) };
        let training = Instant::now();
        let report = {
            let progress = &self.progress;
            self.learner.update(&rollout.scored, &mut |done, total| {
                progress.at("training", done as usize, total as usize);
            })?
        };
        let seconds = Seconds {
            seconds_sampling: rollout.seconds_sampling,
            seconds_scoring: rollout.seconds_scoring,
            seconds_training: training.elapsed().as_secs_f64(),
            samples_per_second: rollout.scored.len() as f64 / start.elapsed().as_secs_f64(),
        };
        self.epoch += 1;
        self.write_samples(&rollout.scored)?;
        let eval = self.evaluation_due().then(|| self.evaluate()).transpose()?.flatten();
        let improved = eval.is_some_and(|mean| self.best_reward.is_none_or(|best| mean > best));
        if improved {
            self.best_reward = eval;
        }
        let rewards: Vec<f32> = rollout.scored.iter().map(|one| one.score.reward).collect();
        let metrics = EpochMetrics {
            epoch: self.epoch,
            policy_version: self.learner.version().0,
            rewards: RewardSummary::of(&rewards),
            update: report,
            eval_reward_mean: eval,
            seconds,
            peak_memory_bytes: peak_memory_bytes(),
        };
        self.metrics.push(&metrics)?;
        self.progress.say(&summary::epoch_line(&metrics, self.plan.settings.num_epochs));
        let last = self.epoch == self.plan.settings.num_epochs;
        if last || improved || self.epoch.is_multiple_of(self.plan.settings.checkpoint_every) {
            self.save()?;
        }
        if improved {
            self.folder.mark_best(self.epoch)?;
        }
        Ok(true)
    }

    fn sample(&mut self) -> Result<Option<Rollout>> {
        let sample = |sample| SampleCoordinates {
            run_seed: self.plan.settings.run_seed,
            epoch: self.epoch,
            sample,
        };
        let order = Order {
            unet: self.learner.policy().network(),
            provenance: Provenance {
                policy_version: self.learner.version(),
                weights_digest: self.learner.policy().master().parameters().digest(),
            },
            purpose: Purpose::Rollout,
            samples: (0..self.plan.settings.num_samples_per_epoch as u32).map(sample).collect(),
            stage: "sampling",
            on_interrupt: OnInterrupt::Abandon,
        };
        let (sampler, shape) = (&self.sampler, self.shape());
        rollout::run(self.plan, sampler, self.reward.as_mut(), shape, &order, &self.progress)
    }

    fn evaluate(&mut self) -> Result<Option<f64>> {
        let averaged = evaluation::averaged(&self.learner);
        let unet = averaged.as_ref().unwrap_or(self.learner.policy().network());
        let order = evaluation::order(self.plan, unet, self.learner.version());
        let (sampler, shape) = (&self.sampler, self.model.shape);
        let reward = self.reward.as_mut();
        let drawn = rollout::run(self.plan, sampler, reward, shape, &order, &self.progress)?;
        let Some(drawn) = drawn else { return Ok(None) };
        self.evaluations.push(self.plan, self.folder, shape, self.epoch, &drawn.scored).map(Some)
    }

    fn evaluation_due(&self) -> bool {
        self.plan.settings.eval_every_each_epoch.is_some_and(|every| {
            self.epoch.is_multiple_of(every) || self.epoch == self.plan.settings.num_epochs
        })
    }

    fn write_samples(&self, scored: &[ScoredTrajectory]) -> Result<()> {
        let title = format!("samples of epoch {}", self.epoch);
        pictures::write(&self.folder.samples(self.epoch), self.plan, self.shape(), scored, &title)?;
        if self.plan.settings.record_batches {
            let trajectories: Vec<_> = scored.iter().map(|one| &one.trajectory).collect();
            let rewards: Vec<f32> = scored.iter().map(|one| one.score.reward).collect();
            let path = self.folder.batch(self.epoch)?;
            batch_file::write(&path, &trajectories, self.sampler.transitions(), Some(&rewards))?;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        let samples = self.plan.settings.num_samples_per_epoch;
        // Where a run lies has no part in what it is.
        let settings = Settings { output_dir: ".".into(), ..self.plan.settings.clone() };
        let settings = serde_json::to_value(&settings)?;
        let state = RunState {
            best_reward: self.best_reward,
            ..RunState::of(&self.learner, self.epoch, samples, settings)
        };
        let path = self.folder.checkpoint(self.epoch);
        checkpoint::save(&path, &self.learner, self.model.scheduler_text(), &state)?;
        self.saved = Some(self.epoch);
        Ok(())
    }

    /// Marks the last checkpoint as the best where the process that wrote it was killed before.
    fn finish_best(&self) -> Result<()> {
        let (Some(best), Some(epoch)) = (self.best_reward, self.saved) else { return Ok(()) };
        let is_best = self.evaluations.mean_after(epoch) == Some(best);
        if is_best && self.folder.best_reward()? != Some(best) {
            self.folder.mark_best(epoch)?;
        }
        Ok(())
    }

    /// Nothing of the running epoch is kept: it will be sampled again, to the same bits.
    fn stop(&mut self) -> Result<Outcome> {
        if self.epoch > 0 && self.saved != Some(self.epoch) {
            self.save()?;
        }
        Ok(Outcome::Interrupted)
    }

    /// Whether the last epoch, of this process or of the one that is resumed, ended the run.
    fn kl_budget_used(&self) -> bool {
        let last = self.metrics.last().and_then(|line| line.update.kl_to_pretrained_nats);
        let used = match (self.plan.learner.kl_stop, last) {
            (Some(stop), Some(kl)) if kl > stop => Some((stop, kl)),
            _ => None,
        };
        if let Some((stop, kl)) = used {
            self.progress.say(&format!(
                "stopping: the divergence from the pretrained model is {kl:.4} nats a transition, \
                 above kl_stop = {stop}"
            ));
        }
        used.is_some()
    }

    fn shape(&self) -> StateShape {
        self.model.shape
    }
}

fn new_learner(plan: &Plan, model: &Model, device: Device) -> Result<Learner> {
    let steps = plan.settings.num_inference_steps;
    let transitions = plan.transitions(&model.scheduler, steps)?.on(device);
    let rate = plan.learning_rate(plan.settings.num_epochs, plan.settings.num_samples_per_epoch);
    let unet = model.load(Kind::Float, device)?;
    let reference = plan.needs_reference().then(|| model.load(plan.kind(), device)).transpose()?;
    Ok(Learner::new(plan.learner.clone(), rate, transitions, unet, plan.kind(), reference)?)
}

/// Takes weights, optimizer and best reward from a checkpoint of another run; counters start anew.
fn start_from(path: &Path, learner: &mut Learner) -> Result<Option<f64>> {
    if path.extension().is_some_and(|extension| extension == "pth") {
        let hint = "hint: give a checkpoint folder";
        bail!("resume_from_ckpt = {}: a .pth file is not taken yet; {hint}", path.display());
    }
    checkpoint::load_weights(path, learner)
        .with_context(|| format!("resume_from_ckpt = {}", path.display()))
}
