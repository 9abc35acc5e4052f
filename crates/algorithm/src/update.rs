//! The update: one epoch of DDPO, from scored trajectories to new weights.
//!
//! PPO (Schulman et al. 2017, algorithm 1) with a denoising step as the action: sort by sample,
//! compute advantages, and for each mini-batch accumulate gradients over micro-batches, clip their
//! norm, and take one AdamW step.

use crate::advantages::advantages;
use crate::config::{LearnerConfig, Objective, OldLogProbs};
use crate::diagnostics::Diagnostics;
use crate::epoch::Epoch;
use crate::error::LearnError;
use crate::gradient::clip_gradient_norm;
use crate::learner::Learner;
use crate::pairs::{Pair, mini_batches};
use crate::pass::{PassOutput, PassTensors, over_lanes};
use crate::proximal::proximal_log_probs;
use crate::report::UpdateReport;
use crate::reward_terms::{TermRewards, advantages_of_terms};
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::Trajectory;

/// Receives the progress of an update: optimizer steps taken, and in all.
pub type Observer<'a> = dyn FnMut(u64, u64) + 'a;

impl Learner {
    /// Trains on the scored trajectories of one epoch and increments the version of the weights.
    /// The order of `batch` has no effect: it is sorted by sample first.
    ///
    /// # Errors
    /// [`LearnError`]. The weights are unchanged if it names a sample, the number of samples, or a
    /// ratio gap before the first optimizer step.
    pub fn update(
        &mut self,
        batch: &[ScoredTrajectory],
        observer: &mut Observer<'_>,
    ) -> Result<UpdateReport, LearnError> {
        // An update that ended with an error may have left some.
        self.policy.clear_gradients();
        let batch = self.sorted_and_checked(batch)?;
        let advantages = self.advantages(&batch)?;
        let trajectories: Vec<&Trajectory> = batch.iter().map(|one| &one.trajectory).collect();
        let mini_batches = mini_batches(&trajectories, &self.config);
        let mut epoch = Epoch::new(trajectories, advantages, self.version);
        let is_decoupled = self.config.objective == Objective::Decoupled;
        if is_decoupled || self.config.old_log_probs == OldLogProbs::Learner {
            let size = self.config.micro_batch_size;
            // Other objectives clip around the weights that sampled.
            let wanted = |pair: &Pair| is_decoupled || epoch.lags[pair.trajectory] == 0;
            let found = proximal_log_probs(&mut self.lanes, &epoch, &mini_batches, size, wanted)?;
            epoch.proximal_log_probs = Some(found);
        }
        let mut diagnostics = Diagnostics::new(&epoch, self.transitions.random_steps().len());
        for pairs in &mini_batches {
            self.train_mini_batch(&epoch, pairs, &mut diagnostics)?;
            observer(diagnostics.optimizer_steps(), mini_batches.len() as u64);
        }
        self.version = self.version.next();
        let (report, samples) = diagnostics.finish(
            epoch.advantages,
            self.config.objective,
            self.lanes[0].reference.is_some(),
        );
        self.update_samples = samples;
        Ok(report)
    }

    /// Advantages in the order of `batch`: of its rewards, or of sums of standardised terms.
    fn advantages(&mut self, batch: &[&ScoredTrajectory]) -> Result<Vec<f32>, LearnError> {
        let LearnerConfig { advantage, batch_size, clip_advantages: clip, .. } = self.config;
        if let Some(reward) = &self.config.normalised_reward {
            let terms = TermRewards::of(reward, batch)?;
            return Ok(advantages_of_terms(&terms, advantage, batch_size, &mut self.terms, clip));
        }
        let rewards: Vec<f32> = batch.iter().map(|scored| scored.score.reward).collect();
        Ok(advantages(&rewards, advantage, batch_size, &mut self.running, clip))
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
        for micro_batch in pairs.chunks(self.config.micro_batch_size) {
            let results = self.accumulate_gradient(epoch, micro_batch, pairs.len())?;
            if let Some((pairs, results)) = unread.replace((micro_batch, results)) {
                self.check_results(epoch, pairs, &results, diagnostics)?;
            }
        }
        if let Some((pairs, results)) = unread {
            self.check_results(epoch, pairs, &results, diagnostics)?;
        }
        let mut gradients = self.policy.gradients();
        let norm = clip_gradient_norm(&mut gradients, self.config.max_grad_norm);
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

    /// Runs forward and backward over the pairs of a micro-batch, cut over the lanes, and adds the
    /// gradient of sum(losses) / `total` to the policy's; `total` is the mini-batch's pair count.
    fn accumulate_gradient(
        &mut self,
        epoch: &Epoch<'_>,
        pairs: &[Pair],
        total: usize,
    ) -> Result<Vec<PassTensors>, LearnError> {
        let config = &self.config;
        let parts = over_lanes(&mut self.lanes, pairs, |lane, part| {
            Ok(lane.backward(config, epoch, part, total))
        })?;
        self.policy.collect_gradients();
        Ok(parts)
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
        if diagnostics.optimizer_steps() == 0 {
            self.check_ratio(epoch, pairs, &output.log_ratios, diagnostics)?;
        }
        self.check_finite("loss", output.loss)?;
        diagnostics.add_pairs(epoch, pairs, &output, &self.config);
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
