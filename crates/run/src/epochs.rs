//! The loop over the epochs of a run.

use crate::average::averaged;
use crate::batch_file::{self, SampleValues};
use crate::error::RunError;
use crate::host::{Host, Outcome};
use crate::logging::{Evaluated, Trained};
use crate::metrics::{EpochMetrics, RewardSummary, Seconds, components};
use crate::open::OpenRun;
use crate::pictures::DrawError;
use crate::plan::Plan;
use crate::rollouts::{OnInterrupt, Request, Rollout, Rollouts, Weights};
use crate::settings::Settings;
use crate::signal::{NoSignal, SampleSpread};
use crate::{evaluation, pictures, summary};
use ddpo_algorithm::error::LearnError;
use ddpo_algorithm::report::UpdateReport;
use ddpo_diffusion::host_weights::HostWeights;
use ddpo_diffusion::unet::UNet;
use ddpo_diffusion::{device, flops};
use ddpo_report::kept::FirstDiversity;
use ddpo_rollout::image::PixelMap;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::{Track, WeightsId};
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::Digest;
use ddpo_service::memory::peak_bytes;
use std::time::Instant;

/// The largest number of redraws in one epoch; another failed check ends the run.
const MOST_REDRAWS: u32 = 3;

/// A run in training.
pub struct Epochs<'a, 'h> {
    run: OpenRun<'a>,
    rollouts: &'h mut dyn Rollouts,
    host: &'h Host<'h>,
    /// Digest of the policy's present weights.
    digest: Digest,
    /// The policy's present weights in host memory, until they are published.
    unpublished: Option<HostWeights>,
    /// The averaged weights that the next evaluation draws with, and their digest.
    average: Option<(UNet, Digest)>,
}

impl<'a, 'h> Epochs<'a, 'h> {
    /// Prepares to continue `run` from its current epoch.
    pub fn new(run: OpenRun<'a>, rollouts: &'h mut dyn Rollouts, host: &'h Host<'h>) -> Self {
        let weights = HostWeights::of(run.learner.policy().network().parameters());
        let digest = weights.digest;
        Self { run, rollouts, host, digest, unpublished: Some(weights), average: None }
    }

    /// Trains to the end of the run, or until it is asked to stop.
    pub fn run(&mut self) -> Result<Outcome, RunError> {
        self.run.logs.begin(self.run.plan, self.run.folder, self.host.progress)?;
        let first = self.run.epoch == 0 && self.settings().eval_every_each_epoch.is_some();
        if !first && !self.goes_on() {
            return self.finish();
        }
        let epoch = self.run.epoch;
        let classes = self.run.model.classes(self.settings().class_labels.as_ref())?;
        let warning = classes.and_then(|classes| summary::class_warning(self.run.plan, &classes));
        warning.iter().for_each(|line| self.host.progress.say(line));
        self.announce(first, epoch..=self.furthest())?;
        // The evaluation before the first update is a baseline and does not count as the best.
        if first {
            let Some(evaluated) = self.evaluate()? else { return self.stop() };
            let progress = self.host.progress;
            self.run.logs.log(self.run.folder, epoch, None, Some(&evaluated), progress)?;
        }
        while self.goes_on() {
            if (self.host.stop)() || !self.one_epoch()? {
                return self.stop();
            }
        }
        self.finish()
    }

    fn finish(&mut self) -> Result<Outcome, RunError> {
        let early = self.run.epoch < self.settings().num_epochs;
        if let Some(reason) = self.guarded().filter(|_| early) {
            let hint = summary::checkpoint_to_use(
                self.run.plan,
                self.run.folder,
                &self.run.metrics.lines(),
            );
            self.host.progress.say(&format!("stopping: {reason}; {hint}"));
        }
        if self.run.saved != Some(self.run.epoch) {
            self.save()?;
        }
        Ok(self.close(Outcome::Finished))
    }

