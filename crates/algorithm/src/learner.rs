//! One epoch of DDPO: from scored trajectories, in sample order, to new weights.

use crate::adamw::{AdamW, clip_gradient_norm};
use crate::advantages::{RunningMoments, advantages};
use crate::config::{LearnerConfig, Objective};
use crate::ema::Ema;
use crate::epoch::Epoch;
use crate::error::LearnError;
use crate::pairs::{Pair, StepChoice, pairs};
use crate::pass::{Lane, Work, side_by_side};
use crate::policy::Policy;
use crate::proximal::Proximal;
use crate::report::{Spread, UpdateReport};
use crate::schedule::LearningRate;
use crate::terms::{TermMoments, TermRewards, advantages_of_terms};
use ddpo_diffusion::scheduler::Transitions;
use ddpo_diffusion::unet::UNet;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{PolicyVersion, Trajectory, TrajectoryHeader};
use tch::Kind;

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
    terms: TermMoments,
    version: PolicyVersion,
    schedule_step: u64,
    spread: Spread,
}

/// Where a learner is: what a checkpoint holds besides tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Position {
    /// Version of the weights.
    pub version: PolicyVersion,
    /// Steps that the optimizer has taken, those of a run that this one started from included.
    pub optimizer_step: u64,
    /// Steps of this run, which its learning rate follows.
    pub schedule_step: u64,
    /// Statistics of all rewards so far.
    pub running: RunningMoments,
    /// Statistics of all terms' rewards so far, where they are standardised.
    pub terms: TermMoments,
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
            terms: TermMoments::default(),
            version: PolicyVersion::default(),
            schedule_step: 0,
            spread: Spread::default(),
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

    /// The steps that it trains.
    #[must_use]
    pub fn transitions(&self) -> &Transitions {
        &self.transitions
    }

    /// How the values of the last update are spread; nothing before the first.
    #[must_use]
    pub fn spread(&self) -> &Spread {
        &self.spread
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

    /// Whether statistics of terms are of this learner's.
    #[must_use]
    pub fn takes(&self, moments: &TermMoments) -> bool {
        let terms = self.config.normalised.as_ref().map(|reward| reward.terms().len());
        moments.fits(terms.unwrap_or(0))
    }

    /// Where the learner is.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            version: self.version,
            optimizer_step: self.optimizer.steps_taken(),
            schedule_step: self.schedule_step,
            running: self.running,
            terms: self.terms.clone(),
        }
    }

    /// Takes up a run at a checkpoint whose tensors have been loaded.
    pub fn resume_at(&mut self, position: Position) {
        self.version = position.version;
        self.schedule_step = position.schedule_step;
        self.running = position.running;
        self.terms = position.terms;
        self.optimizer.resume_at(position.optimizer_step);
        self.policy.refresh();
    }

    /// Trains on `batch`, which is sorted by sample first: arrival order has no effect.
    ///
    /// # Errors
    /// [`LearnError`]. Nothing has changed where it names a sample, a gap before the first update
    /// or the number of samples.
    pub fn update(
        &mut self,
        batch: &[ScoredTrajectory],
        observer: &mut Observer<'_>,
    ) -> Result<UpdateReport, LearnError> {
        let batch = self.sorted(batch)?;
        let trajectories: Vec<&Trajectory> = batch.iter().map(|s| &s.trajectory).collect();
        let lag = |t: &&Trajectory| self.version.0 - t.header().policy_version.0;
        let lags: Vec<u64> = trajectories.iter().map(lag).collect();
        let normalised = self.config.normalised.as_ref();
        let terms = normalised.map(|reward| TermRewards::of(reward, &batch)).transpose()?;
        let proximal = self.proximal(&trajectories)?;
        let advantages = self.advantages(&batch, terms.as_deref());
        let mut epoch = Epoch::new(&trajectories, &advantages, &lags, &self.transitions);
        epoch.proximal = proximal;
        let batches = trajectories.len() / self.config.batch_size;
        let total = (batches * self.config.inner_epochs) as u64;
        for (inner_epoch, index) in self.passes(batches) {
            let pairs = self.pairs(&trajectories, inner_epoch, index);
            self.mini_batch(&mut epoch, &pairs)?;
            observer(epoch.report.optimizer_steps, total);
        }
        self.version = self.version.next();
        let ratios = std::mem::take(&mut epoch.ratios);
        self.spread = Spread { advantages: advantages.clone(), ratios };
        Ok(epoch.finish(self.config.objective, self.lanes[0].reference.is_some()))
    }

    /// Advantages in the order of `batch`, of its rewards or of sums of `terms`.
    fn advantages(
        &mut self,
        batch: &[&ScoredTrajectory],
        terms: Option<&[TermRewards]>,
    ) -> Vec<f32> {
        let LearnerConfig { advantage, batch_size, clip_advantages, .. } = self.config;
        if let Some(terms) = terms {
            let seen = &mut self.terms;
            return advantages_of_terms(terms, advantage, batch_size, seen, clip_advantages);
        }
        let rewards: Vec<f32> = batch.iter().map(|scored| scored.score.reward).collect();
        advantages(&rewards, advantage, batch_size, &mut self.running, clip_advantages)
    }

    /// The mini-batches in the order of training, as (inner epoch, number).
    fn passes(&self, batches: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        (0..self.config.inner_epochs)
            .flat_map(move |inner_epoch| (0..batches).map(move |index| (inner_epoch, index)))
    }

    /// The pairs of mini-batch `index` in pass `inner_epoch`.
    fn pairs(&self, trajectories: &[&Trajectory], inner_epoch: usize, index: usize) -> Vec<Pair> {
        let first = index * self.config.batch_size;
        let choice = StepChoice {
            seed: self.config.seed,
            epoch: trajectories[0].header().coordinates.epoch,
            inner_epoch: inner_epoch as u32,
            fraction: self.config.timestep_fraction,
        };
        pairs(&trajectories[first..first + self.config.batch_size], first, choice)
    }

    /// What the decoupled objective has to know before the first update.
    fn proximal(&mut self, trajectories: &[&Trajectory]) -> Result<Option<Proximal>, LearnError> {
        if self.config.objective != Objective::Decoupled {
            return Ok(None);
        }
        let passes = self.passes(trajectories.len() / self.config.batch_size);
        let batches: Vec<Vec<Pair>> =
            passes.map(|(pass, index)| self.pairs(trajectories, pass, index)).collect();
        let size = self.config.micro_batch_size;
        Ok(Some(Proximal::compute(&mut self.lanes, trajectories, batches.into_iter(), size)?))
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
            self.check_lag(header)?;
        }
        Ok(sorted)
    }

    /// Refuses a trajectory that is too old, or of weights that are still to come.
    fn check_lag(&self, header: &TrajectoryHeader) -> Result<(), LearnError> {
        let (sample, sampled) = (header.coordinates.sample, header.policy_version);
        let (learned, bound) = (self.version, self.config.max_staleness);
        match learned.0.checked_sub(sampled.0) {
            None => Err(LearnError::Unknown { sample, sampled, learned }),
            Some(lag) if lag > u64::from(bound) => {
                Err(LearnError::Stale { sample, lag, bound, sampled, learned })
            }
            Some(_) => Ok(()),
        }
    }

    /// Accumulates the gradient of a mini-batch over its micro-batches and takes one step.
    fn mini_batch(&mut self, epoch: &mut Epoch<'_>, pairs: &[Pair]) -> Result<(), LearnError> {
        let step = self.optimizer.steps_taken();
        for chunk in pairs.chunks(self.config.micro_batch_size) {
            self.micro_batch(epoch, chunk, pairs.len())?;
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

    /// One forward and backward pass over `pairs`, cut over the lanes; `total` pairs make the
    /// mini-batch.
    fn micro_batch(
        &mut self,
        epoch: &mut Epoch<'_>,
        pairs: &[Pair],
        total: usize,
    ) -> Result<(), LearnError> {
        let (trajectories, advantages) = (epoch.trajectories, epoch.advantages);
        let (config, now) = (&self.config, &*epoch);
        let proximal = |pair: &Pair| now.proximal(pair);
        let outputs = side_by_side(&mut self.lanes, pairs, |lane, pairs| {
            lane.run(config, Work { trajectories, advantages, proximal: &proximal, pairs, total })
        })?;
        let ratios = outputs.iter().flat_map(|output| output.log_ratios.iter().copied());
        let log_ratios: Vec<f32> = ratios.collect();
        if epoch.report.optimizer_steps == 0 {
            self.check_ratio(epoch, pairs, &log_ratios)?;
        }
        let value: f64 = outputs.iter().map(|output| output.loss).sum();
        if !value.is_finite() {
            let step = self.optimizer.steps_taken();
            return Err(LearnError::NotFinite { what: "loss", step, value });
        }
        epoch.sums.kl += outputs.iter().map(|output| output.kl).sum::<f64>();
        epoch.add(value, pairs, &log_ratios, &self.config);
        self.policy.collect_gradients();
        Ok(())
    }

    /// Before the first update the ratio is one, up to rounding, or something is wrong: against the
    /// sampler's log-probabilities where they come from these very weights, against the proximal
    /// ones where they do not and the objective has some.
    fn check_ratio(
        &self,
        epoch: &mut Epoch<'_>,
        pairs: &[Pair],
        log_ratios: &[f32],
    ) -> Result<(), LearnError> {
        for (pair, log_ratio) in pairs.iter().zip(log_ratios) {
            let fresh = epoch.lags[pair.trajectory] == 0;
            if !fresh && epoch.proximal.is_none() {
                continue;
            }
            let log_ratio = if fresh { log_ratio + epoch.drift(pair) } else { *log_ratio };
            let gap = f64::from(log_ratio).exp_m1().abs();
            let worst = &mut epoch.report.ratio_gap_by_step[pair.random];
            *worst = worst.max(gap);
            let tolerance = self.config.ratio_tolerance;
            if gap.is_nan() || gap > tolerance {
                let header = epoch.trajectories[pair.trajectory].header();
                return Err(self.gap(header, pair.step, gap, fresh));
            }
        }
        Ok(())
    }

    fn gap(&self, header: &TrajectoryHeader, step: usize, gap: f64, fresh: bool) -> LearnError {
        let (epoch, timestep) = (header.coordinates.epoch, header.timesteps[step]);
        let (tolerance, learned) = (self.config.ratio_tolerance, self.version);
        let sampled = header.policy_version;
        match fresh {
            true => {
                LearnError::RatioGap { epoch, step, timestep, gap, tolerance, sampled, learned }
            }
            false => LearnError::ProximalGap { epoch, step, timestep, gap, tolerance, learned },
        }
    }
}
