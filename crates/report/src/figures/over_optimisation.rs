//! Signs of over-optimisation: reward against divergence, distances, diversity, held-out rewards.

use crate::analysis::{Analysis, RewardLine};
use crate::diversity::Diversity;
use crate::figures::figure::{Figure, HALF, over_epochs, point};
use crate::judgement::{DiversityLine, DiversityPoint};
use crate::number::number;
use crate::plot::ink::Ink;
use crate::plot::lines::{Lines, Mark, Point, Series};
use crate::run::{Epoch, Run};

/// Draws the plots that `run` and `analysis` have numbers for.
pub fn figures(run: &Run, analysis: &Analysis) -> Vec<Figure> {
    // Without a verdict the images are too few for these plots, too.
    let judged = analysis.judged().filter(|(judgement, _)| judgement.verdict.is_some());
    let line = judged.map(|(_, line)| line);
    let drawn = [
        reward_against_kl(run),
        line.map(distance),
        line.map(diversity),
        held_out(&analysis.rewards),
    ];
    drawn.into_iter().flatten().collect()
}

/// Draws the reward against the divergence from the pretrained model, if the run measured it.
pub fn reward_against_kl(run: &Run) -> Option<Figure> {
    let epoch = |line: &Epoch| {
        let (kl, reward) = (line.kl_to_pretrained_nats?, line.reward_mean);
        let (epoch, shown) = (line.epoch, [number(reward), number(kl)]);
        let hint = format!("epoch {epoch}\nreward {}\ndivergence {}", shown[0], shown[1]);
        Some(point(kl, reward, hint))
    };
    let points: Vec<Point> = run.epochs.iter().filter_map(epoch).collect();
    if points.is_empty() {
        return None;
    }
    let lines = Lines {
        title: "Reward against divergence".into(),
        x_label: "divergence from the pretrained model (nats per transition)".into(),
        y_label: format!("training reward ({})", run.reward_unit()),
        whole: false,
        from_zero: false,
        series: vec![dots("epochs", Ink::First, points)],
    };
    let caption = "One point per epoch: the mean reward of its samples, which are drawn before its updates, \
                   and the mean divergence during its updates. Where the curve flattens, more divergence \
                   buys little reward.";
    Some(Figure::of_lines("reward-kl", caption, &lines, HALF))
}

fn dots(name: &str, ink: Ink, points: Vec<Point>) -> Series {
    Series { name: name.to_owned(), ink, mark: Mark::Dots, points }
}

/// Points of the checkpoints that have an epoch.
fn checkpoints(line: &DiversityLine, shown: impl Fn(&Diversity) -> (f64, String)) -> Vec<Point> {
    let checkpoint = |at: &DiversityPoint| {
        let (epoch, (y, text)) = (at.epoch?, shown(&at.diversity));
        Some(point(f64::from(epoch), y, format!("after epoch {epoch}\n{text}")))
    };
    line.checkpoints.iter().filter_map(checkpoint).collect()
}

/// Draws the distance of the typical pair over the checkpoints, and the limit of a collapse.
fn distance(line: &DiversityLine) -> Figure {
    let points =
        checkpoints(line, |one| (one.distance, format!("typical pair {}", number(one.distance))));
    let alike = line.look_alike_distance;
    let hint = format!("nearest neighbours before training {}", number(alike));
    let limit = points.iter().map(|at| point(at.x, alike, hint.clone())).collect();
    let limit = Series {
        name: "nearest neighbours before training".into(),
        ink: Ink::Muted,
        mark: Mark::Line,
        points: limit,
    };
    let series = vec![dots("typical pair", Ink::First, points), limit];
    let lines = over_epochs("Distance between images", "distance of features", true, series);
    let caption = format!(
        "Below the line, two random images are more alike than nearest neighbours were before training: \
         the samples have collapsed. Measured on {}.",
        line.features.words()
    );
    Figure::of_lines("distance", &caption, &lines, HALF)
}

/// Draws the Vendi score over the checkpoints.
fn diversity(line: &DiversityLine) -> Figure {
    let points = checkpoints(line, |one| {
        let shown = [one.vendi, one.similarity].map(number);
        (one.vendi, format!("Vendi score {}\nmean similarity {}", shown[0], shown[1]))
    });
    let y_label = format!("distinct images, of {}", line.samples);
    let series = vec![dots("Vendi score", Ink::First, points)];
    let lines = over_epochs("Diversity", &y_label, true, series);
    let caption = format!(
        "The Vendi score is the effective number of distinct images in a set: the size of the set if all \
         are distinct, 1 if all are the same. Measured on {}.",
        line.features.words()
    );
    Figure::of_lines("diversity", &caption, &lines, HALF)
}

/// Draws the rewards that training does not see, over the checkpoints.
fn held_out(rewards: &[RewardLine]) -> Option<Figure> {
    let lines = rewards.iter().filter(|line| line.held_out);
    let series = lines.zip(Ink::SERIES.into_iter().cycle().skip(1)).map(|(line, ink)| {
        let points = line.checkpoints.iter().filter_map(|at| {
            let (epoch, shown) = (at.epoch?, [at.mean, at.std].map(number));
            let hint = format!("after epoch {epoch}\n{} {} ± {}", line.name, shown[0], shown[1]);
            Some(point(f64::from(epoch), at.mean, hint))
        });
        dots(&line.name, ink, points.collect())
    });
    let series: Vec<Series> = series.collect();
    let title = match &series[..] {
        [] => return None,
        [one] => format!("Held-out reward: {}", one.name),
        _ => "Held-out rewards".into(),
    };
    let lines = over_epochs(&title, "mean reward, each in its own unit", false, series);
    let caption = "Not used in training. If one falls while the reward rises, the model improves the \
                   reward only.";
    Some(Figure::of_lines("held-out", caption, &lines, HALF))
}