    /// Samples, scores, updates, evaluates and saves. Returns false if asked to stop while sampling.
    fn one_epoch(&mut self) -> Result<bool, RunError> {
        let start = Instant::now();
        let Some(mut rollout) = self.sample()? else { return Ok(false) };
        let (training, counted) = (Instant::now(), flops::counted());
        let Some(update) = self.train(&mut rollout)? else { return Ok(false) };
        let seconds_training = training.elapsed().as_secs_f64();
        let seconds = Seconds {
            seconds_sampling: rollout.seconds_sampling,
            seconds_scoring: rollout.seconds_scoring,
            seconds_training,
            samples_per_second: rollout.scored.len() as f64 / start.elapsed().as_secs_f64(),
            flops_sampling: rollout
                .operations
                .map(|operations| operations as f64 / rollout.seconds_sampling),
            flops_training: Some((flops::counted() - counted) as f64 / seconds_training),
        };
        self.run.epoch += 1;
        let due = self.evaluation_due();
        let weights = HostWeights::of(self.run.learner.policy().network().parameters());
        self.digest = weights.digest;
        self.unpublished = Some(weights);
        let guards = &self.run.plan.guards;
        let goes_on = guards.divergence(self.run.epoch, update.kl_to_pretrained_nats).is_none();
        // An evaluation that may end the run is drawn before more training samples are ordered.
        let waits = due && guards.judges_evaluations();
        let furthest = self.furthest();
        self.announce(due, (furthest..=furthest).filter(|_| goes_on && !waits))?;
        self.write_samples(&rollout.scored)?;
        let eval = due.then(|| self.evaluate()).transpose()?.flatten();
        let metrics = self.metrics(&rollout.scored, update, eval.as_ref(), seconds)?;
        self.tell(&rollout.scored, &metrics, eval.as_ref())?;
        self.save_if_due(metrics.is_best)?;
        if waits && self.goes_on() {
            self.announce(false, furthest..=furthest)?;
        }
        Ok(true)
    }

    /// Draws and scores the epoch's samples.
    fn sample(&mut self) -> Result<Option<Rollout>, RunError> {
        let request = training(self.run.plan, self.run.epoch, policy(&self.run, self.digest));
        draw(self.rollouts, &request, self.host)
    }

    /// Trains on `rollout`. If the ratio check fails and other processes draw the samples, draws all wrong
    /// samples again, at most [`MOST_REDRAWS`] times. Returns `None` if asked to stop during a redraw.
    fn train(&mut self, rollout: &mut Rollout) -> Result<Option<UpdateReport>, RunError> {
        let mut redraws = 0;
        loop {
            self.rollouts.updating();
            let error = match self.update(&rollout.scored) {
                Ok(report) => {
                    self.rollouts.updated();
                    return Ok(Some(report));
                }
                Err(error) => error,
            };
            let found = error.false_sample().filter(|_| self.rollouts.can_draw_again());
            let Some(sample) = found.filter(|_| redraws < MOST_REDRAWS) else {
                return Err(error.into());
            };
            redraws += 1;
            let mut samples = self.run.learner.false_samples(&rollout.scored)?;
            if samples.is_empty() {
                samples.push(sample);
            }
            self.host.progress.say(&format!(
                "drawing {} of {} samples again, redraw {redraws} of {MOST_REDRAWS}: {error}",
                samples.len(),
                rollout.scored.len()
            ));
            let request = training(self.run.plan, self.run.epoch, policy(&self.run, self.digest));
            let drawn = std::mem::take(&mut rollout.scored);
            let progress = self.host.progress;
            let again = self.rollouts.draw_again(&request, drawn, &samples, redraws, progress);
            let Some(scored) = again.map_err(RunError::Rollouts)? else { return Ok(None) };
            rollout.scored = scored;
            request.check(rollout)?;
        }
    }

