//! The settings of a run: names, types, defaults and meanings, in one table.
//!
//! A name is a key in a settings file, a flag (`--batch-size`), and an environment variable
//! (`DDPO_BATCH_SIZE`). Defaults are those of alcazar90/ddpo-celebahq (upstream) where it has the setting.

use crate::batch_size::BatchSize;
use crate::start::Start;
use crate::stop_on::StopOn;
use ddpo_algorithm::config::{
    AdvantageScope, ForwardWeighting, LevelSource, LevelWeight, Objective, OldLogProbs, OldPolicy,
    RewardScale, TrustRegion,
};
use ddpo_algorithm::step_weights::StepWeights;
use ddpo_diffusion::dtype::Dtype;
use ddpo_diffusion::gaussian::Reduction;
use ddpo_diffusion::scheduler::SchedulerKind;
use ddpo_rollout::classes::ClassList;
use ddpo_rollout::numerics::{MatmulPrecision, NormKernel};
use ddpo_rollout::reward::{AgeClasses, AgeReward, RewardExpression, RewardList, RewardSpec, Task};
use ddpo_rollout::trajectory::StateDtype;
use ddpo_rollout::window::{Window, WindowSchedule};
use ddpo_settings::environment::{NO_SETTINGS, PREFIX};
use ddpo_settings::table::Flags;
use ddpo_settings::{Layers, Range, SettingsError, Source};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use toml::Table;

/// The values of `reward_compat`, the old name of `upstream_compat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RewardCompat {
    /// As `upstream_compat` says.
    #[default]
    None,
    /// As with `upstream_compat`.
    Seed,
}

