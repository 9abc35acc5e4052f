//! The plots of a report, each with the name of its file.

use crate::analysis::Analysis;
use crate::diversity::Diversity;
use crate::plot::bars::{self, Pair};
use crate::plot::frame::number;
use crate::plot::lines::{Lines, Mark, Point, Series};
use crate::plot::scatter::{self, Spot};
use crate::plot::{Drawing, Ink};
use crate::run::{Epoch, Run};

/// Sizes that a plot is drawn in: for half a page, a whole one, and a telephone.
const HALF: (f64, f64) = (540.0, 290.0);
const WHOLE: (f64, f64) = (1080.0, 360.0);
const NARROW: (f64, f64) = (352.0, 270.0);

/// A plot in the sizes that the page needs.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Name of its files, without their extension.
    pub name: &'static str,
    /// Its heading.
    pub heading: String,
    /// What has to be known to read it.
    pub caption: String,
    /// For wide screens and for files.
    pub wide: Drawing,
    /// For narrow ones.
    pub narrow: Drawing,
}

/// A curve of the metrics: what it is called, and what of a line it shows.
type Curve<'a> = (&'a str, Ink, fn(&Epoch) -> Option<f64>);

fn of_lines(name: &'static str, caption: &str, lines: &Lines, wide: (f64, f64)) -> Figure {
    Figure {
        name,
        heading: lines.title.clone(),
        caption: caption.to_owned(),
        wide: lines.draw(wide.0, wide.1),
        narrow: lines.draw(NARROW.0, NARROW.1),
    }
}

