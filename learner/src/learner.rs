//! One epoch of DDPO: from scored trajectories, in sample order, to new weights.

use crate::adamw::{AdamW, clip_gradient_norm};
use crate::advantages::{RunningMoments, advantages};
use crate::config::{InvalidSetting, LearnerConfig};
use crate::ema::Ema;
use crate::pairs::{Pair, StepChoice, pairs};
use crate::pass::{Lane, PassOutput, Work};
use crate::policy::Policy;
use crate::report::{Sums, UpdateReport};
use crate::schedule::LearningRate;
use ddpo_diffusion::scheduler::Transitions;
use ddpo_diffusion::unet::UNet;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{Digest, PolicyVersion, Trajectory};
use tch::{Kind, TchError};
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
    /// libtorch could not hand out a result.
    #[error("learner: {0}")]
    Torch(#[from] TchError),
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
    lanes: Vec<Lane>,
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
        let policy = Policy::new(unet, kind);
        let network = policy.network().shared();
        let lane = Lane { network, transitions: transitions.shared(), reference };
        Ok(Self {
            config,
            schedule,
            transitions,
            policy,
            lanes: vec![lane],
            optimizer,
            ema,
            running: RunningMoments::default(),
            version: PolicyVersion::default(),
            schedule_step: 0,
        })
    }

    /// Cuts every micro-batch into `lanes` parts that run side by side, each on one thread: for
    /// narrow models on a CPU, whose operations are too small to share.
    #[must_use]
    pub fn with_lanes(mut self, lanes: usize) -> Self {
        while self.lanes.len() < lanes {
            let first = &self.lanes[0];
            let reference = first.reference.as_ref().map(UNet::shared);
            let transitions = first.transitions.shared();
            self.lanes.push(Lane { network: self.policy.replica(), transitions, reference });
        }
        self
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
        Ok(epoch.finish(self.lanes[0].reference.is_some()))
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
        let step = self.optimizer.steps_taken();
        for chunk in pairs.chunks(self.config.micro_batch_size) {
            let outputs = self.passes(epoch, chunk, pairs.len())?;
            let ratios = outputs.iter().flat_map(|output| output.log_ratios.iter().copied());
            let log_ratios: Vec<f32> = ratios.collect();
            if epoch.report.optimizer_steps == 0 {
                self.check_ratio(epoch, chunk, &log_ratios)?;
            }
            let value: f64 = outputs.iter().map(|output| output.loss).sum();
            if !value.is_finite() {
                return Err(LearnError::NotFinite { what: "loss", step, value });
            }
            epoch.sums.kl += outputs.iter().map(|output| output.kl).sum::<f64>();
            epoch.add(value, &log_ratios, &self.config);
            self.policy.collect_gradients();
        }
        let mut gradients = self.policy.gradients();
        let norm = clip_gradient_norm(&mut gradients, self.config.max_gradient_norm);
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

    /// Runs a micro-batch, cut over the lanes; the parts' results in the order of the pairs.
    fn passes(
        &mut self,
        epoch: &Epoch<'_>,
        pairs: &[Pair],
        total: usize,
    ) -> Result<Vec<PassOutput>, LearnError> {
        let work = |pairs| Work {
            trajectories: epoch.trajectories,
            advantages: epoch.advantages,
            pairs,
            total,
        };
        let config = &self.config;
        if let [lane] = self.lanes.as_slice() {
            return Ok(vec![lane.run(config, work(pairs))?]);
        }
        let each = pairs.len().div_ceil(self.lanes.len());
        let threads = tch::get_num_threads();
        let outputs = std::thread::scope(|scope| {
            let running: Vec<_> = self
                .lanes
                .iter_mut()
                .zip(pairs.chunks(each))
                .map(|(lane, part)| {
                    let work = work(part);
                    scope.spawn(move || {
                        tch::set_num_threads(1);
                        lane.run(config, work)
                    })
                })
                .collect();
            let joined = running.into_iter().map(|lane| match lane.join() {
                Ok(output) => Ok(output?),
                Err(cause) => std::panic::resume_unwind(cause),
            });
            joined.collect::<Result<Vec<_>, LearnError>>()
        });
        tch::set_num_threads(threads);
        outputs
    }

    /// Before the first update the ratio is one, up to rounding, or something is wrong.
    fn check_ratio(
        &self,
        epoch: &mut Epoch<'_>,
        pairs: &[Pair],
        log_ratios: &[f32],
    ) -> Result<(), LearnError> {
        for (pair, log_ratio) in pairs.iter().zip(log_ratios) {
            let gap = f64::from(*log_ratio).exp_m1().abs();
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

    fn add(&mut self, loss: f64, log_ratios: &[f32], config: &LearnerConfig) {
        let factor = config.reduction.factor(self.dimensions);
        let sums = &mut self.sums;
        sums.loss += loss;
        for &log_ratio in log_ratios {
            let scaled = f64::from(log_ratio) * factor;
            let above_one = scaled.exp_m1();
            sums.pairs += 1;
            sums.clipped += f64::from(u8::from(above_one.abs() > config.clip_ratio));
            sums.ratio += above_one + 1.0;
            sums.k3 += above_one - scaled;
            sums.log_ratio_abs += f64::from(log_ratio).abs();
        }
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