ddpo_settings::settings! {
    /// The settings of a run.
    pub struct Settings;
    values {
        /// "aesthetic score", "under30 years old", "over50 years old", "jpeg compressibility" or
        /// "jpeg incompressibility"
        task: Task = Task::AestheticScore;
        /// Pretrained model: a folder, a Hub name such as google/ddpm-church-256, or toy-faces-32
        ddpm_ckpt: String = "google/ddpm-celebahq-256".into();
        /// Folder of the run
        output_dir: String = ".".into();
        /// Seed of the run; all noise of the training follows from it
        run_seed: u64 = 5_633_313_988;
        /// Epochs: sample, score, update
        num_epochs: u32 = 5;
        /// Trajectories in an epoch
        num_samples_per_epoch: usize = 10;
        /// Samples in a mini-batch; each mini-batch is one optimizer step
        batch_size: usize = 5;
        /// Passes over an epoch's samples
        num_inner_epochs: usize = 1;
        /// Denoising steps
        num_inference_steps: usize = 40;
        /// Stochasticity of DDIM; 1 gives DDPM's variance. Only objective forward trains with 0
        eta: f64 = 1.0;
        /// ddim or ddpm
        scheduler: SchedulerKind = SchedulerKind::Ddim;
        /// Learning rate of the first step
        initial_lr: f64 = 9e-8;
        /// Learning rate after the warm-up; if it equals initial_lr, the rate is constant
        peak_lr: f64 = 6e-7;
        /// Fraction of all optimizer steps that are warm-up
        warmup_pct: f64 = 0.1;
        /// AdamW's weight decay
        weight_decay: f64 = 1e-4;
        /// Clip advantages to plus or minus this value
        clip_advantages: f64 = 2.5;
        /// Weight of diversity: lowers a sample's advantage by this times its mean similarity (0 to 1) to
        /// the other samples of its epoch. 4 to 20 keep most of the diversity
        diversity_coef: f64 = 0.0;
        /// Clip the norm of the gradient to this value
        max_grad_norm: f64 = 1.0;
        /// clipped-is (DDPO-IS: importance sampling with a clip), decoupled (DDPO-IS for samples of
        /// older weights), score-function (DDPO-SF), or forward (DiffusionNFT and AWM: x_0 and
        /// rewards only)
        objective: Objective = Objective::ClippedIs;
        /// Limit on the change of the policy: clip (of the ratio), or kl (exact KL divergence of
        /// each step from the sampling policy)
        trust_region: TrustRegion = TrustRegion::Clip;
        /// With trust_region kl: largest KL divergence of a step (nats)
        kl_limit: f64 = 0.05;
        /// Weights of the steps in the loss: density (1 for every step), or uniform (the same
        /// expected gradient for every step)
        step_weights: StepWeights = StepWeights::Density;
        /// With objective forward: nft (DiffusionNFT) or advantage (AWM)
        forward_weighting: ForwardWeighting = ForwardWeighting::Nft;
        /// With objective forward: number of noise levels to train for each sample in a pass
        forward_levels: usize = 4;
        /// With objective forward: draw noise levels from the timesteps of the sampler (sampler),
        /// or of the whole schedule (all)
        forward_level_source: LevelSource = LevelSource::Sampler;
        /// With objective forward: loss of a noise level: uniform (squared error in the model's
        /// prediction type), or adaptive (squared error divided by the sample's mean absolute
        /// error)
        forward_level_weight: LevelWeight = LevelWeight::Uniform;
        /// With objective forward and weighting nft: beta; a smaller value learns faster and is less
        /// stable
        forward_beta: f64 = 1.0;
        /// With objective forward: old policy, sampler (weights before the epoch's first optimizer
        /// step) or average (averaged weights; needs ema_decay)
        forward_old: OldPolicy = OldPolicy::Sampler;
        /// Largest number of epochs that a sample's weights may be behind the learner's; above 0,
        /// samplers run ahead (services only)
        max_staleness: u32 = 0;
        /// Upper bound of the importance weight of objective decoupled
        importance_cap: f64 = 5.0;
        /// Rewards that advantages are standardised over: epoch, batch, or running (all so far).
        /// fixed divides by the first epoch's standard deviation, which keeps the balance of reward
        /// and kl_coef
        advantage: AdvantageScope = AdvantageScope::Epoch;
        /// Smallest standard deviation that rewards are divided by
        min_advantage_std: f64 = 0.0;
        /// Terms of a sum of rewards: raw, or normalised (each term is standardised like an
        /// advantage before it is weighted)
        reward_scale: RewardScale = RewardScale::Raw;
        /// Unit of log-probabilities: mean (over dimensions), or sum (nats)
        log_prob: Reduction = Reduction::Mean;
        /// Weight in the loss of the KL divergence from the pretrained model
        kl_coef: f64 = 0.0;
        /// Number of anchors: samples of the pretrained model, drawn once. Every optimizer step adds their
        /// diffusion loss, which keeps the policy close to everything that the model draws
        anchor: usize = 0;
        /// Weight in the loss of the diffusion loss on anchors
        anchor_coef: f64 = 1.0;
        /// Fraction of a trajectory's random steps that are trained
        timestep_fraction: f64 = 1.0;
        /// Largest |ratio - 1| allowed before an epoch's first update, with log-probabilities as
        /// means over dimensions
        ratio_tolerance: f64 = 1e-4;
        /// Largest difference of log-probabilities allowed before an epoch's first update (nats)
        ratio_tolerance_nats: f64 = 2.0;
        /// With stop_on plateau: evaluations without a better checkpoint that end the run
        plateau_evaluations: usize = 5;
        /// Number of evaluation samples
        num_eval_samples: usize = 2;
        /// Seed of the evaluation samples; every evaluation uses the same noise
        eval_rnd_seed: u64 = 666;
        /// Epochs between checkpoints; the last epoch always writes one
        checkpoint_every: u32 = 1;
        /// auto, cpu, cuda or cuda:N
        device: String = "auto".into();
        /// Type that the UNet runs in: f32 or bf16
        dtype: Dtype = Dtype::F32;
        /// true: the same kind of GPU gives the same bytes each time; false: allow faster kernels
        /// of cuDNN and attention
        deterministic: bool = true;
        /// Precision of f32 matrix products and convolutions: highest (f32), high (TF32 on GPUs) or
        /// medium (as high; bfloat16 on CPUs)
        matmul_precision: MatmulPrecision = MatmulPrecision::Highest;
        /// Kernel for group norm and SiLU on a GPU: libtorch, or fused (one kernel, compiled when
        /// the run begins; ddpo gpu-check measures both)
        norm_kernel: NormKernel = NormKernel::Libtorch;
        /// Type that states are rounded to and kept in: f32, f16 or bf16
        state_dtype: StateDtype = StateDtype::F32;
        /// Old name of upstream_compat: seed sets it
        reward_compat: RewardCompat = RewardCompat::None;
        /// Reward from the age classifier: logits (sum over the wanted ages, as in
        /// alcazar90/ddpo-celebahq; unbounded, so a policy can raise it without changing the age),
        /// probability or log-odds (recommended)
        age_reward: AgeReward = AgeReward::Logits;
        /// Type that a reward's network runs in: f32 or bf16
        reward_dtype: Dtype = Dtype::F32;
        /// Project of Weights & Biases, for wandb_logging
        wandb_project: String = "ddpo".into();
    }
    optional {
        /// Reward in place of the task's: a weighted sum such as
        /// "0.7*aesthetic + 0.3*jpeg compressibility"
        reward: RewardExpression = Task::AestheticScore.into();
        /// Classes of the samples of a class-conditional model, separated by commas; all by default.
        /// Training samples draw their class at random, evaluation samples take the classes in turn
        class_labels: ClassList = ClassList::all(1);
        /// Held-out rewards, used only in evaluations, separated by commas
        eval_reward: RewardList = RewardList(vec![Task::AestheticScore.into()]);
        /// (sample, step) pairs in one backward pass, or auto (as many as fit into the free memory
        /// of the device); batch_size by default
        micro_batch_size: BatchSize = BatchSize::Auto;
        /// Samples denoised together, or auto (as for micro_batch_size); batch_size by default
        sample_batch_size: BatchSize = BatchSize::Auto;
        /// Source of the sampling policy's log-probabilities in the ratio: sampler, or learner (one
        /// more forward pass). By default learner if dtype is bf16 or matmul_precision is not
        /// highest, and sampling and training use batches of different shapes
        old_log_probs: OldLogProbs = OldLogProbs::Sampler;
        /// Clip the probability ratio to 1 plus or minus this value, in the unit of log_prob; by
        /// default 1e-4 for mean and 0.2 for sum
        clip_ratio: f64 = 1e-4;
        /// Window of W random steps to train; all other steps are deterministic. W or W:drawn
        /// (position drawn for each epoch), W:moving (first steps to last), W:last, or W:START
        /// (position START)
        window: Window = Window { width: 4, schedule: WindowSchedule::Drawn };
        /// With advantage fixed: standard deviation to divide by, instead of the first epoch's
        advantage_std: f64 = 1.0;
        /// Adapt kl_coef to keep the mean KL divergence from the pretrained model during an epoch's
        /// updates near this value (nats per transition)
        kl_target: f64 = 1.0;
        /// With objective forward: largest timestep of a noise level
        forward_max_timestep: i64 = 500;
        /// Epochs between evaluations; no evaluations by default
        eval_every_each_epoch: u32 = 1;
        /// Share of the first evaluation's diversity (0 to 1) that a checkpoint must keep to be the best one;
        /// with stop_on collapse 0.5 by default
        min_diversity: f64 = 0.5;
        /// Largest mean KL divergence from the pretrained model (nats per transition, as for kl_stop) of
        /// a checkpoint that may be the best one
        max_kl: f64 = 1.0;
        /// End the run by these guards, separated by commas: collapse (an evaluation keeps less than
        /// min_diversity), kl (above max_kl), plateau (no better checkpoint in plateau_evaluations)
        stop_on: Vec<StopOn> = vec![StopOn::Collapse];
        /// Stop the run after an epoch whose updates had a mean KL divergence from the pretrained
        /// model above this value (nats per transition); its checkpoint is not the best one
        kl_stop: f64 = 1.0;
        /// Keep averaged weights (EMA) with this decay, and evaluate with them
        ema_decay: f64 = 0.99;
        /// Start from this checkpoint folder, with its optimizer state if it has one
        resume_from_ckpt: String = String::new();
        /// Best evaluation reward so far, in place of the checkpoint's
        manual_best_reward: f64 = 0.0;
        /// CPU threads; all by default
        threads: usize = 1;
        /// The reward's network: a folder, a Hub name, or toy-ages-32 for drawn faces; by default
        /// nateraw/vit-age-classifier for ages, openai/clip-vit-large-patch14 for the aesthetic score
        reward_model: String = String::new();
        /// LAION's aesthetic head: a file such as sac+logos+ava1-l14-linearMSE.pth, or one on the Hub as
        /// owner/name/file
        aesthetic_head: String = String::new();
        /// Ages of the classifier's labels that do not state them, such as
        /// "young=0-29, middle=30-49, old=50+"
        age_classes: AgeClasses = AgeClasses::default();
        /// User or team in Weights & Biases that owns the run; by default the user of wandb login
        wandb_entity: String = String::new();
        /// Name of the run in Weights & Biases; by default the name of its folder
        wandb_name: String = String::new();
        /// Tags of the run in Weights & Biases, separated by commas
        wandb_tags: Vec<String> = vec![String::new()];
    }
    switches {
        /// With wandb_logging: upload the last and the best checkpoint as artifacts when the run
        /// finishes. The run's folder always has them
        save_model;
        /// Log to Weights & Biases (pip install wandb pillow); offline in wandb/ without an API key,
        /// or with WANDB_MODE=offline
        wandb_logging;
        /// Log to TensorBoard: event files in tensorboard/
        tensorboard;
        /// Write each epoch's trajectories and rewards to batches/, for ddpo replay
        record_batches;
        /// Train as alcazar90/ddpo-celebahq: its map of pixels for each task, advantages over the batch,
        /// losses summed over steps, and no clip of gradients until the warm-up is over
        upstream_compat;
    }
    aliases {
        // Upstream has used both spellings.
        weight_decay = "policy-weight-decay";
    }
    ranges {
        run_seed = Range::SEED;
        num_epochs = Range::COUNT;
        num_samples_per_epoch = Range::Whole(2, u32::MAX as i64);
        batch_size = Range::COUNT;
        num_inner_epochs = Range::COUNT;
        num_inference_steps = Range::COUNT;
        eta = Range::Between(0.0, 1.0);
        initial_lr = Range::AtLeast(0.0);
        peak_lr = Range::AtLeast(0.0);
        warmup_pct = Range::Between(0.0, 1.0);
        weight_decay = Range::AtLeast(0.0);
        clip_advantages = Range::POSITIVE;
        diversity_coef = Range::AtLeast(0.0);
        max_grad_norm = Range::POSITIVE;
        kl_limit = Range::POSITIVE;
        forward_levels = Range::Whole(1, 1000);
        forward_beta = Range::AboveTo(0.0, 1.0);
        max_staleness = Range::Whole(0, u32::MAX as i64);
        importance_cap = Range::AtLeast(1.0);
        min_advantage_std = Range::AtLeast(0.0);
        kl_coef = Range::AtLeast(0.0);
        anchor = Range::Whole(0, u32::MAX as i64);
        anchor_coef = Range::AtLeast(0.0);
        timestep_fraction = Range::AboveTo(0.0, 1.0);
        ratio_tolerance = Range::POSITIVE;
        ratio_tolerance_nats = Range::POSITIVE;
        plateau_evaluations = Range::COUNT;
        num_eval_samples = Range::COUNT;
        eval_rnd_seed = Range::SEED;
        checkpoint_every = Range::COUNT;
        micro_batch_size = Range::COUNT;
        sample_batch_size = Range::COUNT;
        clip_ratio = Range::POSITIVE;
        advantage_std = Range::POSITIVE;
        kl_target = Range::POSITIVE;
        forward_max_timestep = Range::Whole(0, i64::MAX);
        eval_every_each_epoch = Range::COUNT;
        min_diversity = Range::Between(0.0, 1.0);
        max_kl = Range::POSITIVE;
        kl_stop = Range::POSITIVE;
        ema_decay = Range::FromBelow(0.0, 1.0);
        manual_best_reward = Range::Finite;
        threads = Range::Whole(1, 1024);
    }
}

