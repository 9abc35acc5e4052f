//! `ddpo train`: determines the run (new, resumed or dry) and starts it.

use crate::arguments::TrainCommand;
use crate::output::show;
use crate::train::{InProcess, Page, ProgressLayer, Terminal};
use crate::{interrupt, parent, reward};
use anyhow::Result;
use ddpo_algorithm::config::InvalidSetting;
use ddpo_rewards::{RewardError, Rewards, resolve};
use ddpo_rollout::causes::one_line;
use ddpo_rollout::reward::RewardSpec;
use ddpo_run::folder::RunFolder;
use ddpo_run::host::{Host, Outcome};
use ddpo_run::open::OpenRun;
use ddpo_run::plan::Plan;
use ddpo_run::progress::Progress;
use ddpo_run::resume::{reward_spec, settings_of_run};
use ddpo_run::settings::{self, Settings};
use ddpo_run::settle::settle;
use ddpo_run::watched::{Watched, tell_end};
use ddpo_service::device::DeviceWork;
use ddpo_settings::environment::variables;
use std::process::ExitCode;

/// The update, as messages about device failures name it.
const TRAINING: DeviceWork = DeviceWork {
    name: "training",
    less_memory: "free memory on the device and resume, or start a new run with a smaller \
                  micro_batch_size or dtype = \"bf16\"",
};

/// Runs the command. `layer` sees the run's progress.
pub fn run(command: &TrainCommand, layer: ProgressLayer) -> Result<ExitCode> {
    command.parent.map_or(Ok(()), parent::end_with)?;
    let file = command.config.as_deref();
    let asked = settings::resolve(file, variables(), &command.settings)?;
    let settings = match command.resume {
        true => settings_of_run(&asked)?,
        false => asked.settings,
    };
    let plan = Plan::new(settings)?;
    if command.dry_run {
        show(&toml::to_string(&plan.settings)?);
        return Ok(ExitCode::SUCCESS);
    }
    check_staleness(&plan.settings)?;
    let plan = settle(plan, &mut crate::output::aside)?;
    // Opens the reward before anything is loaded or written, so that its errors come first.
    let spec = reward_spec(&plan, command.resume, |settings| {
        anyhow::Ok(resolve(settings, &mut crate::output::aside)?)
    })?;
    let Settings { device, threads, .. } = &plan.settings;
    let runtime = reward::runtime(device, *threads, plan.numerics(), &command.servers)?;
    let rewards = Rewards::open(&spec, &runtime, &mut crate::output::aside)?;
    interrupt::install()?;
    let folder = match command.resume {
        true => RunFolder::existing(&plan.folder()),
        false => RunFolder::new(&plan.folder())?,
    };
    let page =
        command.dashboard.map(|listen| Page::serve(listen, folder.root().into())).transpose()?;
    let told = layer(Box::new(Terminal::new()));
    let trained = TRAINING.run(|| train(&plan, (&spec, rewards), &folder, page.as_ref(), &*told));
    match trained {
        Ok(Outcome::Finished) => Ok(ExitCode::SUCCESS),
        Ok(Outcome::Interrupted) => Ok(ExitCode::from(interrupt::STATUS)),
        Err(error) if is_interrupted(&error) => {
            let told = one_line(error.as_ref());
            crate::output::aside(&format!("{told}; --resume repeats the epoch"));
            Ok(ExitCode::from(interrupt::STATUS))
        }
        Err(error) => Err(error),
    }
}

/// Checks settings as far as that is possible without the model and the reward model.
///
/// # Errors
/// The first invalid setting.
pub fn checked(settings: Settings) -> Result<Plan, InvalidSetting> {
    let plan = Plan::new(settings)?;
    check_staleness(&plan.settings)?;
    Ok(plan)
}

/// Returns whether an interrupt ended an evaluation that waited for a reward server.
fn is_interrupted(error: &anyhow::Error) -> bool {
    let called_off = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref().is_some_and(RewardError::is_called_off)
    };
    interrupt::requested() && error.chain().any(called_off)
}

/// Checks that max_staleness is 0: in one process, sampling and training alternate.
fn check_staleness(settings: &Settings) -> Result<(), InvalidSetting> {
    let expected = "0, because one process samples and trains in turn; hint: to sample ahead, use \
                    the services ddpo-sampler, ddpo-rewarder and ddpo-learner";
    match settings.max_staleness {
        0 => Ok(()),
        found => Err(InvalidSetting::new("max_staleness", expected, found)),
    }
}

fn train(
    plan: &Plan,
    (spec, rewards): (&RewardSpec, Rewards),
    folder: &RunFolder,
    page: Option<&Page>,
    told: &dyn Progress,
) -> Result<Outcome> {
    let live = page.map(|page| &page.live);
    let progress = Watched { inner: told, live };
    if let Some(page) = page {
        progress.say(&format!("live page: {}", page.address));
    }
    let open = OpenRun::open(plan, spec, folder, &progress)?;
    let rollouts = InProcess::new(plan, rewards, &open)?;
    let mut rollouts = rollouts.shown_on(page.map(|page| page.board.clone()));
    let host = Host { progress: &progress, stop: &interrupt::requested, command: "ddpo train" };
    let outcome = ddpo_run::train::train(open, &mut rollouts, &host);
    tell_end(live, &outcome);
    Ok(outcome?)
}
