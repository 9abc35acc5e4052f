//! The update: one epoch of DDPO, from scored trajectories to new weights.
//!
//! PPO (Schulman et al. 2017, algorithm 1) with a denoising step as the action: sort by sample,
//! compute advantages, and for each mini-batch accumulate gradients over micro-batches, clip their
//! norm, and take one AdamW step.

use crate::advantages::{AdvantageConfig, RunningMoments, advantages};
use crate::config::{
    GradientClip, LearnerConfig, LossOverSteps, Objective, OldLogProbs, OldPolicy,
};
use crate::diagnostics::Diagnostics;
use crate::diversity::{less_similarity, similarities};
use crate::epoch::Epoch;
use crate::error::LearnError;
use crate::gradient::clip_gradient_norm;
use crate::kl_coefficient::adapted;
use crate::learner::Learner;
use crate::objective::OtherPolicy;
use crate::output_gradient::output_gradients;
use crate::pairs::{Pair, PairChoice};
use crate::pass::{Lane, MiniBatch, PassOutput, PassTensors, over_lanes};
use crate::proximal::proximal_log_probs;
use crate::report::UpdateReport;
use crate::reward_terms::{TermRewards, advantages_of_terms};
use crate::step_weights::step_weights;
use ddpo_diffusion::transfer::read;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{SampleCoordinates, Trajectory};

/// Receives the progress of an update: optimizer steps taken, and their total number.
pub type Observer<'a> = dyn FnMut(u64, u64) + 'a;

impl Learner {
    /// Trains on the scored trajectories of one epoch and increments the version of the weights.
    /// The order of `batch` has no effect: it is sorted by sample first.
    ///
    /// # Errors
    /// [`LearnError`]. Weights and statistics are unchanged if it names a sample, the number of samples, or
    /// a ratio gap before the first optimizer step.
    pub fn update(
        &mut self,
        batch: &[ScoredTrajectory],
        observer: &mut Observer<'_>,
    ) -> Result<UpdateReport, LearnError> {
        let statistics = (self.advantages.clone(), self.terms.clone());
        let trained = self.train(batch, observer);
        if trained.is_err() {
            (self.advantages, self.terms) = statistics;
        }
        trained
    }

    fn train(
        &mut self,
        batch: &[ScoredTrajectory],
        observer: &mut Observer<'_>,
    ) -> Result<UpdateReport, LearnError> {
        // An update that ended with an error may have left gradients.
        self.policy.clear_gradients();
        let batch = self.sorted_and_checked(batch)?;
        let (advantages, similarity) = self.advantages(&batch)?;
        let (mut epoch, mini_batches) = self.begin_epoch(&batch, advantages);
        self.add_proximal_log_probs(&mut epoch, &mini_batches)?;
        self.check_recorded(&epoch, &mini_batches)?;
        let mut diagnostics = Diagnostics::new(&epoch, self.slots());
        for pairs in &mini_batches {
            self.train_mini_batch(&epoch, pairs, &mut diagnostics)?;
            observer(diagnostics.optimizer_steps(), mini_batches.len() as u64);
        }
        self.version = self.version.next();
        let with_reference = self.lanes[0].reference.is_some();
        let (mut report, samples) = diagnostics.finish(epoch, &self.config, with_reference);
        report.similarity = similarity.map(|moments| moments.mean());
        report.diversity_std = similarity.map(|moments| self.config.diversity_coef * moments.std());
        if let (Some(target), Some(kl)) = (self.config.kl_target, report.kl_to_pretrained_nats) {
            self.kl_coef = adapted(self.kl_coef, self.config.kl_coef, kl, target);
        }
        self.update_samples = samples;
        Ok(report)
    }

    /// Enters the epoch of `batch`, which is sorted and checked, and returns its data and the pairs of every
    /// mini-batch.
    pub(crate) fn begin_epoch<'a>(
        &mut self,
        batch: &[&'a ScoredTrajectory],
        advantages: Vec<f32>,
    ) -> (Epoch<'a>, Vec<Vec<Pair>>) {
        let trajectories: Vec<&Trajectory> = batch.iter().map(|one| &one.trajectory).collect();
        self.enter_epoch(&trajectories);
        let choice = PairChoice { config: &self.config, levels: &self.levels };
        let mini_batches = choice.mini_batches(&trajectories);
        let classes = self.classes_of(batch);
        let (version, kl_coef) = (self.version, self.kl_coef);
        (Epoch::new(trajectories, advantages, classes, version, kl_coef), mini_batches)
    }