impl Settings {
    /// Returns whether the run trains as alcazar90/ddpo-celebahq does, under either name of the setting.
    #[must_use]
    pub fn is_upstream(&self) -> bool {
        self.upstream_compat || self.reward_compat == RewardCompat::Seed
    }

    /// Returns the clip of the ratio. By default it is upstream's value for means over dimensions,
    /// and PPO's value for sums.
    #[must_use]
    pub fn clip_ratio(&self) -> f64 {
        self.clip_ratio.unwrap_or_else(|| default_clip_ratio(self.log_prob))
    }
}

/// Returns the default of `clip_ratio` for a unit of log-probabilities.
pub(crate) fn default_clip_ratio(log_prob: Reduction) -> f64 {
    match log_prob {
        Reduction::Mean => 1e-4,
        Reduction::Sum => 0.2,
    }
}

/// The tables of `run.toml` that record facts of the run, not settings.
pub const RECORDS: [&str; 2] = [RewardSpec::TABLE, Start::TABLE];

/// The flags of all settings.
pub type SettingFlags = Flags<Settings>;

/// The settings, with the source of each value that is not a default.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The settings.
    pub settings: Settings,
    /// The source that takes precedence, for each key that a file, the environment or a flag sets.
    pub sources: BTreeMap<String, Source>,
}

