//! One epoch of DDPO: from scored trajectories, in sample order, to new weights.

use crate::adamw::{AdamW, clip_gradient_norm};
use crate::advantages::{RunningMoments, advantages};
use crate::config::{InvalidSetting, LearnerConfig};
use crate::ema::Ema;
use crate::objective::{Terms, losses};
use crate::pairs::{MicroBatch, Pair, StepChoice, pairs};
use crate::policy::Policy;
use crate::report::{Sums, UpdateReport};
use crate::schedule::LearningRate;
use ddpo_diffusion::gaussian;
use ddpo_diffusion::parameters::Gradients;
use ddpo_diffusion::scheduler::Transitions;
use ddpo_diffusion::unet::UNet;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{Digest, PolicyVersion, Trajectory};
use tch::{Kind, Tensor};
use thiserror::Error;

/// Why an epoch could not be trained.
#[derive(Debug, Error)]
pub enum LearnError {
    /// A setting is out of range.
    #[error("learner: {0}")]
    Setting(#[from] InvalidSetting),
    /// The batch is empty or does not divide into mini-batches.
    #[error("learner: {samples} samples do not divide into mini-batches of {batch_size}")]
    Indivisible {
        /// Samples of the epoch.
        samples: usize,
        /// Samples in a mini-batch.
        batch_size: usize,
    },
    /// A trajectory was made by other steps than the learner's.
    #[error(
        "learner: sample {sample} was made with scheduler {found}, the learner's is {expected}"
    )]
    Scheduler {
        /// Index of the sample.
        sample: u32,
        /// The learner's digest.
        expected: Digest,
        /// The trajectory's digest.
        found: Digest,
    },
    /// A reward is not finite.
    #[error("learner: the reward of sample {sample} is {reward}, not a finite number")]
    Reward {
        /// Index of the sample.
        sample: u32,
        /// The reward.
        reward: f32,
    },
    /// No step of the schedule is random.
    #[error("learner: no step has sigma > 0, so there is nothing to train; hint: use eta > 0")]
    Deterministic,
    /// The sampler's log-probabilities are not the learner's.
    #[error(
        "learner: before the first update of epoch {epoch}, step {step} (t = {timestep}): \
         |ratio - 1| = {gap:.3e} exceeds {tolerance:.3e} between the sampler's {sampled} and the \
         learner's {learned}; hint: they differ in weights, dtype or scheduler"
    )]
    RatioGap {
        /// Epoch.
        epoch: u32,
        /// Index of the step.
        step: usize,
        /// Its timestep.
        timestep: i64,
        /// The gap.
        gap: f64,
        /// The largest gap allowed.
        tolerance: f64,
        /// Version that made the trajectories.
        sampled: PolicyVersion,
        /// The learner's version.
        learned: PolicyVersion,
    },
    /// The loss or the gradient is not finite.
    #[error("learner: the {what} of optimizer step {step} is {value}, not a finite number")]
    NotFinite {
        /// What is not finite.
        what: &'static str,
        /// The optimizer step.
        step: u64,
        /// Its value.
        value: f64,
    },
}

/// The learner and everything that a checkpoint holds of it.
#[derive(Debug)]
pub struct Learner {
    config: LearnerConfig,
    schedule: LearningRate,
    transitions: Transitions,
    policy: Policy,
    reference: Option<UNet>,
    optimizer: AdamW,
    ema: Option<Ema>,
    running: RunningMoments,
    version: PolicyVersion,
    schedule_step: u64,
}

/// Where a learner is: what a checkpoint holds besides tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Position {
    /// Version of the weights.
    pub version: PolicyVersion,
    /// Steps that the optimizer has taken, those of a run that this one started from included.
    pub optimizer_step: u64,
    /// Steps of this run, which its learning rate follows.
    pub schedule_step: u64,
    /// Statistics of all rewards so far.
    pub running: RunningMoments,
}