    fn update(&mut self, scored: &[ScoredTrajectory]) -> Result<UpdateReport, LearnError> {
        let progress = self.host.progress;
        self.run.learner.update(scored, &mut |done, total| {
            progress.at("training", done as usize, total as usize);
        })
    }

    /// Returns the last epoch that may be drawn with the current weights without exceeding
    /// `max_staleness` when it is trained.
    fn furthest(&self) -> u32 {
        self.run.epoch.saturating_add(self.settings().max_staleness)
    }

    /// Publishes the current weights and prefetches the samples that are drawn with them: an
    /// evaluation if `evaluates`, then `epochs` up to the end of the run.
    fn announce(
        &mut self,
        evaluates: bool,
        epochs: impl Iterator<Item = u32>,
    ) -> Result<(), RunError> {
        let plan = self.run.plan;
        if let Some(host) = self.unpublished.take() {
            let weights = policy(&self.run, self.digest);
            self.rollouts.publish(&weights, &host).map_err(RunError::Rollouts)?;
        }
        if evaluates {
            self.average = self.publish_average()?;
            let averaged = self.average.as_ref().map(|one| average(&self.run, one));
            let weights = averaged.unwrap_or(policy(&self.run, self.digest));
            let request = evaluation::request(plan, weights);
            self.rollouts.prefetch(&request).map_err(RunError::Rollouts)?;
        }
        for epoch in epochs.take_while(|epoch| *epoch < plan.settings.num_epochs) {
            let request = training(plan, epoch, policy(&self.run, self.digest));
            self.rollouts.prefetch(&request).map_err(RunError::Rollouts)?;
        }
        Ok(())
    }

    /// Publishes the averaged weights, if the run has them, and returns them with their digest.
    fn publish_average(&mut self) -> Result<Option<(UNet, Digest)>, RunError> {
        let Some(unet) = averaged(&self.run.learner) else { return Ok(None) };
        let host = HostWeights::of(unet.parameters());
        let averaged = (unet, host.digest);
        let weights = average(&self.run, &averaged);
        self.rollouts.publish(&weights, &host).map_err(RunError::Rollouts)?;
        Ok(Some(averaged))
    }

    /// Draws, scores and records the announced evaluation. Returns `None` if asked to stop.
    fn evaluate(&mut self) -> Result<Option<Evaluated>, RunError> {
        let averaged = self.average.take();
        let average = averaged.as_ref().map(|one| average(&self.run, one));
        let weights = average.unwrap_or(policy(&self.run, self.digest));
        let request = evaluation::request(self.run.plan, weights);
        let Some(drawn) = draw(self.rollouts, &request, self.host)? else { return Ok(None) };
        let diversity_kept = self.diversity_kept(&drawn.scored)?;
        let OpenRun { plan, folder, model, epoch, evaluations, .. } = &mut self.run;
        let classes = model.classes(plan.settings.class_labels.as_ref())?;
        let form = (model.shape, classes.as_ref());
        let evaluation = evaluations.push(plan, folder, form, *epoch, &drawn.scored)?;
        Ok(Some(Evaluated { evaluation, rewards: rewards(&drawn.scored), diversity_kept }))
    }

    /// Returns the share of the first evaluation's diversity that an evaluation keeps. Measures the first one
    /// if `scored` is it.
    fn diversity_kept(&mut self, scored: &[ScoredTrajectory]) -> Result<Option<f64>, RunError> {
        let shape = self.run.model.shape;
        let image =
            |one: &ScoredTrajectory| pictures::image(&one.trajectory, shape, PixelMap::Signed);
        let images = || scored.iter().map(image).collect::<Result<Vec<_>, _>>();
        if self.run.epoch == 0 {
            self.run.first_diversity = FirstDiversity::of(&images().map_err(DrawError::from)?);
            return Ok(None);
        }
        let Some(first) = self.run.first_diversity else { return Ok(None) };
        Ok(Some(first.kept_by(&images().map_err(DrawError::from)?)))
    }

