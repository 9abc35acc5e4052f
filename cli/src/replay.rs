//! `ddpo replay`: runs one epoch of updates on a recorded batch, without sampling.

use crate::arguments::ReplayCommand;
use crate::output::say;
use anyhow::{Result, bail};
use ddpo_algorithm::report::UpdateReport;
use ddpo_diffusion::device;
use ddpo_files::write_file;
use ddpo_run::batch_file::BatchFile;
use ddpo_run::card::base::BaseModel;
use ddpo_run::card::finetuning::{Command, Finetuning};
use ddpo_run::checkpoint::{self, RunState};
use ddpo_run::model::Model;
use ddpo_run::model_card::ModelCard;
use ddpo_run::open::new_learner;
use ddpo_run::paths::without_paths;
use ddpo_run::plan::Plan;
use ddpo_run::settings;
use ddpo_settings::environment::variables;

/// Runs the command.
pub fn run(command: &ReplayCommand) -> Result<()> {
    crate::output::check(&command.out, crate::output::PIPELINE)?;
    let resolved = settings::resolve(None, variables(), &command.settings)?;
    let mut settings = resolved.settings;
    let batch = BatchFile::open(&command.batch)?;
    let samples = batch.rewards().len();
    settings.num_samples_per_epoch = samples;
    settings.num_inference_steps = batch.steps();
    settings.num_epochs = 1;
    let plan = Plan::new(settings)?;
    let device = device::open(&plan.settings.device, plan.numerics())?;
    let threads = device::set_threads(plan.settings.threads)?;
    let model = Model::open(&plan.settings.ddpm_ckpt, &mut crate::output::aside)?;
    if batch.shape() != model.shape {
        let (found, expected) = (batch.shape(), model.shape);
        bail!(
            "batch file {}: found states of {}, expected {} as in the model",
            command.batch.display(),
            sides(found),
            sides(expected)
        );
    }
    let mut learner = new_learner(&plan, &model, device, threads)?;
    let digest = learner.policy().master().parameters().digest();
    let (transitions, seed) = (learner.transitions(), plan.settings.run_seed);
    batch.check_classes(model.classes(plan.settings.class_labels.as_ref())?.as_ref(), seed)?;
    let trajectories = batch.trajectories(transitions, learner.chain(), seed, digest)?;
    let report = learner.update(&trajectories, &mut |_, _| {})?;
    let settings = serde_json::to_value(&plan.settings)?;
    let state = RunState::of(&learner, 1, samples, settings);
    let card = card(&plan, &model);
    checkpoint::save(&command.out, &learner, model.scheduler_text(), &state, &card)?;
    let text = serde_json::to_string_pretty(&report)? + "\n";
    write_file(&command.out.join("metrics.json"), text.as_bytes())?;
    print_report(&report, &command.out.display().to_string());
    Ok(())
}

fn card(plan: &Plan, model: &Model) -> ModelCard {
    let finetuning = Finetuning {
        base: &BaseModel::of(model),
        settings: &without_paths(&plan.settings),
        reward: &plan.rewards.reward,
        held_out: &plan.rewards.held_out,
        shape: model.shape,
        classes: model.config().num_class_embeds,
        epoch: 1,
        command: Command::Replay,
        comparison: None,
    };
    finetuning.card()
}

fn sides(shape: ddpo_rollout::trajectory::StateShape) -> String {
    format!("{}x{}x{}", shape.channels, shape.height, shape.width)
}

fn print_report(report: &UpdateReport, folder: &str) {
    say(&format!(
        "{} optimizer steps on {} pairs: loss {:.6}, ratio gap {:.2e}, clipped {:.1} %, grad norm {:.4}",
        report.optimizer_steps,
        report.pairs,
        report.loss,
        report.ratio_gap_max,
        report.clip_fraction * 100.0,
        report.grad_norm
    ));
    say(&format!("updated checkpoint and metrics.json in {folder}"));
}