/// Tells the caller how far an epoch is: optimizer steps taken, and in all.
pub type Observer<'a> = dyn FnMut(u64, u64) + 'a;

impl Learner {
    /// A learner of the f32 model `unet`, which runs in `kind`. `reference` is the pretrained
    /// model in `kind`, needed where the settings ask for a divergence from it.
    ///
    /// # Errors
    /// [`LearnError::Setting`] and [`LearnError::Deterministic`].
    pub fn new(
        config: LearnerConfig,
        schedule: LearningRate,
        transitions: Transitions,
        unet: UNet,
        kind: Kind,
        reference: Option<UNet>,
    ) -> Result<Self, LearnError> {
        config.check()?;
        if transitions.random_steps().is_empty() {
            return Err(LearnError::Deterministic);
        }
        let optimizer = AdamW::new(config.optimizer, unet.parameters().entries());
        let ema = config.ema_decay.map(|decay| Ema::new(decay, unet.parameters().entries()));
        let mut reference = reference;
        if let Some(reference) = &mut reference {
            reference.parameters_mut().track_gradients(Gradients::Untracked);
        }
        Ok(Self {
            config,
            schedule,
            transitions,
            policy: Policy::new(unet, kind),
            reference,
            optimizer,
            ema,
            running: RunningMoments::default(),
            version: PolicyVersion::default(),
            schedule_step: 0,
        })
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The optimizer.
    #[must_use]
    pub fn optimizer(&self) -> &AdamW {
        &self.optimizer
    }

    /// The averaged weights, if kept.
    #[must_use]
    pub fn ema(&self) -> Option<&Ema> {
        self.ema.as_ref()
    }

    /// Version of the weights: the number of epochs trained.
    #[must_use]
    pub fn version(&self) -> PolicyVersion {
        self.version
    }

    /// Where the learner is.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            version: self.version,
            optimizer_step: self.optimizer.steps_taken(),
            schedule_step: self.schedule_step,
            running: self.running,
        }
    }

    /// Takes up a run at a checkpoint whose tensors have been loaded.
    pub fn resume_at(&mut self, position: Position) {
        self.version = position.version;
        self.schedule_step = position.schedule_step;
        self.running = position.running;
        self.optimizer.resume_at(position.optimizer_step);
        self.policy.refresh();
    }

    /// Trains on `batch`, which is sorted by sample first: arrival order has no effect.
    ///
    /// # Errors
    /// [`LearnError`].
    pub fn update(
        &mut self,
        batch: &[ScoredTrajectory],
        observer: &mut Observer<'_>,
    ) -> Result<UpdateReport, LearnError> {
        let batch = self.sorted(batch)?;
        let trajectories: Vec<&Trajectory> = batch.iter().map(|s| &s.trajectory).collect();
        let rewards: Vec<f32> = batch.iter().map(|scored| scored.score.reward).collect();
        let advantages = advantages(
            &rewards,
            self.config.advantage,
            self.config.batch_size,
            &mut self.running,
            self.config.clip_advantages,
        );
        let mut epoch = Epoch::new(&trajectories, &advantages, &self.transitions);
        let batches = trajectories.len() / self.config.batch_size;
        let total = (batches * self.config.inner_epochs) as u64;
        for inner_epoch in 0..self.config.inner_epochs {
            for index in 0..batches {
                let first = index * self.config.batch_size;
                let choice = StepChoice {
                    seed: self.config.seed,
                    epoch: trajectories[0].header().coordinates.epoch,
                    inner_epoch: inner_epoch as u32,
                    fraction: self.config.timestep_fraction,
                };
                let members = &trajectories[first..first + self.config.batch_size];
                self.mini_batch(&mut epoch, &pairs(members, first, choice))?;
                observer(epoch.report.optimizer_steps, total);
            }
        }
        self.version = self.version.next();
        Ok(epoch.finish(self.reference.is_some()))
    }

    fn sorted<'a>(
        &self,
        batch: &'a [ScoredTrajectory],
    ) -> Result<Vec<&'a ScoredTrajectory>, LearnError> {
        let (samples, batch_size) = (batch.len(), self.config.batch_size);
        if samples == 0 || !samples.is_multiple_of(batch_size) {
            return Err(LearnError::Indivisible { samples, batch_size });
        }
        let mut sorted: Vec<&ScoredTrajectory> = batch.iter().collect();
        sorted.sort_by_key(|scored| scored.trajectory.header().coordinates);
        for scored in &sorted {
            let header = scored.trajectory.header();
            let (sample, reward) = (header.coordinates.sample, scored.score.reward);
            let (expected, found) = (self.transitions.digest(), header.scheduler_digest);
            if expected != found {
                return Err(LearnError::Scheduler { sample, expected, found });
            }
            if !reward.is_finite() {
                return Err(LearnError::Reward { sample, reward });
            }
        }
        Ok(sorted)
    }

    /// Accumulates the gradient of a mini-batch over its micro-batches and takes one step.
    fn mini_batch(&mut self, epoch: &mut Epoch<'_>, pairs: &[Pair]) -> Result<(), LearnError> {
        for chunk in pairs.chunks(self.config.micro_batch_size) {
            self.micro_batch(epoch, chunk, pairs.len())?;
            self.policy.collect_gradients();
        }
        let mut gradients = self.policy.gradients();
        let norm = clip_gradient_norm(&mut gradients, self.config.max_gradient_norm);
        let step = self.optimizer.steps_taken();
        if !norm.is_finite() {
            return Err(LearnError::NotFinite { what: "gradient norm", step, value: norm });
        }
        let rate = self.schedule.at(self.schedule_step);
        let entries = self.policy.master().parameters().entries();
        self.optimizer.step(entries, &gradients, rate);
        if let Some(ema) = &mut self.ema {
            ema.update(entries, self.optimizer.steps_taken());
        }
        self.policy.clear_gradients();
        self.policy.refresh();
        self.schedule_step += 1;
        epoch.sums.gradient_norm += norm;
        epoch.report.optimizer_steps += 1;
        epoch.report.lr = rate;
        Ok(())
    }

    /// One forward and backward pass; the loss is the mean over the mini-batch's `total` pairs.
    fn micro_batch(
        &self,
        epoch: &mut Epoch<'_>,
        pairs: &[Pair],
        total: usize,
    ) -> Result<(), LearnError> {
        let network = self.policy.network();
        let device = network.parameters().device();
        let data = MicroBatch::new(epoch.trajectories, pairs, device);
        let advantage: Vec<f32> =
            pairs.iter().map(|pair| epoch.advantages[pair.trajectory]).collect();
        let advantage = Tensor::from_slice(&advantage).to_device(device);
        let timesteps = self.transitions.timestep_tensor(&data.steps);
        let output = network.forward(&data.state, &timesteps);
        let (mean, sigma) = self.transitions.mean_and_sigma(&data.state, &output, &data.steps);
        let log_prob = gaussian::log_prob(&data.next, &mean, &sigma);
        let log_ratio = (&log_prob - &data.old_log_prob).detach();
        if epoch.report.optimizer_steps == 0 {
            self.check_ratio(epoch, pairs, &log_ratio)?;
        }
        let factor = self.config.reduction.factor(epoch.dimensions);
        let terms = Terms {
            log_prob: &(&log_prob * factor),
            old_log_prob: &(&data.old_log_prob * factor),
            advantage: &advantage,
        };
        let mut loss = losses(self.config.objective, &terms, self.config.clip_ratio);
        if let Some(reference) = &self.reference {
            let output = tch::no_grad(|| reference.forward(&data.state, &timesteps));
            let (target, _) = self.transitions.mean_and_sigma(&data.state, &output, &data.steps);
            let kl = gaussian::kl_same_sigma(&mean, &target, &sigma);
            epoch.sums.kl += kl.sum(Kind::Double).double_value(&[]);
            if self.config.kl_coefficient > 0.0 {
                loss += kl * (factor * self.config.kl_coefficient);
            }
        }
        let sum = loss.sum(Kind::Float);
        let value = sum.double_value(&[]);
        if !value.is_finite() {
            let step = self.optimizer.steps_taken();
            return Err(LearnError::NotFinite { what: "loss", step, value });
        }
        (sum / total as f64).backward();
        epoch.add(value, &log_ratio, factor, self.config.clip_ratio);
        Ok(())
    }

    /// Before the first update the ratio is one, up to rounding, or something is wrong.
    fn check_ratio(
        &self,
        epoch: &mut Epoch<'_>,
        pairs: &[Pair],
        log_ratio: &Tensor,
    ) -> Result<(), LearnError> {
        let gaps = (log_ratio.exp() - 1.0).abs();
        for (index, pair) in pairs.iter().enumerate() {
            let gap = gaps.double_value(&[index as i64]);
            let worst = &mut epoch.report.ratio_gap_by_step[pair.random];
            *worst = worst.max(gap);
            let tolerance = self.config.ratio_tolerance;
            if gap.is_nan() || gap > tolerance {
                let header = epoch.trajectories[pair.trajectory].header();
                return Err(LearnError::RatioGap {
                    epoch: header.coordinates.epoch,
                    step: pair.step,
                    timestep: header.timesteps[pair.step],
                    gap,
                    tolerance,
                    sampled: header.policy_version,
                    learned: self.version,
                });
            }
        }
        Ok(())
    }
}