/// The reward of the samples that were trained on, with its spread, and of the evaluations.
#[must_use]
pub fn reward(run: &Run) -> Figure {
    let training = run.epochs.iter().map(|line| Point {
        x: f64::from(line.epoch),
        y: line.reward_mean,
        spread: line.reward_std,
        hint: format!(
            "epoch {}\ntraining reward {} ± {}",
            line.epoch,
            number(line.reward_mean),
            number(line.reward_std)
        ),
    });
    let evaluations = run.evaluations.iter().map(|line| Point {
        x: f64::from(line.epoch),
        y: line.reward_mean,
        spread: line.reward_std,
        hint: format!(
            "after epoch {}\nevaluation reward {} ± {}",
            line.epoch,
            number(line.reward_mean),
            number(line.reward_std)
        ),
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
    let lines = Lines {
        title: "Reward".into(),
        x_label: "epoch".into(),
        y_label: format!("reward ({})", unit(run)),
        whole: true,
        from_zero: false,
        series,
    };
    let caption = "The training samples of an epoch are drawn before its update; evaluations use \
                   the same noise every time.";
    of_lines("reward", caption, &lines, WHOLE)
}

/// What the optimizer did, and where the time went.
#[must_use]
pub fn training(run: &Run) -> Vec<Figure> {
    let mut figures = vec![curves(
        run,
        (
            "loss",
            "Loss",
            "loss",
            "Mean over (sample, step) pairs; with advantages of mean zero it says little by itself.",
        ),
        &[("loss", Ink::First, |line| Some(line.loss))],
        false,
    )];
    if run.epochs.iter().any(|line| line.kl_to_pretrained_nats.is_some()) {
        let caption = "How far the policy has moved: exact divergence of its transitions from the \
                       pretrained model's.";
        figures.push(curves(
            run,
            ("kl", "Divergence from the pretrained model", "nats a transition", caption),
            &[("divergence", Ink::First, |line| line.kl_to_pretrained_nats)],
            true,
        ));
    }
    let unit =
        if run.setting("log_prob") == "sum" { "nats a transition" } else { "nats a dimension" };
    figures.push(curves(
        run,
        (
            "update-kl",
            "Divergence of one epoch's updates",
            unit,
            "Estimate (r \u{2212} 1) \u{2212} ln r of the policy against the one that sampled.",
        ),
        &[("update", Ink::First, |line| Some(line.approx_kl))],
        true,
    ));
    figures.push(curves(
        run,
        ("clip-fraction", "Clipped ratios", "share of pairs, %", "Pairs whose probability ratio has left the clip: they no longer pull in that direction."),
        &[("clipped", Ink::First, |line| Some(line.clip_fraction * 100.0))],
        true,
    ));
    figures.push(curves(
        run,
        (
            "gradient",
            "Gradient norm",
            "norm before the clip",
            "Mean over the epoch's optimizer steps.",
        ),
        &[("norm", Ink::First, |line| Some(line.grad_norm))],
        true,
    ));
    figures.push(curves(
        run,
        ("learning-rate", "Learning rate", "rate of the epoch's last step", ""),
        &[("rate", Ink::First, |line| Some(line.lr))],
        true,
    ));
    figures.push(curves(
        run,
        (
            "time",
            "Time by stage",
            "seconds an epoch",
            "Scoring runs beside sampling where it can, so the stages do not add up to the epoch.",
        ),
        &[
            ("sampling", Ink::First, |line| Some(line.seconds_sampling)),
            ("scoring", Ink::Second, |line| Some(line.seconds_scoring)),
            ("updating", Ink::Third, |line| Some(line.seconds_training)),
        ],
        true,
    ));
    figures
}

fn curves(
    run: &Run,
    (name, heading, y_label, caption): (&'static str, &str, &str, &str),
    curves: &[Curve<'_>],
    from_zero: bool,
) -> Figure {
    let series = curves.iter().map(|(name, ink, value)| {
        let point = |line: &Epoch| {
            let y = value(line)?;
            let hint = format!("epoch {}\n{name} {}", line.epoch, number(y));
            Some(Point { x: f64::from(line.epoch), y, spread: 0.0, hint })
        };
        let points = run.epochs.iter().filter_map(point).collect();
        Series { name: (*name).to_owned(), ink: *ink, mark: Mark::Line, points }
    });
    let lines = Lines {
        title: heading.to_owned(),
        x_label: "epoch".into(),
        y_label: y_label.to_owned(),
        whole: true,
        from_zero,
        series: series.collect(),
    };
    of_lines(name, caption, &lines, HALF)
}

/// Reward against divergence, where that was measured.
#[must_use]
pub fn reward_against_kl(run: &Run) -> Option<Figure> {
    let point = |line: &Epoch| {
        let kl = line.kl_to_pretrained_nats?;
        let hint = format!(
            "epoch {}\nreward {}\ndivergence {}",
            line.epoch,
            number(line.reward_mean),
            number(kl)
        );
        Some(Point { x: kl, y: line.reward_mean, spread: 0.0, hint })
    };
    let points: Vec<Point> = run.epochs.iter().filter_map(point).collect();
    if points.is_empty() {
        return None;
    }
    let series = Series { name: "epochs".into(), ink: Ink::First, mark: Mark::Dots, points };
    let lines = Lines {
        title: "Reward against divergence".into(),
        x_label: "divergence from the pretrained model (nats a transition)".into(),
        y_label: format!("training reward ({})", unit(run)),
        whole: false,
        from_zero: false,
        series: vec![series],
    };
    let caption =
        "An epoch a point. A curve that flattens pays ever more distance for ever less reward.";
    Some(of_lines("reward-kl", caption, &lines, HALF))
}

/// Rewards that training never saw, over the checkpoints.
#[must_use]
pub fn held_out(analysis: &Analysis) -> Option<Figure> {
    let lines = analysis.rewards.iter().filter(|line| line.held_out);
    let series: Vec<Series> = lines
        .zip(Ink::SERIES.into_iter().cycle().skip(1))
        .map(|(line, ink)| {
            let point = |at: &crate::analysis::RewardPoint| {
                let x = f64::from(at.epoch?);
                let told = format!("{} ± {}", number(at.mean), number(at.std));
                let hint = format!("after epoch {x}\n{} {told}", line.name);
                Some(Point { x, y: at.mean, spread: 0.0, hint })
            };
            let points = line.checkpoints.iter().filter_map(point).collect();
            Series { name: line.name.clone(), ink, mark: Mark::Dots, points }
        })
        .collect();
    if series.is_empty() {
        return None;
    }
    let title = match &series[..] {
        [one] => format!("Held-out reward: {}", one.name),
        _ => "Held-out rewards".into(),
    };
    let lines = Lines {
        title,
        x_label: "epoch".into(),
        y_label: "mean reward, each in its own unit".into(),
        whole: true,
        from_zero: false,
        series,
    };
    let caption = "Never shown to training. One that falls while the reward rises says that the \
                   model gets better at the reward only.";
    Some(of_lines("held-out", caption, &lines, HALF))
}

/// The Vendi score over the checkpoints.
#[must_use]
pub fn diversity(analysis: &Analysis) -> Option<Figure> {
    let line = analysis.verdict()?;
    let point = |at: &crate::analysis::DiversityPoint| {
        let x = f64::from(at.epoch?);
        let Diversity { vendi, similarity, .. } = at.diversity;
        let hint = format!(
            "after epoch {x}\nVendi score {}\nmean similarity {}",
            number(vendi),
            number(similarity)
        );
        Some(Point { x, y: vendi, spread: 0.0, hint })
    };
    let points: Vec<Point> = line.checkpoints.iter().filter_map(point).collect();
    let vendi = Series { name: "Vendi score".into(), ink: Ink::First, mark: Mark::Dots, points };
    let lines = Lines {
        title: "Diversity".into(),
        x_label: "epoch".into(),
        y_label: format!("images that differ, of {}", line.samples),
        whole: true,
        from_zero: true,
        series: vec![vendi],
    };
    let caption = "The Vendi score counts the images of a set that differ altogether: as many as there \
                   are where none is like another, 1 where all are the same.";
    Some(of_lines("diversity", caption, &lines, HALF))
}

/// The distance of the typical pair over the checkpoints, and that below which it is a collapse.
#[must_use]
pub fn distance(analysis: &Analysis) -> Option<Figure> {
    let line = analysis.verdict()?;
    let point = |at: &crate::analysis::DiversityPoint| {
        let x = f64::from(at.epoch?);
        let y = at.diversity.distance;
        let hint = format!("after epoch {x}\ntypical pair {}", number(y));
        Some(Point { x, y, spread: 0.0, hint })
    };
    let points: Vec<Point> = line.checkpoints.iter().filter_map(point).collect();
    let alike = line.look_alike_distance;
    let limit = points.iter().map(|at| Point {
        y: alike,
        hint: format!("nearest neighbours before training {}", number(alike)),
        ..at.clone()
    });
    let limit = limit.collect();
    let series = |name: &str, ink, mark, points| Series { name: name.into(), ink, mark, points };
    let lines = Lines {
        title: "Distance of two images".into(),
        x_label: "epoch".into(),
        y_label: "distance of features".into(),
        whole: true,
        from_zero: true,
        series: vec![
            series("typical pair", Ink::First, Mark::Dots, points),
            series("nearest neighbours before training", Ink::Muted, Mark::Line, limit),
        ],
    };
    let caption = "Where the typical pair falls below the line, two images at random are more alike than \
                   the closest were before: that is called a collapse.";
    Some(of_lines("distance", caption, &lines, HALF))
}

/// Shares by class of each classifier.
#[must_use]
pub fn classes(analysis: &Analysis) -> Vec<Figure> {
    let names = ["classes", "classes-2", "classes-3", "classes-4"];
    let figure = |(name, line): (&'static str, &crate::analysis::ClassLine)| {
        let pairs: Vec<Pair> = line
            .classes
            .iter()
            .map(|(label, before, after)| Pair {
                label: label.clone(),
                before: *before,
                after: *after,
            })
            .collect();
        let heading = match line.reward.is_empty() {
            true => "Classes".to_owned(),
            false => format!("Classes by the classifier of {}", line.reward),
        };
        Figure {
            name,
            caption: "Share of the images by their likeliest class.".into(),
            wide: bars::draw(&heading, &pairs, HALF.0),
            narrow: bars::draw(&heading, &pairs, NARROW.0),
            heading,
        }
    };
    names.into_iter().zip(&analysis.classes).map(figure).collect()
}

/// First and last checkpoint's images on two axes; `hints` tells what each says.
#[must_use]
pub fn map(analysis: &Analysis, hints: &[String]) -> Option<Figure> {
    let map = analysis.map.as_ref()?;
    let half = map.points.len() / 2;
    let spots: Vec<Spot> = map
        .points
        .iter()
        .zip(hints)
        .enumerate()
        .map(|(at, (point, hint))| Spot {
            at: point.at,
            after: at >= half,
            hint: hint.clone(),
            picture: at,
        })
        .collect();
    let what = match map.features.as_str() {
        "pixels" => "their pixels",
        _ => "what the reward's network sees in them",
    };
    let label = |axis: usize| {
        format!(
            "principal component {} ({:.0} % of the variance)",
            axis + 1,
            map.shares[axis] * 100.0
        )
    };
    let (x, y) = (label(0), label(1));
    let heading = "Map of the images".to_owned();
    Some(Figure {
        name: "map",
        caption: format!(
            "Each point is an image; near ones are alike by {what}. Point at one, or tap it, to see it."
        ),
        wide: scatter::draw(&heading, [&x, &y], &spots, WHOLE.0, 520.0),
        narrow: scatter::draw(&heading, [&x, &y], &spots, NARROW.0, 360.0),
        heading,
    })
}

/// The unit of the run's reward.
#[must_use]
pub fn unit(run: &Run) -> &'static str {
    match run.reward().as_str() {
        "jpeg compressibility" => "\u{2212}kB",
        "jpeg incompressibility" => "kB",
        "aesthetic score" => "score",
        "over50 years old" | "under30 years old" => match run.setting("age_reward").as_str() {
            "probability" => "probability",
            "log-odds" => "nats",
            _ => "logits",
        },
        reward if reward.contains([' ', '*']) => "weighted sum",
        _ => "its own unit",
    }
}