    /// Sets the steps of the epoch's window, and copies the old policy of the forward objective
    /// before the first optimizer step.
    fn enter_epoch(&mut self, trajectories: &[&Trajectory]) {
        let header = trajectories[0].header();
        let SampleCoordinates { run_seed, epoch, .. } = header.coordinates;
        let chain = self.chain.of(header.purpose, run_seed, epoch);
        let transitions = self.transitions.of_epoch(&chain);
        self.step_weights = step_weights(self.config.step_weights, &transitions);
        self.lanes.iter_mut().for_each(|lane| lane.transitions = transitions.shared());
        let average = self.ema.as_ref().filter(|_| self.config.forward.old == OldPolicy::Average);
        let weights = match average {
            Some(average) => average.entries(),
            None => self.policy.master().parameters().entries(),
        };
        // Lanes share its tensors.
        if let Some(old) = &mut self.lanes[0].old {
            old.parameters_mut().copy_values(weights);
        }
    }

    /// Returns the number of random steps, or of noise levels, of a trajectory in one pass.
    fn slots(&self) -> usize {
        match self.config.objective {
            Objective::Forward => self.config.forward.levels,
            _ => self.lanes[0].transitions.random_steps().len(),
        }
    }

    /// Evaluates the proximal policy if the objective or `old_log_probs` needs it.
    fn add_proximal_log_probs(
        &mut self,
        epoch: &mut Epoch<'_>,
        mini_batches: &[Vec<Pair>],
    ) -> Result<(), LearnError> {
        let is_proximal = self.config.objective.contract().other == OtherPolicy::Proximal;
        if is_proximal || self.config.old_log_probs == OldLogProbs::Learner {
            let size = self.config.micro_batch_size;
            // Other objectives clip around the sampling policy.
            let wanted = |pair: &Pair| is_proximal || epoch.lags[pair.trajectory] == 0;
            let found = proximal_log_probs(&mut self.lanes, epoch, mini_batches, size, wanted)?;
            epoch.proximal_log_probs = Some(found);
        }
        Ok(())
    }

    /// Returns advantages in the order of `batch`: of its rewards, or of sums of standardised
    /// terms, less the diversity term; and the moments of the samples' similarities, if it has a weight.
    fn advantages(
        &mut self,
        batch: &[&ScoredTrajectory],
    ) -> Result<(Vec<f32>, Option<RunningMoments>), LearnError> {
        let LearnerConfig { diversity_coef, clip_advantages, .. } = self.config;
        let clip = if diversity_coef > 0.0 { f64::from(f32::MAX) } else { clip_advantages };
        let config = AdvantageConfig {
            scope: self.config.advantage,
            batch_size: self.config.batch_size,
            clip,
            min_std: self.config.min_advantage_std,
        };
        let classes = self.classes_of(batch);
        let found = if let Some(reward) = &self.config.normalised_reward {
            let terms = TermRewards::of(reward, batch)?;
            advantages_of_terms(&terms, &classes, &config, &mut self.terms)
        } else {
            let rewards: Vec<f32> = batch.iter().map(|scored| scored.score.reward).collect();
            advantages(&rewards, &classes, &config, &mut self.advantages)
        };
        if diversity_coef == 0.0 {
            return Ok((found, None));
        }
        let trajectories: Vec<&Trajectory> = batch.iter().map(|one| &one.trajectory).collect();
        let similarities = similarities(&trajectories, &classes);
        let moments = RunningMoments::of(&similarities);
        let found =
            less_similarity(found, &similarities, &classes, diversity_coef, clip_advantages);
        Ok((found, Some(moments)))
    }

    /// Returns the class of each sample; empty for a model without classes.
    fn classes_of(&self, batch: &[&ScoredTrajectory]) -> Vec<u32> {
        let Some(classes) = &self.classes else { return Vec::new() };
        let headers = batch.iter().map(|scored| scored.trajectory.header());
        headers.map(|header| classes.of(header.purpose, header.coordinates)).collect()
    }

