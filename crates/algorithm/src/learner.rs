//! The state of training: policy, optimizer, averaged weights, running statistics and counters.

use crate::adamw::AdamW;
use crate::advantages::RunningMoments;
use crate::config::LearnerConfig;
use crate::ema::Ema;
use crate::error::LearnError;
use crate::pass::Lane;
use crate::policy::Policy;
use crate::report::UpdateSamples;
use crate::reward_terms::TermMoments;
use crate::schedule::LearningRate;
use ddpo_diffusion::scheduler::Transitions;
use ddpo_diffusion::unet::UNet;
use ddpo_rollout::trajectory::PolicyVersion;
use tch::Kind;

/// Trains a policy; [`Learner::update`] is the update of one epoch.
#[derive(Debug)]
pub struct Learner {
    pub(crate) config: LearnerConfig,
    pub(crate) schedule: LearningRate,
    pub(crate) transitions: Transitions,
    pub(crate) policy: Policy,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) optimizer: AdamW,
    pub(crate) ema: Option<Ema>,
    pub(crate) running: RunningMoments,
    pub(crate) terms: TermMoments,
    pub(crate) version: PolicyVersion,
    pub(crate) schedule_step: u64,
    pub(crate) update_samples: UpdateSamples,
}

/// The state of a learner apart from its tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Position {
    /// Version of the weights.
    pub version: PolicyVersion,
    /// Optimizer steps taken, including those of the run that this one started from.
    pub optimizer_step: u64,
    /// Optimizer steps of this run, which the learning rate follows.
    pub schedule_step: u64,
    /// Statistics of all rewards so far, for [`AdvantageScope::Running`].
    ///
    /// [`AdvantageScope::Running`]: crate::config::AdvantageScope::Running
    pub running: RunningMoments,
    /// Statistics of the reward terms so far, where terms are standardised.
    pub terms: TermMoments,
}

impl Learner {
    /// Makes a learner of the f32 model `unet`, which runs in `kind`. `reference` is the pretrained
    /// model in `kind`; the KL from it is computed if it is given.
    ///
    /// # Errors
    /// [`LearnError::Setting`] if a setting is out of range, [`LearnError::Deterministic`] if no
    /// step of `transitions` is random.
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
            update_samples: UpdateSamples::default(),
        })
    }

    /// Cuts every micro-batch into `lanes` parts that run side by side, one thread each: for narrow
    /// models on a CPU, whose operations are too small to share between threads.
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

    /// The denoising steps.
    pub fn transitions(&self) -> &Transitions {
        &self.transitions
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The optimizer.
    pub fn optimizer(&self) -> &AdamW {
        &self.optimizer
    }

    /// The averaged weights, if `ema_decay` is set.
    pub fn ema(&self) -> Option<&Ema> {
        self.ema.as_ref()
    }

    /// Version of the weights: the number of epochs trained.
    pub fn version(&self) -> PolicyVersion {
        self.version
    }

    /// Advantages and ratios of the last update; empty before the first.
    pub fn update_samples(&self) -> &UpdateSamples {
        &self.update_samples
    }

    /// Returns whether `moments` matches this learner's reward terms.
    pub fn matches_terms(&self, moments: &TermMoments) -> bool {
        let terms = self.config.normalised_reward.as_ref().map(|reward| reward.terms().len());
        moments.fits(terms.unwrap_or(0))
    }

    /// Returns the state apart from tensors, for a checkpoint.
    pub fn position(&self) -> Position {
        Position {
            version: self.version,
            optimizer_step: self.optimizer.steps_taken(),
            schedule_step: self.schedule_step,
            running: self.running,
            terms: self.terms.clone(),
        }
    }

    /// Restores `position` after the tensors of a checkpoint have been loaded.
    pub fn resume_at(&mut self, position: Position) {
        self.version = position.version;
        self.schedule_step = position.schedule_step;
        self.running = position.running;
        self.terms = position.terms;
        self.optimizer.resume_at(position.optimizer_step);
        self.policy.refresh();
    }
}
