//! Resolves an evaluation's settings from flags and from the run.

use crate::arguments::EvaluateCommand;
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
use ddpo_rollout::reward::{RewardExpression, RewardSettings};
use ddpo_run::plan::Plan;
use ddpo_run::settings as run_settings;
use tch::{Device, Kind};

/// Defaults for samples and steps without a flag or a run.
const SAMPLES: u32 = 16;
const STEPS: usize = 40;

/// The settings of an evaluation.
pub struct Settings {
    /// The settings that determine the result.
    pub asked: Asked,
    /// The rewards: the first as the reward, the others as held out.
    pub rewards: RewardSettings,
    /// Where the rewards run.
    pub runtime: RewardRuntime,
    /// The checkpoints, in order.
    pub checkpoints: Vec<Checkpoint>,
    /// The scheduler.
    pub scheduler: SchedulerKind,
    /// Where the UNet runs.
    pub device: Device,
    /// The type that the UNet runs in.
    pub kind: Kind,
    /// CPU threads.
    pub threads: usize,
    /// Whether to use averaged weights where a checkpoint has them.
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
        let dtype = kind("--dtype", command.dtype.as_deref(), plan.as_ref().map(Plan::kind))?;
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
        let runtime = RewardRuntime { device, threads, waiting: crate::reward::waiting() };
        let (first, others) = rewards.split_first().context("expected --reward, found none")?;
        let reward_settings = RewardSettings {
            held_out: others.to_vec(),
            model: command.reward_model.clone().or_else(|| of_run.reward_model.clone()),
            aesthetic_head: command.aesthetic_head.clone().or(of_run.aesthetic_head.clone()),
            age_reward,
            dtype: reward_dtype,
            numerics,
            ..RewardSettings::new(first.clone())
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
            eta: etas(&command.eta)?,
            rewards: rewards.iter().map(RewardExpression::label).collect(),
            reward_settings: described(&rewards, &reward_settings),
            noise: seeds::noise(command, seed, samples)?,
            path_samples: command.path_samples,
            batch_size: command.batch_size.unwrap_or(batch),
            dtype: format!("{dtype:?}").to_lowercase(),
            bootstrap_seed: command.bootstrap_seed,
            features: Features::exist(first),
        };
        if asked.batch_size == 0 {
            bail!("--batch-size = 0: expected at least 1");
        }
        Ok(Self {
            asked,
            rewards: reward_settings,
            runtime,
            checkpoints: checkpoints::expand(&command.checkpoints)?,
            scheduler,
            device,
            kind: dtype,
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
        .collect()
}

fn etas(etas: &[f64]) -> Result<Vec<f64>> {
    let mut found: Vec<f64> = Vec::new();
    for &eta in etas {
        // -0 equals 0, but would get a separate folder.
        let eta = eta + 0.0;
        if !(0.0..=1.0).contains(&eta) {
            bail!("--eta = {eta}: expected 0 to 1");
        }
        if !found.contains(&eta) {
            found.push(eta);
        }
    }
    match found.is_empty() {
        true => bail!("--eta: expected at least one"),
        false => Ok(found),
    }
}

fn kind(flag: &str, text: Option<&str>, of_run: Option<Kind>) -> Result<Kind> {
    match text {
        None => Ok(of_run.unwrap_or(Kind::Float)),
        Some(text) => named::<Dtype>(flag, text).map(Dtype::kind),
    }
}
