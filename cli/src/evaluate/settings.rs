//! Resolves an evaluation's settings from flags and from the run.

use crate::choices::PixelMaps;
use crate::evaluate::arguments::EvaluateCommand;
use crate::evaluate::checkpoints::{self, Checkpoint};
use crate::evaluate::seeds;
use crate::named::named;
use anyhow::{Context, Result, anyhow, bail};
use ddpo_diffusion::device;
use ddpo_diffusion::dtype::{Dtype, TorchKind};
use ddpo_diffusion::scheduler::SchedulerKind;
use ddpo_report::evaluation::Asked;
use ddpo_rewards::RewardRuntime;
use ddpo_rewards::learned::Features;
use ddpo_rollout::reward::{AgeClasses, PixelRule, RewardExpression, RewardSettings, RewardSpec};
use ddpo_rollout::trajectory::StateDtype;
use ddpo_run::plan::{Plan, check_eta};
use ddpo_run::resume::recorded_reward;
use ddpo_run::settings as run_settings;
use tch::Device;

/// Defaults for samples and steps without a flag or a run.
const SAMPLES: u32 = 16;
const STEPS: usize = 40;

/// The settings of an evaluation.
pub struct Settings {
    /// The settings that determine the result.
    pub asked: Asked,
    /// The rewards: the first as the reward, the others as held out.
    pub rewards: RewardSettings,
    /// The specification that the run recorded, if the command changes nothing about the rewards.
    pub recorded: Option<RewardSpec>,
    /// Where the rewards run.
    pub runtime: RewardRuntime,
    /// The checkpoints, in order.
    pub checkpoints: Vec<Checkpoint>,
    /// The scheduler.
    pub scheduler: SchedulerKind,
    /// Type that states are rounded to.
    pub state_dtype: StateDtype,
    /// Where the UNet runs.
    pub device: Device,
    /// The type that the UNet runs in.
    pub dtype: Dtype,
    /// CPU threads.
    pub threads: usize,
    /// Whether averaged weights may be used.
    pub averaged: bool,
}

impl Settings {
    /// Resolves flags over the settings of the first run among the checkpoints.
    pub fn resolve(command: &EvaluateCommand) -> Result<Self> {
        let run = checkpoints::first_run(&command.checkpoints)?;
        let plan = run.clone().map(Plan::new).transpose()?;
        let rewards = rewards(command, plan.as_ref())?;
        let defaults = run_settings::Settings::default();
        let of_run = run.as_ref().unwrap_or(&defaults);
        let flag = |flag: &Option<String>, setting: &str| {
            flag.clone().unwrap_or_else(|| setting.to_owned())
        };
        let numerics = plan.as_ref().map(Plan::numerics).unwrap_or_default();
        let device = device::open(&flag(&command.device, &of_run.device), numerics)?;
        let threads = device::set_threads(command.threads.or(of_run.threads))?;
        let dtype = match &command.dtype {
            Some(text) => named("--dtype", text)?,
            None => of_run.dtype,
        };
        device::choose_norm_kernel(of_run.norm_kernel, device, dtype.kind())?;
        let reward_dtype = match &command.reward_dtype {
            Some(text) => named("--reward-dtype", text)?,
            None => of_run.reward_dtype,
        };
        let age_reward = match &command.age_reward {
            Some(text) => named("--age-reward", text)?,
            None => of_run.age_reward,
        };
        let scheduler = match &command.scheduler {
            Some(text) => named("--scheduler", text)?,
            None => of_run.scheduler,
        };
        let pixel_map = match command.pixel_map {
            Some(PixelMaps::Signed) => PixelRule::Signed,
            Some(PixelMaps::Upstream) => PixelRule::Upstream,
            None => plan.as_ref().map(|plan| plan.rewards.pixel_map).unwrap_or_default(),
        };
        let waiting = crate::reward::waiting(&command.servers);
        let runtime = RewardRuntime { device, threads, waiting };
        let (first, others) = rewards.split_first().context("expected --reward, found none")?;
        let recorded = recorded(command)?;
        let of_command = RewardSettings {
            held_out: others.to_vec(),
            model: command.reward_model.clone().or_else(|| of_run.reward_model.clone()),
            aesthetic_head: command.aesthetic_head.clone().or(of_run.aesthetic_head.clone()),
            age_reward,
            age_classes: command
                .age_classes
                .clone()
                .or_else(|| of_run.age_classes.clone())
                .unwrap_or_default(),
            dtype: reward_dtype,
            pixel_map,
            numerics,
            ..RewardSettings::new(first.clone())
        };
        // The run's own settings have the sources that its record has pins for.
        let reward_settings = match (&plan, &recorded) {
            (Some(plan), Some(_)) => plan.rewards.clone(),
            _ => of_command,
        };
        let with_run = run.is_some();
        let samples = command.num_samples.unwrap_or(match with_run {
            true => u32::try_from(of_run.num_eval_samples)?,
            false => SAMPLES,
        });
        let seed = if with_run { of_run.eval_rnd_seed } else { 0 };
        let batch = plan.as_ref().map_or(SAMPLES as usize, |plan| plan.sample_batch);
        let steps = if with_run { of_run.num_inference_steps } else { STEPS };
        let asked = Asked {
            num_inference_steps: command.num_inference_steps.unwrap_or(steps),
            scheduler: scheduler.name().into(),
            eta: etas(&command.eta, of_run.eta, scheduler)?,
            rewards: rewards.iter().map(RewardExpression::label).collect(),
            reward_settings: described(&rewards, &reward_settings),
            noise: seeds::noise(command, seed, samples)?,
            path_samples: command.path_samples,
            batch_size: command.batch_size.unwrap_or(batch),
            dtype: format!("{:?}", dtype.kind()).to_lowercase(),
            class_labels: command.class_labels.clone().or_else(|| of_run.class_labels.clone()),
            state_dtype: of_run.state_dtype,
            bootstrap_seed: command.bootstrap_seed,
            features: Features::exist(first),
        };
        Ok(Self {
            asked,
            rewards: reward_settings,
            recorded,
            runtime,
            checkpoints: checkpoints::expand(&command.checkpoints)?,
            scheduler,
            state_dtype: of_run.state_dtype,
            device,
            dtype,
            threads,
            averaged: !command.no_ema,
        })
    }
}

