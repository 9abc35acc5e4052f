//! The fronts of a task: reward against diversity, queries and CPU time.

use crate::best_of::BestOf;
use crate::comparison::data::{ArmComparison, MeasuredRun, TaskComparison};
use crate::figures::figure::{Figure, HALF, NARROW, WHOLE};
use crate::number::number;
use crate::outcome::Stage;
use crate::plot::fronts::{ArmMarks, Curve, Fronts, Mark};
use crate::plot::ink::Ink;
use crate::sweep::Spread;

/// What the horizontal axis of a front shows.
struct Across {
    name: &'static str,
    heading: &'static str,
    label: &'static str,
    caption: &'static str,
    of_run: fn(&MeasuredRun) -> Option<f64>,
    /// The value at an evaluation, if it is known.
    of_stage: fn(&Stage) -> Option<f64>,
}

const DIVERSITY: Across = Across {
    name: "reward-diversity",
    heading: "Reward against diversity kept",
    label: "diversity kept (%)",
    caption: "Up and to the right is better. A large point is the median of an arm, a small one a seed, an \
              interval the range over the seeds, and a thin line the path over training. The hollow curve is \
              the pretrained model without training: the best of every n samples, with n beside each point.",
    of_run: |run| Some(run.record.outcome.kept * 100.0),
    of_stage: |stage| Some(stage.kept * 100.0),
};

const QUERIES: Across = Across {
    name: "reward-queries",
    heading: "Reward against queries",
    label: "queries (trajectories drawn for training)",
    caption: "Up and to the left is better.",
    of_run: |run| Some(run.record.outcome.queries as f64),
    of_stage: |stage| Some(stage.queries as f64),
};

const CPU: Across = Across {
    name: "reward-cpu",
    heading: "Reward against CPU time",
    label: "CPU-minutes, evaluations included",
    caption: "Up and to the left is better. Only runs of a sweep are here, because it measures their time.",
    of_run: |run| run.record.cost.map(|cost| cost.cpu_minutes),
    of_stage: |_| None,
};

/// Draws the fronts of a task. The plot of CPU time is left out if no run has measured it.
pub fn fronts(task: &TaskComparison) -> Vec<Figure> {
    let y = match task.unit.as_str() {
        "" => format!("mean {}", task.measure),
        unit => format!("mean {} ({unit})", task.measure),
    };
    let drawn = [(DIVERSITY, WHOLE, 60.0), (QUERIES, HALF, 0.0), (CPU, HALF, 0.0)].map(
        |(across, size, taller)| {
            let arms = task.arms.iter().zip(Ink::SERIES.into_iter().cycle());
            let arms: Vec<ArmMarks> =
                arms.filter_map(|(arm, ink)| marks(arm, ink, &across)).collect();
            let curve = (across.name == DIVERSITY.name).then(|| curve(&task.best_of_n)).flatten();
            let labels = [across.label.to_owned(), y.clone()];
            let fronts = Fronts { title: across.heading.into(), labels, arms, curve };
            (!fronts.arms.is_empty()).then(|| Figure {
                name: format!("{}-{}", task.name.replace([' ', '/'], "-"), across.name),
                heading: across.heading.into(),
                caption: across.caption.into(),
                wide: fronts.draw(size.0, size.1 + taller),
                narrow: fronts.draw(NARROW.0, NARROW.1),
            })
        },
    );
    drawn.into_iter().flatten().collect()
}

/// Returns the marks of an arm; `None` if a run lacks the value of the horizontal axis.
fn marks(arm: &ArmComparison, ink: Ink, across: &Across) -> Option<ArmMarks> {
    let xs: Vec<f64> = arm.runs.iter().map(across.of_run).collect::<Option<_>>()?;
    let x = Spread::of(&xs)?;
    let y = arm.spreads.after;
    let mark = |at: (f64, f64), name: String| Mark {
        hint: format!("{name}\n{} {}\nreward {}", across.label, number(at.0), number(at.1)),
        at,
    };
    let seed = |(run, &x): (&MeasuredRun, &f64)| {
        mark((x, run.record.outcome.after), format!("{}\nseed {}", arm.name, run.record.seed))
    };
    let stage = |stage: &Stage| Some(((across.of_stage)(stage)?, stage.reward));
    let mut path: Vec<(f64, f64)> = arm.stages.iter().filter_map(stage).collect();
    // The median of the last evaluation is the large point.
    if let Some(last) = path.last_mut() {
        *last = (x.median, y.median);
    }
    Some(ArmMarks {
        name: arm.name.clone(),
        ink,
        seeds: arm.runs.iter().zip(&xs).map(seed).collect(),
        median: mark((x.median, y.median), format!("{}\nmedian of {} seeds", arm.name, xs.len())),
        ranges: [(x.min, x.max), (y.min, y.max)],
        path,
    })
}

/// Returns the curve of the pretrained model, as far as its diversity is measured.
fn curve(best: &[BestOf]) -> Option<Curve> {
    let point = |one: &BestOf| {
        let (n, kept) = (one.n, one.kept? * 100.0);
        let hint = format!(
            "pretrained model, best of {n}\n{} {}\nreward {}",
            DIVERSITY.label,
            number(kept),
            number(one.reward)
        );
        Some((Mark { at: (kept, one.reward), hint }, n.to_string()))
    };
    let points: Vec<(Mark, String)> = best.iter().filter_map(point).collect();
    (!points.is_empty()).then(|| Curve { name: "pretrained model, best of n".into(), points })
}