    /// Accumulates the gradient of a mini-batch over its micro-batches, clips its norm, and takes
    /// one AdamW step.
    fn train_mini_batch(
        &mut self,
        epoch: &Epoch<'_>,
        pairs: &[Pair],
        diagnostics: &mut Diagnostics,
    ) -> Result<(), LearnError> {
        // Results are read one micro-batch late, so that the device has work while the host waits.
        let mut unread = None;
        let divisor = match self.config.loss_over_steps {
            LossOverSteps::Mean => pairs.len(),
            LossOverSteps::Sum => self.config.batch_size,
        };
        let is_first = diagnostics.optimizer_steps() == 0;
        for micro_batch in pairs.chunks(self.config.micro_batch_size) {
            let results = self.accumulate_gradient(epoch, micro_batch, divisor, is_first)?;
            if let Some((pairs, results)) = unread.replace((micro_batch, results)) {
                self.check_results(epoch, pairs, &results, diagnostics)?;
            }
        }
        if let Some((pairs, results)) = unread {
            self.check_results(epoch, pairs, &results, diagnostics)?;
        }
        self.add_anchors(diagnostics)?;
        let mut gradients = self.policy.gradients();
        let norm = clip_gradient_norm(&mut gradients, self.largest_gradient_norm());
        self.check_finite("gradient norm", norm)?;
        let rate = self.schedule.at(self.schedule_step);
        let parameters = self.policy.master().parameters().entries();
        self.optimizer.step(parameters, &gradients, rate);
        if let Some(ema) = &mut self.ema {
            ema.update(parameters, self.optimizer.steps_taken());
        }
        self.policy.clear_gradients();
        self.policy.refresh();
        self.schedule_step += 1;
        diagnostics.add_optimizer_step(norm, rate);
        Ok(())
    }

    /// Returns the limit of the gradient norm at the next optimizer step.
    fn largest_gradient_norm(&self) -> f64 {
        match self.config.gradient_clip {
            GradientClip::AfterWarmUp if self.schedule_step <= self.schedule.warm_up_steps() => {
                f64::INFINITY
            }
            _ => self.config.max_grad_norm,
        }
    }

    /// Runs forward and backward over the pairs of a micro-batch, split over the lanes, and adds
    /// the gradient of sum(losses) / `divisor` to the policy's. `is_first` is true before the
    /// epoch's first optimizer step.
    fn accumulate_gradient(
        &mut self,
        epoch: &Epoch<'_>,
        pairs: &[Pair],
        divisor: usize,
        is_first: bool,
    ) -> Result<Vec<PassTensors>, LearnError> {
        let config = &self.config;
        let is_old = is_first && config.forward.old == OldPolicy::Sampler;
        let mini_batch = MiniBatch { divisor, step_weights: &self.step_weights, is_old };
        let parts = over_lanes(&mut self.lanes, pairs, |lane, part| {
            Ok(lane.backward(config, epoch, part, mini_batch))
        })?;
        self.policy.collect_gradients();
        Ok(parts)
    }

    /// Adds the gradient of `anchor_coef` times the mean diffusion loss on as many anchors as a mini-batch
    /// has samples.
    fn add_anchors(&mut self, diagnostics: &mut Diagnostics) -> Result<(), LearnError> {
        let Lane { anchors, process, .. } = &self.lanes[0];
        let Some(anchors) = anchors else { return Ok(()) };
        let LearnerConfig { batch_size, micro_batch_size, anchor_coef, .. } = self.config;
        let chosen = anchors.of_step(self.schedule_step, batch_size, process.timesteps());
        let scale = anchor_coef / batch_size as f64;
        for part in chosen.chunks(micro_batch_size) {
            let sums = over_lanes(&mut self.lanes, part, |lane, part| {
                Ok(lane.backward_on_anchors(part, scale))
            })?;
            self.policy.collect_gradients();
            let sum: f64 = read(&sums.iter().flatten().collect::<Vec<_>>())?.iter().sum();
            self.check_finite("loss on anchors", sum)?;
            diagnostics.add_anchors(part.len(), sum);
        }
        Ok(())
    }

    /// Waits for the results of a micro-batch and checks them.
    fn check_results(
        &self,
        epoch: &Epoch<'_>,
        pairs: &[Pair],
        results: &[PassTensors],
        diagnostics: &mut Diagnostics,
    ) -> Result<(), LearnError> {
        let output = PassOutput::read(results)?;
        let has_ratio = self.config.objective.contract().log_probs;
        if has_ratio && diagnostics.optimizer_steps() == 0 {
            self.check_ratio(epoch, pairs, &output.log_ratios, diagnostics)?;
            self.check_noise(epoch, pairs, &output.moved)?;
        }
        self.check_finite("loss", output.loss)?;
        let transitions = &self.lanes[0].transitions;
        let (config, weights) = (&self.config, &self.step_weights);
        let norms = output_gradients(config, transitions, weights, epoch, pairs, &output);
        diagnostics.add_pairs(epoch, pairs, &output, &norms, config);
        Ok(())
    }

    fn check_finite(&self, what: &'static str, value: f64) -> Result<(), LearnError> {
        if value.is_finite() {
            Ok(())
        } else {
            Err(LearnError::NotFinite { what, step: self.optimizer.steps_taken(), value })
        }
    }
}
