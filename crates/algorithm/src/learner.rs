//! The state of training: policy, optimizer, averaged weights, running statistics and counters.

use crate::adamw::AdamW;
use crate::advantages::AdvantageState;
use crate::anchor::{AnchorDraw, Anchors};
use crate::config::{InvalidSetting, LearnerConfig, Objective};
use crate::ema::Ema;
use crate::error::LearnError;
use crate::groups::Seen;
use crate::objective::OtherPolicy;
use crate::pairs::level_candidates;
use crate::pass::Lane;
use crate::policy::Policy;
use crate::report::UpdateSamples;
use crate::reward_terms::TermMoments;
use crate::schedule::LearningRate;
use ddpo_diffusion::scheduler::Transitions;
use ddpo_diffusion::scheduler::config::SchedulerConfig;
use ddpo_diffusion::scheduler::forward::ForwardProcess;
use ddpo_diffusion::unet::UNet;
use ddpo_rollout::chain::Chain;
use ddpo_rollout::classes::ClassList;
use ddpo_rollout::trajectory::{PolicyVersion, StateShape};
use tch::Kind;

/// Trains a policy; [`Learner::update`] is the update of one epoch.
#[derive(Debug)]
pub struct Learner {
    pub(crate) config: LearnerConfig,
    pub(crate) schedule: LearningRate,
    pub(crate) transitions: Transitions,
    /// The random steps of an epoch.
    pub(crate) chain: Chain,
    /// The classes of samples; `None` for a model without classes.
    pub(crate) classes: Option<ClassList>,
    /// The weight of each step of the current epoch by step index.
    pub(crate) step_weights: Vec<f64>,
    /// The timesteps that the forward objective may train.
    pub(crate) levels: Vec<i64>,
    pub(crate) policy: Policy,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) optimizer: AdamW,
    pub(crate) ema: Option<Ema>,
    pub(crate) advantages: AdvantageState,
    pub(crate) terms: Seen<TermMoments>,
    pub(crate) version: PolicyVersion,
    pub(crate) schedule_step: u64,
    /// The weight of the KL from the pretrained model.
    pub(crate) kl_coef: f64,
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
    /// Statistics of rewards that advantages depend on.
    pub advantages: AdvantageState,
    /// Statistics of the reward terms so far, where terms are standardised.
    pub terms: Seen<TermMoments>,
    /// The weight of the KL from the pretrained model, where it adapts.
    pub kl_coef: Option<f64>,
}

/// The model that a learner trains.
#[derive(Debug)]
pub struct Model<'a> {
    /// The f32 weights.
    pub unet: UNet,
    /// The type that the network runs in.
    pub kind: Kind,
    /// The scheduler that the model was trained with.
    pub scheduler: &'a SchedulerConfig,
    /// The pretrained model in `kind`; the distance from it is computed if it is given.
    pub reference: Option<UNet>,
    /// The classes of samples, for a class-conditional model.
    pub classes: Option<ClassList>,
}

