//! The reward of each class of a class-conditional model, before and after.

use crate::analysis::{Analysis, ClassRewardLine};
use crate::number::{number, signed};
use crate::page::table::Table;
use askama::Template;

/// The most rows of the table.
const ROWS: usize = 20;

/// The section.
#[derive(Template)]
#[template(path = "by_class.html")]
pub struct ByClass {
    table: Table,
    /// Number of all classes, if the table leaves some out.
    all: Option<usize>,
}

impl ByClass {
    /// Collects the classes whose mean reward has changed most; `None` unless there are two classes.
    pub fn of(analysis: &Analysis) -> Option<Self> {
        let all = analysis.class_rewards.len();
        if all < 2 {
            return None;
        }
        let change = |line: &ClassRewardLine| line.after - line.before;
        let mut lines = analysis.class_rewards.clone();
        lines.sort_by(|a, b| change(b).abs().total_cmp(&change(a).abs()));
        lines.truncate(ROWS);
        lines.sort_by_key(|line| line.class);
        let row = |line: &ClassRewardLine| -> Vec<String> {
            let numbers = [number(line.before), number(line.after), signed(change(line))];
            [line.class.to_string(), line.n.to_string()].into_iter().chain(numbers).collect()
        };
        let headings = vec!["class", "samples", "mean before", "mean after", "change"];
        let rows = lines.iter().map(row).collect();
        let table = Table { class: "by-class", headings, rows };
        Some(Self { table, all: (all > ROWS).then_some(all) })
    }
}
