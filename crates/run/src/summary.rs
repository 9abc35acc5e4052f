//! The lines that a run prints.

use crate::evaluation::{Evaluation, Evaluations};
use crate::folder::RunFolder;
use crate::metrics::{Components, EpochMetrics};
use crate::plan::Plan;
use crate::settings::default_clip_ratio;
use crate::shares;
use crate::signal::NoSignal;
use ddpo_algorithm::config::{AdvantageScope, Objective, TrustRegion};
use ddpo_rollout::classes::ClassList;
use ddpo_rollout::reward::{RewardExpression, Term};

/// Returns the first line of a run.
pub fn opening(plan: &Plan, folder: &RunFolder, epoch: u32) -> String {
    let settings = &plan.settings;
    let from = if epoch == 0 { String::new() } else { format!(" from epoch {epoch} on") };
    format!(
        "finetuning {} for \"{}\"{from}: {} epochs of {} samples, {} steps each, in {}",
        settings.ddpm_ckpt,
        plan.rewards.reward,
        settings.num_epochs,
        settings.num_samples_per_epoch,
        settings.num_inference_steps,
        folder.root().display()
    )
}

/// Returns the line of one epoch, with the terms of a sum and held-out rewards in parentheses.
pub fn epoch_line(metrics: &EpochMetrics, plan: &Plan) -> String {
    let EpochMetrics { rewards, update, seconds, .. } = metrics;
    let labels = plan.rewards.reward.terms().iter().map(Term::label);
    let terms = means(&metrics.components, labels.map(|label| (label.clone(), label)));
    let held_out = means(&metrics.eval_components, held_out(plan));
    let eval = metrics.eval_reward_mean;
    let kept = metrics.diversity_kept;
    let kept = kept
        .map_or(String::new(), |kept| format!(", keeps {:.0} % of the diversity", kept * 100.0));
    let eval = eval.map_or(String::new(), |mean| format!(", eval {mean:.4}{held_out}{kept}"));
    format!(
        "epoch {}/{}: reward {:.4} +- {:.4}{terms}{eval}, loss {:.2e}, clipped {:.0} %, \
         gap {:.1e}, lr {:.2e}, {:.1} + {:.1} s",
        metrics.epoch,
        plan.settings.num_epochs,
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

/// The share of pairs outside the clip after one optimizer step, above which a run warns.
const MOST: f64 = 0.5;

/// The expected share of samples that are the only one of their class, above which a run warns.
const MOST_ALONE: f64 = 0.5;

/// Returns the warning that most samples will be the only one of their class, so that their advantage is 0.
pub fn class_warning(plan: &Plan, classes: &ClassList) -> Option<String> {
    let (among, samples) = match plan.learner.advantage {
        AdvantageScope::Epoch | AdvantageScope::Fixed => {
            ("num_samples_per_epoch", plan.settings.num_samples_per_epoch)
        }
        AdvantageScope::Batch => ("batch_size", plan.settings.batch_size),
        // Compares a sample with those of earlier epochs too.
        AdvantageScope::Running => return None,
    };
    let count = classes.labels().len();
    let alone = (1.0 - 1.0 / count as f64).powf(samples as f64 - 1.0);
    (alone > MOST_ALONE).then(|| {
        let percent = alone * 100.0;
        format!(
            "warning: with {among} = {samples} and {count} classes, about {percent:.0} % of samples are the \
             only one of their class and have the advantage 0; hint: raise {among}, list fewer \
             class_labels, or set advantage = running"
        )
    })
}

/// Returns the warning that most pairs of the second optimizer step were already outside the clip of
/// the ratio, if they were. Only the first epoch can show a clip that is too narrow from the start. With
/// [`TrustRegion::Kl`] the share counts only pairs that move outwards, about half of all, so it is never
/// most of them.
pub fn clip_warning(metrics: &EpochMetrics, plan: &Plan) -> Option<String> {
    let share = metrics.update.first_clip_fraction.filter(|share| *share > MOST)?;
    let learner = &plan.learner;
    if metrics.epoch != 1 || learner.trust_region != TrustRegion::Clip {
        return None;
    }
    let (percent, clip) = (share * 100.0, learner.clip_ratio);
    let (unit, hint) = match learner.objective {
        // Its ratio is one of denoising errors.
        Objective::Forward => (String::new(), String::new()),
        _ => {
            let (unit, default) =
                (plan.settings.log_prob.name(), default_clip_ratio(plan.settings.log_prob));
            let hint = format!(" (its default with log_prob = {unit} is {default})");
            (format!(" with log_prob = {unit}"), hint)
        }
    };
    Some(format!(
        "warning: {percent:.0} % of pairs were outside clip_ratio = {clip}{unit} after the first \
         optimizer step (first_clip_fraction); outside, a pair cannot move the policy further away; \
         hint: raise clip_ratio{hint}, or lower initial_lr and peak_lr"
    ))
}

/// Returns the warning about the causes that apply to `metrics` and did not apply to `previous`, if any.
pub fn signal_warning(metrics: &EpochMetrics, previous: Option<&EpochMetrics>) -> Option<String> {
    let known = previous.map_or(&[][..], |previous| &previous.no_signal);
    let new = metrics.no_signal.iter().filter(|cause| !known.contains(cause));
    let said: Vec<String> = new.map(|cause| said(*cause, metrics)).collect();
    let epoch = metrics.epoch;
    (!said.is_empty()).then(|| {
        format!("warning: epoch {epoch} taught little or nothing (no_signal): {}", said.join("; "))
    })
}

fn said(cause: NoSignal, metrics: &EpochMetrics) -> String {
    match cause {
        NoSignal::ConstantReward => format!(
            "the reward of every sample is {}; hint: check the reward, or draw more samples",
            metrics.rewards.reward_min
        ),
        NoSignal::ZeroGradient => {
            "the gradient is zero; hint: check clip_ratio and the learning rates".into()
        }
        NoSignal::EqualSamples => {
            "all samples are the same image; hint: use eta > 0, or an earlier checkpoint".into()
        }
        NoSignal::SaturatedSamples => format!(
            "{:.0} % of the pixel levels are 0 or 255; hint: lower the learning rates, or start from \
             an earlier checkpoint",
            metrics.spread.saturated_fraction.unwrap_or_default() * 100.0
        ),
    }
}

/// Returns the held-out rewards as (component, label).
fn held_out(plan: &Plan) -> impl Iterator<Item = (String, String)> {
    let named = |reward: &RewardExpression| (reward.held_out_name(), reward.label());
    plan.rewards.held_out.iter().map(named)
}

/// Formats the means of the named components in parentheses; skips missing ones.
fn means(components: &Components, names: impl Iterator<Item = (String, String)>) -> String {
    let mean = |(name, shown): (String, String)| {
        components.get(&name).map(|found| format!("{shown} {:.4}", found.mean))
    };
    let found: Vec<String> = names.filter_map(mean).collect();
    match found.is_empty() {
        true => String::new(),
        false => format!(" ({})", found.join(", ")),
    }
}

/// Returns the closing lines: results and paths. `flat` returns the reward of a flat grey image, an
/// upper bound to compare with.
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
                "; removed {share:.0} % of the size above that of a flat grey image ({:.3} kB)",
                flat.abs()
            );
        }
        for (name, shown) in held_out(plan) {
            let mean = |evaluation: &Evaluation| evaluation.components.get(&name).map(|it| it.mean);
            if let (Some(before), Some(after)) = (mean(first), mean(last)) {
                text += &format!("\nheld out: {shown}: {before:.4} -> {after:.4}");
            }
        }
        text += &shares::lines(&first.components, &last.components);
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