/// Returns layers whose first table is the run's settings, for a service's settings file.
///
/// # Errors
/// [`SettingsError::Schema`], an error of the program.
pub fn layers() -> Result<Layers, SettingsError> {
    Layers::flat(&Settings::default())
}

/// Returns the run's settings from layers that were made by [`layers`].
///
/// # Errors
/// [`SettingsError::Value`] for an invalid value.
pub fn of_layers(layers: &Layers) -> Result<Resolved, SettingsError> {
    let own = |(key, _): &(&String, &Source)| !key.contains('.');
    let sources = layers.sources().iter().filter(own);
    let sources = sources.map(|(key, from)| (key.clone(), from.clone())).collect();
    Ok(Resolved { settings: layers.finish()?, sources })
}

/// Resolves settings from defaults, file, environment and flags; later sources take precedence.
/// Every value must be valid, even if a later source overrides it.
///
/// # Errors
/// [`SettingsError`] names the source, the key and the value.
pub fn resolve(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    flags: &SettingFlags,
) -> Result<Resolved, SettingsError> {
    let mut layers = below(file, environment)?;
    layers.flags(flags.given())?;
    Ok(Resolved { settings: layers.finish()?, sources: layers.sources().clone() })
}

/// Resolves settings from defaults, file, environment and the values of a table, which take precedence and
/// are `from` another file.
///
/// # Errors
/// Every value of the table that is not valid, or else the first [`SettingsError`] of the other sources.
pub fn resolve_values(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    values: &Table,
    from: &Source,
) -> Result<Resolved, Vec<SettingsError>> {
    let below = below(file, environment).map_err(|error| vec![error])?;
    let mut layers = below.clone();
    let errors = values.iter().filter_map(|(key, value)| {
        let mut alone = below.clone();
        let tried = alone.value(key, value.clone(), from);
        tried.and_then(|()| alone.finish::<Settings>()).err()
    });
    let errors: Vec<SettingsError> = errors.collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    let finished = values
        .iter()
        .try_for_each(|(key, value)| layers.value(key, value.clone(), from))
        .and_then(|()| layers.finish());
    let settings = finished.map_err(|error| vec![error])?;
    Ok(Resolved { settings, sources: layers.sources().clone() })
}

/// Returns the layers of defaults, file and environment.
fn below(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Layers, SettingsError> {
    // One file can serve `ddpo train` and the services.
    let mut layers =
        layers()?.leave(&["service", "sampler", "rewarder", "learner"]).leave(&RECORDS);
    if let Some(path) = file {
        layers.file(path)?;
        layers.finish::<Settings>()?;
    }
    layers.environment(PREFIX, &NO_SETTINGS, environment)?;
    layers.finish::<Settings>()?;
    Ok(layers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpo_settings::numbers::incomplete;

    #[test]
    fn every_number_has_a_range() {
        assert_eq!(incomplete::<Settings>(), Vec::<String>::new());
    }
}
