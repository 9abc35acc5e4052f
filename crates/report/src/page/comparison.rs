//! The page of a comparison, in one file.

use crate::best_of::BestOf;
use crate::comparison::data::{ArmComparison, Comparison, TaskComparison};
use crate::error::ReportError;
use crate::figures::Figure;
use crate::number::{minus, number};
use crate::page::table::Table;
use crate::page::theme::{SCRIPT, style};
use crate::plot::svg::Inline;
use crate::sweep::Spread;
use askama::Template;

#[derive(Template)]
#[template(path = "compare.html")]
struct Page<'a> {
    title: String,
    subtitle: String,
    front: Table,
    sections: Vec<Section<'a>>,
}

/// One task.
struct Section<'a> {
    heading: String,
    sentence: String,
    first: Group<'a>,
    rest: Group<'a>,
    best_of: Option<Table>,
}

/// Plots beside each other, or one in full width.
#[derive(Template)]
#[template(path = "figures.html")]
struct Group<'a> {
    one: bool,
    figures: &'a [Figure],
}

/// Returns the page of a comparison, with the plots of each task.
///
/// # Errors
/// [`ReportError::Template`].
pub fn page(comparison: &Comparison, figures: &[Vec<Figure>]) -> Result<String, ReportError> {
    let tasks = &comparison.tasks;
    let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
    let arms = tasks.iter().flat_map(|task| &task.arms);
    let runs: usize = arms.clone().map(|arm| arm.runs.len()).sum();
    let page = Page {
        title: format!("Comparison: {}", names.join(", ")),
        subtitle: format!("{} arms, {runs} runs", arms.count()),
        front: table(tasks),
        sections: tasks.iter().zip(figures).map(|(task, figures)| section(task, figures)).collect(),
    };
    Ok(page.render()?)
}

/// Returns the table of all arms: by task, then by median reward.
fn table(tasks: &[TaskComparison]) -> Table {
    let rows = tasks.iter().flat_map(|task| task.arms.iter().map(|arm| row(task, arm)));
    let headings = vec![
        "arm",
        "task",
        "front",
        "seeds",
        "before",
        "after",
        "diversity kept",
        "queries",
        "CPU-minutes",
    ];
    Table { class: "arms", headings, rows: rows.collect() }
}

fn row(task: &TaskComparison, arm: &ArmComparison) -> Vec<String> {
    let spreads = &arm.spreads;
    let time =
        spreads.cpu_minutes.map_or_else(|| "not measured".into(), |it| range(&it, short, ""));
    vec![
        arm.name.clone(),
        task.name.clone(),
        if arm.on_front { "yes".into() } else { String::new() },
        arm.runs.len().to_string(),
        range(&spreads.before, short, ""),
        range(&spreads.after, short, ""),
        range(&spreads.kept, |share| format!("{:.0}", share * 100.0), " %"),
        range(&spreads.queries, |value| format!("{value:.0}"), ""),
        time,
    ]
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Formats a number with three significant digits, so that a row fits the page.
fn short(value: f64) -> String {
    let size = value.abs();
    if !(1e-2..1e5).contains(&size) {
        return number(value);
    }
    let digits = (2.0 - size.log10().floor()).clamp(0.0, 4.0) as usize;
    minus(format!("{value:.digits$}"))
}

/// Returns the median with its unit, and the smallest and largest value if they differ as text.
fn range(spread: &Spread, text: impl Fn(f64) -> String, unit: &str) -> String {
    let [median, min, max] = [spread.median, spread.min, spread.max].map(text);
    if min == max { median + unit } else { format!("{median}{unit} ({min} to {max})") }
}

fn section<'a>(task: &TaskComparison, figures: &'a [Figure]) -> Section<'a> {
    let (first, rest) = figures.split_at(figures.len().min(1));
    let front: Vec<&str> =
        task.arms.iter().filter(|arm| arm.on_front).map(|arm| arm.name.as_str()).collect();
    let verb = if front.len() == 1 { "is" } else { "are" };
    Section {
        heading: task.name.clone(),
        sentence: format!(
            "On the front of reward and diversity {verb} {}: no other arm has at least as much of both.",
            front.join(", ")
        ),
        first: Group { one: true, figures: first },
        rest: Group { one: false, figures: rest },
        best_of: (!task.best_of_n.is_empty()).then(|| best_of(&task.best_of_n)),
    }
}

fn best_of(list: &[BestOf]) -> Table {
    let row = |one: &BestOf| {
        let kept = one.kept.map_or_else(|| "too few images".into(), percent);
        vec![one.n.to_string(), number(one.reward), kept]
    };
    let headings = vec!["best of n", "mean reward", "diversity kept"];
    Table { class: "best-of", headings, rows: list.iter().map(row).collect() }
}
