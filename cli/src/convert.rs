//! `ddpo convert`: between `.pth` files of alcazar90/ddpo-celebahq and diffusers folders.

use crate::arguments::ConvertCommand;
use crate::output::{self, say};
use anyhow::{Result, bail};
use ddpo_algorithm::adamw::{AdamW, AdamWConfig};
use ddpo_run::card::base::BaseModel;
use ddpo_run::card::conversion;
use ddpo_run::checkpoint::{self, Contents, RunState};
use ddpo_run::model::Model;
use ddpo_run::plan::Plan;
use ddpo_run::settings::Settings;
use ddpo_run::upstream_checkpoint::{self, Taken, TorchAdamW, UpstreamCheckpoint};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// torch's default, for when the learning rate of the last step is unknown.
const DEFAULT_RATE: f64 = 1e-3;

/// Runs the command; the type of the input selects the direction.
pub fn run(command: &ConvertCommand) -> Result<()> {
    let input = Path::new(&command.input);
    match (input.is_file(), &command.ddpm_ckpt) {
        (true, Some(base)) => to_folder(input, base, &command.out),
        (true, None) => bail!(
            "{}: expected --ddpm-ckpt with the base model of the finetuning, whose configs a .pth \
             lacks, found none; hint: add --ddpm-ckpt",
            input.display()
        ),
        (false, None) => to_file(&command.input, command.ema, &command.out),
        (false, Some(_)) => bail!(
            "--ddpm-ckpt: {} is not a file, and a checkpoint contains its configs; hint: leave the \
             flag out",
            input.display()
        ),
    }
}

/// Converts a `.pth` file to a checkpoint folder.
fn to_folder(input: &Path, base: &str, out: &Path) -> Result<()> {
    output::check(out, output::PIPELINE)?;
    let model = Model::open(base, &mut output::aside)?;
    let unet = model.load(Kind::Float, Device::Cpu)?;
    let parameters = unet.parameters().entries();
    let moments = AdamW::new(AdamWConfig::default(), parameters).state(parameters);
    let taken = upstream_checkpoint::load(input, parameters, &moments)?;
    let name = input.file_name().unwrap_or(input.as_os_str()).to_string_lossy();
    let state = taken.optimizer_steps.map(|steps| state(&name, &taken, steps));
    let classes = model.classes(None)?;
    let card = conversion::card(&BaseModel::of(&model), &name, taken.best_reward, classes);
    let contents = Contents {
        unet_config: model.unet_text(),
        scheduler_config: model.scheduler_text(),
        parameters,
        average: None,
        run: state.as_ref().map(|state| (&moments[..], state)),
        card: &card,
    };
    checkpoint::write(out, &contents)?;
    tell_folder(&taken, base, out);
    Ok(())
}

/// Returns the state of a new run that starts with the file's optimizer.
fn state(file: &str, taken: &Taken, optimizer_step: u64) -> RunState {
    RunState {
        epoch: taken.epoch.unwrap_or_default(),
        policy_version: Default::default(),
        optimizer_step,
        schedule_step: 0,
        rewards_seen: Default::default(),
        class_rewards_seen: Default::default(),
        terms_seen: Default::default(),
        class_terms_seen: Default::default(),
        advantage_std: None,
        kl_coef: None,
        best_reward: taken.best_reward,
        first_diversity: None,
        trained_samples: Vec::new(),
        settings: serde_json::json!({ "converted_from": file }),
    }
}

fn tell_folder(taken: &Taken, base: &str, out: &Path) {
    let best = taken.best_reward;
    let shown = best.map_or_else(|| "no best reward".into(), |best| format!("best reward {best}"));
    let optimizer = match taken.optimizer_steps {
        Some(steps) => format!("AdamW after {steps} steps"),
        None => "no optimizer".into(),
    };
    say(&format!("weights, {optimizer} and {shown} in {}", out.display()));
    let manual = best.filter(|_| taken.optimizer_steps.is_none());
    let manual = manual.map_or(String::new(), |best| format!(" --manual-best-reward {best}"));
    say(&format!(
        "to continue: ddpo train --ddpm-ckpt {base} --resume-from-ckpt {}{manual}",
        out.display()
    ));
}

/// Converts a checkpoint to a `.pth` file.
fn to_file(input: &str, ema: bool, out: &Path) -> Result<()> {
    let endings = ["pth", "pt", "bin"];
    if !endings.iter().any(|ending| out.extension().is_some_and(|found| found == *ending)) {
        bail!("--out = {}: expected the name of a .pth file for a checkpoint", out.display());
    }
    if out.is_dir() {
        bail!("--out = {}: expected a file, found a folder", out.display());
    }
    let model = Model::open(input, &mut output::aside)?;
    let unet = match ema {
        true => model.load_averaged(Kind::Float, Device::Cpu)?,
        false => model.load(Kind::Float, Device::Cpu)?,
    };
    let parameters = unet.parameters().entries();
    // The moments belong to the trained weights, not to their average.
    let optimizer = match ema {
        true => None,
        false => optimizer(model.root(), parameters)?,
    };
    let best_reward = match checkpoint::has_state(model.root()) {
        true => checkpoint::read_state(model.root())?.best_reward,
        false => None,
    };
    let adamw = optimizer.as_ref().map(|(moments, state)| TorchAdamW {
        moments,
        steps: state.optimizer_step,
        config: config(state),
        rate: rate(state).unwrap_or(DEFAULT_RATE),
    });
    let told = match &adamw {
        Some(adamw) => format!("weights and AdamW after {} steps", adamw.steps),
        None => "weights".into(),
    };
    upstream_checkpoint::write(
        out,
        &UpstreamCheckpoint { parameters, optimizer: adamw, best_reward },
    )?;
    say(&format!("{told} in {}", out.display()));
    Ok(())
}

type Moments = Vec<(String, Tensor)>;

/// Returns the optimizer of a checkpoint that has one.
fn optimizer(root: &Path, parameters: &[(String, Tensor)]) -> Result<Option<(Moments, RunState)>> {
    if !checkpoint::has_state(root) {
        return Ok(None);
    }
    let moments = AdamW::new(AdamWConfig::default(), parameters).state(parameters);
    checkpoint::load_moments(root, &moments)?;
    Ok(Some((moments, checkpoint::read_state(root)?)))
}

/// Returns the settings that a run's checkpoint records.
fn settings(state: &RunState) -> Option<Settings> {
    serde_json::from_value(state.settings.clone()).ok()
}

fn config(state: &RunState) -> AdamWConfig {
    let mut config = AdamWConfig::default();
    if let Some(settings) = settings(state) {
        config.weight_decay = settings.weight_decay;
    }
    config
}

/// Returns the learning rate of the last step.
fn rate(state: &RunState) -> Option<f64> {
    let plan = Plan::new(settings(state)?).ok()?;
    let (epochs, samples) = (plan.settings.num_epochs, plan.settings.num_samples_per_epoch);
    Some(plan.learning_rate(epochs, samples).at(state.schedule_step.saturating_sub(1)))
}