/// The epoch's data and what is known of it so far.
struct Epoch<'a> {
    trajectories: &'a [&'a Trajectory],
    advantages: &'a [f32],
    dimensions: usize,
    sums: Sums,
    report: UpdateReport,
}

impl<'a> Epoch<'a> {
    fn new(
        trajectories: &'a [&'a Trajectory],
        advantages: &'a [f32],
        transitions: &Transitions,
    ) -> Self {
        let report = UpdateReport {
            ratio_gap_by_step: vec![0.0; transitions.random_steps().len()],
            ..UpdateReport::default()
        };
        let dimensions = trajectories[0].header().shape.elements();
        Self { trajectories, advantages, dimensions, sums: Sums::default(), report }
    }

    fn add(&mut self, loss: f64, log_ratio: &Tensor, factor: f64, clip: f64) {
        let total = |x: &Tensor| x.sum(Kind::Double).double_value(&[]);
        let scaled = log_ratio * factor;
        let ratio = scaled.exp();
        let sums = &mut self.sums;
        sums.pairs += log_ratio.numel() as u64;
        sums.loss += loss;
        sums.clipped += total(&(&ratio - 1.0).abs().gt(clip));
        sums.ratio += total(&ratio);
        sums.k3 += total(&(scaled.expm1() - &scaled));
        sums.log_ratio_abs += total(&log_ratio.abs());
    }

    fn finish(self, with_kl: bool) -> UpdateReport {
        let mean = |sum: f64| sum / self.sums.pairs.max(1) as f64;
        let dimensions = self.dimensions as f64;
        let gaps = self.report.ratio_gap_by_step.iter().copied();
        UpdateReport {
            loss: mean(self.sums.loss),
            clip_fraction: mean(self.sums.clipped),
            ratio_mean: mean(self.sums.ratio),
            ratio_gap_max: gaps.fold(0.0, f64::max),
            approx_kl: mean(self.sums.k3),
            log_ratio_abs: mean(self.sums.log_ratio_abs),
            log_ratio_abs_nats: mean(self.sums.log_ratio_abs) * dimensions,
            kl_to_pretrained_nats: with_kl.then(|| mean(self.sums.kl) * dimensions),
            grad_norm: self.sums.gradient_norm / self.report.optimizer_steps.max(1) as f64,
            pairs: self.sums.pairs,
            ..self.report
        }
    }
}