    fn evaluation_due(&self) -> bool {
        let settings = self.settings();
        settings.eval_every_each_epoch.is_some_and(|every| {
            self.run.epoch.is_multiple_of(every) || self.run.epoch == settings.num_epochs
        })
    }

    fn write_samples(&self, scored: &[ScoredTrajectory]) -> Result<(), RunError> {
        let OpenRun { plan, folder, model, learner, epoch, .. } = &self.run;
        let title = format!("samples of epoch {epoch}");
        let path = folder.samples(*epoch);
        pictures::write(&path, &plan.rewards.reward.label(), model.shape, scored, &title)?;
        if plan.settings.record_batches {
            let trajectories: Vec<_> = scored.iter().map(|one| &one.trajectory).collect();
            let path = folder.batch(*epoch)?;
            let classes = model.classes(plan.settings.class_labels.as_ref())?;
            let rewards = rewards(scored);
            let values = SampleValues { rewards: Some(&rewards), classes: classes.as_ref() };
            batch_file::write(&path, &trajectories, learner.transitions(), values)?;
        }
        Ok(())
    }

    /// Returns the epoch's line. If its checkpoint is the best one so far, remembers its reward.
    fn metrics(
        &mut self,
        scored: &[ScoredTrajectory],
        update: UpdateReport,
        eval: Option<&Evaluated>,
        seconds: Seconds,
    ) -> Result<EpochMetrics, RunError> {
        let rewards = rewards(scored);
        let spread = SampleSpread::of(scored, self.run.model.shape).map_err(DrawError::from)?;
        let no_signal = NoSignal::of(&rewards, &update, &spread);
        let evaluation = eval.map(|eval| &eval.evaluation);
        let mut metrics = EpochMetrics {
            epoch: self.run.epoch,
            policy_version: self.run.learner.version().0,
            rewards: RewardSummary::of(&rewards),
            components: components(scored),
            update,
            eval_reward_mean: evaluation.map(|eval| eval.rewards.reward_mean),
            eval_components: evaluation.map(|eval| eval.components.clone()).unwrap_or_default(),
            diversity_kept: eval.and_then(|eval| eval.diversity_kept),
            is_best: false,
            spread,
            no_signal,
            seconds,
            peak_memory_bytes: peak_bytes().unwrap_or(0),
            peak_device_memory_bytes: device::peak_memory(self.run.device()),
        };
        metrics.is_best = self.becomes_best(&metrics);
        Ok(metrics)
    }

    /// Returns whether the checkpoint of an epoch is the best one so far, and remembers its reward if it is.
    /// Reports a guard that prevents it.
    fn becomes_best(&mut self, metrics: &EpochMetrics) -> bool {
        let best = self.run.best_reward;
        let is_higher = |mean: &f64| best.is_none_or(|best| *mean > best);
        let Some(mean) = metrics.eval_reward_mean.filter(is_higher) else { return false };
        if let Some(reason) = self.run.plan.guards.refusal(metrics) {
            let epoch = metrics.epoch;
            self.host.progress.say(&format!(
                "the evaluation reward {mean:.4} after epoch {epoch} is the highest, but its checkpoint is not \
                 the best: {reason}"
            ));
            return false;
        }
        self.run.best_reward = Some(mean);
        true
    }

    /// Adds the epoch's line to the metrics and the logs, and shows it.
    fn tell(
        &mut self,
        scored: &[ScoredTrajectory],
        metrics: &EpochMetrics,
        eval: Option<&Evaluated>,
    ) -> Result<(), RunError> {
        let rewards = rewards(scored);
        let previous = self.run.metrics.last();
        let OpenRun { learner, logs, metrics: lines, folder, epoch, .. } = &mut self.run;
        lines.push(metrics)?;
        let trained = Trained { metrics, rewards: &rewards, samples: learner.update_samples() };
        logs.log(folder, *epoch, Some(trained), eval, self.host.progress)?;
        self.host.progress.epoch(metrics);
        self.host.progress.say(&summary::epoch_line(metrics, self.run.plan));
        let warnings = [
            summary::clip_warning(metrics, self.run.plan),
            summary::signal_warning(metrics, previous.as_ref()),
        ];
        warnings.iter().flatten().for_each(|line| self.host.progress.say(line));
        Ok(())
    }

