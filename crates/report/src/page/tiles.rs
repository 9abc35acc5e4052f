//! The main results in four numbers.

use crate::analysis::Analysis;
use crate::diversity::Verdict;
use crate::number::{number, signed};
use crate::run::{Epoch, Run};
use askama::Template;

/// The row of numbers.
#[derive(Template)]
#[template(path = "tiles.html")]
pub struct Tiles {
    tiles: [Tile; 4],
}

struct Tile {
    name: String,
    figure: String,
    class: &'static str,
    note: String,
}

impl Tiles {
    /// Collects the numbers.
    pub fn of(run: &Run, analysis: &Analysis) -> Self {
        Self { tiles: [reward(run, analysis), drift(analysis), diversity(analysis), time(run)] }
    }
}

fn tile(name: &str, figure: String, note: impl Into<String>) -> Tile {
    Tile { name: name.to_owned(), figure, class: "", note: note.into() }
}

fn arrow(before: f64, after: f64) -> String {
    format!("{} \u{2192} {}", number(before), number(after))
}

fn reward(run: &Run, analysis: &Analysis) -> Tile {
    let name = format!("Mean reward ({})", run.reward_unit());
    let evaluated = analysis.rewards.first().and_then(|line| {
        Some((line.checkpoints.first()?, line.checkpoints.last()?, line.difference?))
    });
    if let Some((before, after, difference)) = evaluated {
        let note = format!(
            "{} (95 % interval {} to {}) over {} fixed seeds",
            signed(difference.mean),
            signed(difference.low),
            signed(difference.high),
            after.samples
        );
        tile(&name, arrow(before.mean, after.mean), note)
    } else {
        let [before, after] = [run.epochs.first(), run.epochs.last()]
            .map(|line| line.map_or(0.0, |line| line.reward_mean));
        tile(&name, arrow(before, after), "training samples, first and last epoch")
    }
}

fn drift(analysis: &Analysis) -> Tile {
    match analysis.kl {
        Some(kl) => tile(
            "Divergence",
            format!("{} nats", number(kl)),
            format!(
                "KL from the pretrained model, per transition: mean during the updates of epoch {}",
                analysis.epochs
            ),
        ),
        None => tile("Divergence", "not measured".into(), "set kl_coef or kl_stop to measure it"),
    }
}

fn diversity(analysis: &Analysis) -> Tile {
    let ends = analysis.judged().and_then(|(judgement, line)| {
        Some((judgement, line.checkpoints.first()?, line.checkpoints.last()?))
    });
    let Some((judgement, before, after)) = ends else {
        return tile("Diversity", "not measured".into(), "no images to compare");
    };
    let Some(verdict) = judgement.verdict else {
        let (needed, found) = (judgement.samples_needed, judgement.samples);
        let note = format!("needs at least {needed} images of each checkpoint, found {found}");
        return tile("Diversity", "no verdict".into(), note);
    };
    let class = match verdict {
        Verdict::Collapsed => "bad",
        Verdict::Narrowed => "",
        Verdict::Kept => "good",
    };
    let vendi = arrow(before.diversity.vendi, after.diversity.vendi);
    let (left, features) = (judgement.left * 100.0, judgement.features.words());
    let note = format!("Vendi score {vendi}; {left:.0} % of the diversity remains, by {features}");
    Tile { class, ..tile("Diversity", verdict.word().into(), note) }
}

fn time(run: &Run) -> Tile {
    let epochs = run.epochs.iter();
    let seconds: f64 = epochs
        .map(|line| line.seconds_sampling.max(line.seconds_scoring) + line.seconds_training)
        .sum();
    let shown = match seconds {
        short if short < 120.0 => format!("{short:.0} s"),
        medium if medium < 7200.0 => format!("{:.1} min", medium / 60.0),
        long => format!("{:.1} h", long / 3600.0),
    };
    let last = run.epochs.last();
    let rate = number(last.map_or(0.0, |line| line.samples_per_second));
    let memory = last.map_or(0.0, |line| line.peak_memory_bytes as f64 / 1e9);
    let speed = last.map_or(String::new(), operations);
    let note = format!(
        "sampling and updates; {rate} trajectories per second{speed}, peak memory {memory:.1} GB"
    );
    tile("Time", shown, note)
}

/// The operations a second of an epoch's stages, as far as they were counted.
fn operations(line: &Epoch) -> String {
    let stages = [("sampling", line.flops_sampling), ("updates", line.flops_training)];
    let shown = |(stage, rate): (&str, Option<f64>)| {
        rate.map(|rate| format!(", {stage} at {} TFLOP/s", number(rate * 1e-12)))
    };
    stages.into_iter().filter_map(shown).collect()
}
