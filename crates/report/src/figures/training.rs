//! Reward and updates over the epochs of training.

use crate::figures::figure::{Figure, HALF, WHOLE, over_epochs, point};
use crate::number::number;
use crate::plot::ink::Ink;
use crate::plot::lines::{Mark, Point, Series};
use crate::run::{Epoch, Run};

/// A curve: its name, colour and metric.
type Curve = (&'static str, Ink, Value);

/// Reads a metric of an epoch.
type Value = fn(&Epoch) -> Option<f64>;

/// Draws the reward of the training samples, with its spread, and of the evaluations.
pub fn reward(run: &Run) -> Figure {
    let reward_point = |epoch: u32, label: &str, mean: f64, std: f64| Point {
        x: f64::from(epoch),
        y: mean,
        spread: std,
        hint: format!("{label} {} ± {}", number(mean), number(std)),
    };
    let training = run.epochs.iter().map(|line| {
        let label = format!("epoch {}\ntraining reward", line.epoch);
        reward_point(line.epoch, &label, line.reward_mean, line.reward_std)
    });
    let evaluations = run.evaluations.iter().map(|line| {
        let label = format!("after epoch {}\nevaluation reward", line.epoch);
        reward_point(line.epoch, &label, line.reward_mean, line.reward_std)
    });
    let mut series = vec![Series {
        name: "training samples, mean ± standard deviation".into(),
        ink: Ink::First,
        mark: Mark::Line,
        points: training.collect(),
    }];
    if !run.evaluations.is_empty() {
        series.push(Series {
            name: "evaluation on fixed seeds".into(),
            ink: Ink::Second,
            mark: Mark::Dots,
            points: evaluations.collect(),
        });
    }
    let lines = over_epochs("Reward", &format!("reward ({})", run.reward_unit()), false, series);
    let caption = "The training samples of an epoch are drawn before its update. All evaluations \
                   use the same noise.";
    Figure::of_lines("reward", caption, &lines, WHOLE)
}

/// Draws the metrics of the optimizer, and the time of each stage.
pub fn training(run: &Run) -> Vec<Figure> {
    let per = if run.setting("log_prob") == "sum" { "transition" } else { "dimension" };
    let stages: [Curve; 3] = [
        ("sampling", Ink::First, |line| Some(line.seconds_sampling)),
        ("scoring", Ink::Second, |line| Some(line.seconds_scoring)),
        ("updating", Ink::Third, |line| Some(line.seconds_training)),
    ];
    let curve = |name, value: Value| [(name, Ink::First, value)];
    let mut figures = vec![curves(
        run,
        (
            "loss",
            "Loss",
            "loss",
            "Mean over (sample, step) pairs. Because advantages have mean zero, it says little by itself.",
        ),
        &curve("loss", |line| Some(line.loss)),
        false,
    )];
    figures.extend(terms(run));
    figures.extend([
        curves(
            run,
            ("update-kl", "Divergence of one epoch's updates", &format!("nats per {per}"), "Estimate (r \u{2212} 1) \u{2212} ln r of the policy against the one that sampled."),
            &curve("update", |line| Some(line.approx_kl)),
            true,
        ),
        curves(
            run,
            ("clip-fraction", "Clipped ratios", "share of pairs, %", "Pairs whose probability ratio is outside the clip range: moving it further out does not change the loss."),
            &curve("clipped", |line| Some(line.clip_fraction * 100.0)),
            true,
        ),
        curves(
            run,
            ("gradient", "Gradient norm", "norm before the clip", "Mean over the epoch's optimizer steps."),
            &curve("norm", |line| Some(line.grad_norm)),
            true,
        ),
        curves(
            run,
            ("learning-rate", "Learning rate", "rate of the epoch's last step", ""),
            &curve("rate", |line| Some(line.lr)),
            true,
        ),
        curves(
            run,
            ("time", "Time by stage", "seconds per epoch", "Scoring overlaps with sampling where possible, so the stages do not add up to the epoch."),
            &stages,
            true,
        ),
    ]);
    figures
}

/// Draws the terms of the loss besides the reward, where the run has them.
fn terms(run: &Run) -> Vec<Figure> {
    let all: [(Described, &'static str, Value); 4] = [
        (
            (
                "kl",
                "Divergence from the pretrained model",
                "nats per transition",
                "Exact KL divergence of the policy's transitions from the pretrained model's: the mean over an epoch's updates, each pair being measured before the optimizer step that it contributes to.",
            ),
            "divergence",
            |line| line.kl_to_pretrained_nats,
        ),
        (
            (
                "diversity-kept",
                "Diversity kept",
                "share of the first evaluation's",
                "Excess of the Vendi score over 1, the lower of pixels and contrast-normalised pixels.",
            ),
            "kept",
            |line| line.diversity_kept,
        ),
        (
            (
                "diversity-term",
                "Diversity term",
                "standard deviation",
                "Standard deviation over an epoch's samples of what diversity_coef subtracts from their advantages. That of the reward's part is about 1.",
            ),
            "term",
            |line| line.diversity_std,
        ),
        (
            (
                "anchor-error",
                "Error on anchors",
                "mean squared error",
                "Diffusion loss on samples of the pretrained model: the term that anchor_coef weights.",
            ),
            "error",
            |line| line.anchor_error,
        ),
    ];
    let measured =
        all.into_iter().filter(|(_, _, value)| run.epochs.iter().any(|line| value(line).is_some()));
    measured
        .map(|(described, name, value)| {
            curves(run, described, &[(name, Ink::First, value)], described.0 == "kl")
        })
        .collect()
}

/// Name, heading, label of the y axis and caption of a figure.
type Described = (&'static str, &'static str, &'static str, &'static str);

fn curves(
    run: &Run,
    (name, heading, y_label, caption): (&'static str, &str, &str, &str),
    curves: &[Curve],
    from_zero: bool,
) -> Figure {
    let series = curves.iter().map(|(name, ink, value)| {
        let points = run.epochs.iter().filter_map(|line| {
            let y = value(line)?;
            let hint = format!("epoch {}\n{name} {}", line.epoch, number(y));
            Some(point(f64::from(line.epoch), y, hint))
        });
        Series { name: (*name).to_owned(), ink: *ink, mark: Mark::Line, points: points.collect() }
    });
    let lines = over_epochs(heading, y_label, from_zero, series.collect());
    Figure::of_lines(name, caption, &lines, HALF)
}
