//! What it came to, in four figures.

use crate::analysis::Analysis;
use crate::diversity::Verdict;
use crate::figures::unit;
use crate::page::html::escape;
use crate::plot::frame::number;
use crate::run::Run;

/// The row of figures.
#[must_use]
pub fn tiles(run: &Run, analysis: &Analysis) -> String {
    let tiles = [reward(run, analysis), drift(analysis), diversity(analysis), time(run)];
    format!("<div class=\"tiles\">{}</div>\n", tiles.concat())
}

fn tile(name: &str, figure: &str, class: &str, note: &str) -> String {
    format!(
        "<div class=\"tile\"><div class=\"name\">{}</div><div class=\"figure {class}\">{}</div>\
         <div class=\"note\">{}</div></div>",
        escape(name),
        escape(figure),
        escape(note)
    )
}

/// The number, with a sign in any case.
#[must_use]
pub fn signed(value: f64) -> String {
    if value > 0.0 { format!("+{}", number(value)) } else { number(value) }
}

fn reward(run: &Run, analysis: &Analysis) -> String {
    let name = format!("Mean reward ({})", unit(run));
    let main = analysis.rewards.first();
    let ends = main.and_then(|line| Some((line.checkpoints.first()?, line.checkpoints.last()?)));
    match (ends, main.and_then(|line| line.difference)) {
        (Some((before, after)), Some(difference)) => {
            let figure = format!("{} \u{2192} {}", number(before.mean), number(after.mean));
            let note = format!(
                "{} (95 % interval {} to {}) over {} fixed seeds",
                signed(difference.mean),
                signed(difference.low),
                signed(difference.high),
                after.samples
            );
            tile(&name, &figure, "", &note)
        }
        _ => {
            let (first, last) = (run.epochs.first(), run.epochs.last());
            let mean = |line: Option<&crate::run::Epoch>| line.map_or(0.0, |line| line.reward_mean);
            let figure = format!("{} \u{2192} {}", number(mean(first)), number(mean(last)));
            tile(&name, &figure, "", "training samples of the first and the last epoch")
        }
    }
}

fn drift(analysis: &Analysis) -> String {
    match analysis.kl {
        Some(kl) => {
            let figure = format!("{} nats", number(kl));
            tile(
                "Divergence",
                &figure,
                "",
                "from the pretrained model, a transition, in the last epoch",
            )
        }
        None => tile("Divergence", "not measured", "", "kl_coef or kl_stop has the run measure it"),
    }
}

fn diversity(analysis: &Analysis) -> String {
    let Some(line) = analysis.verdict() else {
        return tile("Diversity", "not measured", "", "there are no images to compare");
    };
    let class = match line.verdict {
        Verdict::Collapsed => "bad",
        Verdict::Narrowed => "",
        Verdict::Kept => "good",
    };
    let ends = line.checkpoints.first().zip(line.checkpoints.last());
    let (before, after) = ends.map_or((0.0, 0.0), |(b, a)| (b.diversity.vendi, a.diversity.vendi));
    let note = format!(
        "Vendi score {} \u{2192} {}; {:.0} % of the diversity is left",
        number(before),
        number(after),
        line.left * 100.0
    );
    tile("Diversity", line.verdict.word(), class, &note)
}

fn time(run: &Run) -> String {
    let seconds: f64 = run
        .epochs
        .iter()
        .map(|line| line.seconds_sampling.max(line.seconds_scoring) + line.seconds_training)
        .sum();
    let shown = match seconds {
        short if short < 120.0 => format!("{short:.0} s"),
        medium if medium < 7200.0 => format!("{:.1} min", medium / 60.0),
        long => format!("{:.1} h", long / 3600.0),
    };
    let last = run.epochs.last();
    let rate = last.map_or(0.0, |line| line.samples_per_second);
    let memory = last.map_or(0.0, |line| line.peak_memory_bytes as f64 / 1e9);
    let note = format!(
        "of sampling and updating; {} trajectories a second, {memory:.1} GB at most",
        number(rate)
    );
    tile("Time", &shown, "", &note)
}