/// Returns the checkpoint to use after a guard has ended a run with the epochs `lines`, as a hint.
pub fn checkpoint_to_use(plan: &Plan, folder: &RunFolder, lines: &[EpochMetrics]) -> String {
    let evaluated = |line: &EpochMetrics| {
        let kept = line
            .diversity_kept
            .map(|kept| format!(" and {:.0} % of the diversity before training", kept * 100.0));
        let (epoch, mean) = (line.epoch, line.eval_reward_mean.unwrap_or_default());
        let kept = kept.unwrap_or_default();
        format!("from epoch {epoch}, with the evaluation reward {mean:.4}{kept}")
    };
    let best = lines.iter().rev().find(|line| line.is_best).filter(|_| folder.best().is_dir());
    if let Some(line) = best {
        return format!("use {} ({})", folder.best().display(), evaluated(line));
    }
    let is_within = |line: &&EpochMetrics| {
        let kl = line.update.kl_to_pretrained_nats;
        plan.guards.divergence(line.epoch, kl).is_none() && plan.guards.refusal(line).is_none()
    };
    let exists = |line: &&EpochMetrics| folder.checkpoint(line.epoch).is_dir();
    let is_evaluated = plan.settings.eval_every_each_epoch.is_some();
    match lines.iter().rev().filter(|_| !is_evaluated).filter(is_within).find(exists) {
        Some(line) => format!("use {}", folder.checkpoint(line.epoch).display()),
        None if is_evaluated => "no checkpoint became the best".into(),
        None => "no checkpoint is within the limits".into(),
    }
}

/// Returns the line of an interrupted run, with the command that resumes it.
pub fn interrupted(folder: &RunFolder, epoch: u32, command: &str) -> String {
    let root = folder.root().display();
    format!("stopped after epoch {epoch}; resume with: {command} --resume --output-dir {root}")
}