impl Learner {
    /// Creates a learner of `model`. `transitions` are the sampler's steps without a window.
    ///
    /// # Errors
    /// [`LearnError::Setting`] if a setting is out of range, [`LearnError::Deterministic`] if no
    /// step of `transitions` is random and the objective needs one.
    pub fn new(
        config: LearnerConfig,
        schedule: LearningRate,
        transitions: Transitions,
        model: Model<'_>,
    ) -> Result<Self, LearnError> {
        let Model { unet, kind, scheduler, reference, classes } = model;
        config.check()?;
        let contract = config.objective.contract();
        if contract.log_probs && transitions.random_steps().is_empty() {
            let steps = transitions.timesteps().len();
            return Err(LearnError::Deterministic { steps });
        }
        let levels = level_candidates(
            &config.forward,
            transitions.timesteps(),
            scheduler.num_train_timesteps,
        );
        if config.objective == Objective::Forward && levels.is_empty() {
            let lowest = transitions.timesteps().last().copied().unwrap_or_default();
            let expected = format!("at least the sampler's lowest timestep, {lowest}");
            let found = config.forward.max_timestep.unwrap_or_default();
            return Err(InvalidSetting::new("forward_max_timestep", expected, found).into());
        }
        let chain = transitions.chain(config.window, contract.states);
        let process = ForwardProcess::new(scheduler, unet.parameters().device());
        // A second set of weights differs from the policy's from the second optimizer step on.
        let old = (contract.other == OtherPolicy::Weights)
            .then(|| unet.converted(kind, unet.parameters().device()));
        let optimizer = AdamW::new(config.optimizer, unet.parameters().entries());
        let ema = config.ema_decay.map(|decay| Ema::new(decay, unet.parameters().entries()));
        let policy = Policy::new(unet, kind);
        let network = policy.network().shared();
        let transitions_of_lane = transitions.shared();
        let lane = Lane {
            network,
            transitions: transitions_of_lane,
            process,
            reference,
            old,
            anchors: None,
        };
        Ok(Self {
            step_weights: Vec::new(),
            chain,
            classes,
            levels,
            kl_coef: config.kl_coef,
            advantages: AdvantageState { fixed_std: config.advantage_std, ..Default::default() },
            config,
            schedule,
            transitions,
            policy,
            lanes: vec![lane],
            optimizer,
            ema,
            terms: Seen::default(),
            version: PolicyVersion::default(),
            schedule_step: 0,
            update_samples: UpdateSamples::default(),
        })
    }

    /// Splits every micro-batch into `lanes` parts that run in parallel, one thread each. Use it
    /// for narrow models on a CPU, whose operations are too small to share between threads.
    #[must_use]
    pub fn with_lanes(mut self, lanes: usize) -> Self {
        while self.lanes.len() < lanes {
            let first = &self.lanes[0];
            let reference = first.reference.as_ref().map(UNet::shared);
            let old = first.old.as_ref().map(UNet::shared);
            let (transitions, process) = (first.transitions.shared(), first.process.shared());
            let anchors = first.anchors.as_ref().map(Anchors::shared);
            let network = self.policy.replica();
            self.lanes.push(Lane { network, transitions, process, reference, old, anchors });
        }
        self
    }

    /// Draws the anchors, images of `shape`, if the settings ask for them. The policy must have the weights
    /// of the pretrained model.
    #[must_use]
    pub fn with_anchors(mut self, shape: StateShape) -> Self {
        let LearnerConfig { anchors: count, micro_batch_size: batch_size, run_seed, .. } =
            self.config;
        if count > 0 {
            let classes = self.classes.as_ref();
            let draw = AnchorDraw { count, batch_size, run_seed, shape, classes };
            let anchors = Anchors::draw(self.policy.network(), &self.transitions, &draw);
            self.lanes.iter_mut().for_each(|lane| lane.anchors = Some(anchors.shared()));
        }
        self
    }

    /// Returns the steps and states of the trajectories that the learner trains on.
    pub fn chain(&self) -> &Chain {
        &self.chain
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

    /// Returns whether `seen` matches this learner's reward terms.
    pub fn matches_terms(&self, seen: &Seen<TermMoments>) -> bool {
        let terms = self.config.normalised_reward.as_ref().map(|reward| reward.terms().len());
        let mut moments = std::iter::once(&seen.all).chain(seen.classes.values());
        moments.all(|moments| moments.fits(terms.unwrap_or(0)))
    }

    /// Returns the state apart from tensors, for a checkpoint.
    pub fn position(&self) -> Position {
        Position {
            version: self.version,
            optimizer_step: self.optimizer.steps_taken(),
            schedule_step: self.schedule_step,
            advantages: self.advantages.clone(),
            terms: self.terms.clone(),
            kl_coef: self.config.kl_target.map(|_| self.kl_coef),
        }
    }

    /// Restores `position` after the tensors of a checkpoint have been loaded.
    pub fn resume_at(&mut self, position: Position) {
        self.version = position.version;
        self.schedule_step = position.schedule_step;
        self.advantages = position.advantages;
        self.kl_coef = position.kl_coef.unwrap_or(self.config.kl_coef);
        self.terms = position.terms;
        self.optimizer.resume_at(position.optimizer_step);
        self.policy.refresh();
    }
}
