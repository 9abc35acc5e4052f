//! The lines that a run tells.

use crate::plan::Plan;
use crate::run::evaluation::Evaluations;
use crate::run::folder::RunFolder;
use crate::run::metrics::EpochMetrics;

/// What is about to run.
#[must_use]
pub fn opening(plan: &Plan, folder: &RunFolder, epoch: u32) -> String {
    let settings = &plan.settings;
    let from = if epoch == 0 { String::new() } else { format!(" from epoch {epoch} on") };
    let mut text = format!(
        "finetuning {} for \"{}\"{from}: {} epochs of {} samples, {} steps each, in {}",
        settings.ddpm_ckpt,
        settings.task,
        settings.num_epochs,
        settings.num_samples_per_epoch,
        settings.num_inference_steps,
        folder.root().display()
    );
    if settings.wandb_logging {
        text += "\nwandb_logging: logging to Weights & Biases comes later; metrics.jsonl has every number";
    }
    text
}

/// One epoch.
#[must_use]
pub fn epoch_line(metrics: &EpochMetrics, epochs: u32) -> String {
    let EpochMetrics { rewards, update, seconds, .. } = metrics;
    let eval = metrics.eval_reward_mean.map_or(String::new(), |mean| format!(", eval {mean:.4}"));
    format!(
        "epoch {}/{epochs}: reward {:.4} +- {:.4}{eval}, loss {:.2e}, clipped {:.0} %, gap {:.1e}, \
         lr {:.2e}, {:.1} + {:.1} s",
        metrics.epoch,
        rewards.reward_mean,
        rewards.reward_std,
        update.loss,
        update.clip_fraction * 100.0,
        update.ratio_gap_max,
        update.lr,
        seconds.seconds_sampling,
        seconds.seconds_training,
    )
}

/// What came of it, and the files to look at. `flat` gives the reward of a flat grey image, as a
/// floor to compare with, where there is one.
#[must_use]
pub fn closing(
    plan: &Plan,
    folder: &RunFolder,
    evaluations: &Evaluations,
    epoch: u32,
    flat: impl FnOnce() -> Option<f64>,
) -> String {
    let mut text = String::new();
    if let Some((first, last)) = evaluations.ends().filter(|(first, last)| first != last) {
        let (before, after) = (first.rewards.reward_mean, last.rewards.reward_mean);
        let samples = plan.settings.num_eval_samples;
        text += &format!("evaluation reward over {samples} fixed seeds: {before:.4} -> {after:.4}");
        if let Some(flat) = flat() {
            let share = (before - after) / (before - flat) * 100.0;
            text += &format!(
                "; of the part that lies above a flat grey image ({:.3} kB), {share:.0} % is gone",
                flat.abs()
            );
        }
        let show = |epoch| folder.eval(epoch, "png").display().to_string();
        text += &format!("\nlook at  {}  and  {}", show(first.epoch), show(last.epoch));
    }
    text += &format!("\nmetrics  {}", folder.metrics().display());
    text += &format!("\nweights  {}", folder.checkpoint(epoch).display());
    if folder.best().is_dir() {
        text += &format!("  (best: {})", folder.best().display());
    }
    text.trim_start().to_owned()
}

/// How to go on, with the command that began it.
#[must_use]
pub fn interrupted(folder: &RunFolder, epoch: u32, command: &str) -> String {
    let root = folder.root().display();
    format!("stopped after epoch {epoch}; go on with: {command} --resume --output-dir {root}")
}