/// Returns the rewards of the command, or the run's reward and its held-out rewards.
fn rewards(command: &EvaluateCommand, plan: Option<&Plan>) -> Result<Vec<RewardExpression>> {
    Ok(match (command.reward.is_empty(), plan) {
        (false, _) => {
            let told =
                |error| anyhow!("--reward = {}: expected {error}", command.reward.join(", "));
            RewardExpression::list(&command.reward).map_err(told)?
        }
        (true, Some(plan)) => {
            let (reward, held_out) = (&plan.rewards.reward, plan.rewards.held_out.iter());
            let held_out = held_out.filter(|held| held.label() != reward.label());
            std::iter::once(reward).chain(held_out).cloned().collect()
        }
        (true, None) => bail!(
            "expected --reward, found none; hint: give a run folder, or a reward such as \
             --reward \"jpeg compressibility\""
        ),
    })
}

/// Returns the reward specification of the first run, whose models and files are pinned; `None` without
/// a run, or if a flag asks for other rewards.
fn recorded(command: &EvaluateCommand) -> Result<Option<RewardSpec>> {
    let is_changed = !command.reward.is_empty()
        || command.reward_model.is_some()
        || command.aesthetic_head.is_some()
        || command.age_reward.is_some()
        || command.age_classes.is_some()
        || command.reward_dtype.is_some()
        || command.pixel_map.is_some();
    match checkpoints::first_run_folder(&command.checkpoints).filter(|_| !is_changed) {
        Some(run) => Ok(recorded_reward(run)?),
        None => Ok(None),
    }
}

/// Describes everything that scores depend on besides the labels of the rewards.
fn described(rewards: &[RewardExpression], settings: &RewardSettings) -> Vec<String> {
    let unset = || "default".to_owned();
    rewards
        .iter()
        .map(ToString::to_string)
        .chain([
            format!("model = {}", settings.model.clone().unwrap_or_else(unset)),
            format!("aesthetic_head = {}", settings.aesthetic_head.clone().unwrap_or_else(unset)),
            format!("age_reward = {}", settings.age_reward),
            format!("dtype = {:?}", settings.dtype.kind()).to_lowercase(),
        ])
        // Left out by default, so that evaluations of older versions can continue.
        .chain(
            (settings.age_classes != AgeClasses::default())
                .then(|| format!("age_classes = {}", settings.age_classes)),
        )
        .chain(
            (settings.pixel_map == PixelRule::Upstream).then(|| "pixel_map = upstream".to_owned()),
        )
        .collect()
}

/// Returns the values of eta without repetitions; by default the run's and 0, for DDPM only 1.
fn etas(etas: &[f64], of_run: f64, scheduler: SchedulerKind) -> Result<Vec<f64>> {
    let defaults = match scheduler {
        SchedulerKind::Ddim => vec![of_run, 0.0],
        SchedulerKind::Ddpm => vec![1.0],
    };
    let mut found: Vec<f64> = Vec::new();
    for &eta in if etas.is_empty() { &defaults[..] } else { etas } {
        // -0 equals 0, but would get a separate folder.
        let eta = eta + 0.0;
        check_eta(scheduler, eta)?;
        if !found.contains(&eta) {
            found.push(eta);
        }
    }
    Ok(found)
}