    fn save_if_due(&mut self, improved: bool) -> Result<(), RunError> {
        let epoch = self.run.epoch;
        let settings = self.settings();
        let last = epoch == settings.num_epochs;
        if last || improved || epoch.is_multiple_of(settings.checkpoint_every) {
            self.save()?;
        }
        if improved {
            self.run.folder.mark_best(epoch)?;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), RunError> {
        self.run.save()?;
        self.rollouts.saved(self.run.epoch).map_err(RunError::Rollouts)
    }

    /// Ends an interrupted run. The unfinished epoch is dropped; a resumed run draws identical samples.
    fn stop(&mut self) -> Result<Outcome, RunError> {
        if self.run.epoch > 0 && self.run.saved != Some(self.run.epoch) {
            self.save()?;
        }
        Ok(self.close(Outcome::Interrupted))
    }

    /// Logs how the run ended.
    fn close(&mut self, outcome: Outcome) -> Outcome {
        self.run.logs.close(self.run.epoch, outcome, self.host.progress);
        outcome
    }

    /// Returns whether there is another epoch to train.
    fn goes_on(&self) -> bool {
        let more = self.run.epoch < self.settings().num_epochs;
        more && self.guarded().is_none()
    }

    /// Returns why a guard ends the run, if one does. An earlier process may have trained the last epoch.
    fn guarded(&self) -> Option<String> {
        self.run.plan.guards.reason(&self.run.metrics.lines())
    }

    /// Returns the closing lines of the run.
    pub fn closing(&mut self) -> String {
        let OpenRun { plan, folder, model, evaluations, epoch, .. } = &self.run;
        let flat = || self.rollouts.flat_reward(model.shape);
        summary::closing(plan, folder, evaluations, *epoch, flat)
    }

    /// Returns the line of an interrupted run.
    pub fn interrupted(&self) -> String {
        summary::interrupted(self.run.folder, self.run.epoch, self.host.command)
    }

    fn settings(&self) -> &Settings {
        &self.run.plan.settings
    }
}

fn rewards(scored: &[ScoredTrajectory]) -> Vec<f32> {
    scored.iter().map(|one| one.score.reward).collect()
}

/// Returns the policy's weights.
fn policy<'r>(run: &'r OpenRun<'_>, digest: Digest) -> Weights<'r> {
    let id = WeightsId { version: run.learner.version(), track: Track::Policy };
    Weights { id, digest, unet: run.learner.policy().network() }
}

/// Returns the averaged weights.
fn average<'r>(run: &OpenRun<'_>, (unet, digest): &'r (UNet, Digest)) -> Weights<'r> {
    let id = WeightsId { version: run.learner.version(), track: Track::Average };
    Weights { id, digest: *digest, unet }
}

/// Returns the request for the training samples of `epoch`.
fn training<'r>(plan: &Plan, epoch: u32, weights: Weights<'r>) -> Request<'r> {
    Request {
        weights,
        purpose: Purpose::Rollout,
        run_seed: plan.settings.run_seed,
        epoch,
        samples: plan.settings.num_samples_per_epoch as u32,
        stage: "sampling",
        on_interrupt: OnInterrupt::Abandon,
    }
}

fn draw(
    rollouts: &mut dyn Rollouts,
    request: &Request<'_>,
    host: &Host<'_>,
) -> Result<Option<Rollout>, RunError> {
    let drawn = rollouts.rollout(request, host.progress).map_err(RunError::Rollouts)?;
    drawn.as_ref().map_or(Ok(()), |rollout| request.check(rollout))?;
    Ok(drawn)
}
