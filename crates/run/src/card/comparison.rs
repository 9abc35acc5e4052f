//! Compares the first and the last evaluation of a run, which start from the same noise.

use crate::card::markdown::{code, table};
use crate::evaluation::Evaluation;
use crate::folder::RunFolder;
use crate::shares;
use ddpo_picture::{Cell, MOST_SHOWN, grid, square_layout};
use ddpo_report::gallery::cut_grid;
use ddpo_report::statistics::{Difference, bootstrap};
use ddpo_report::table::Table;
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::trajectory::StateShape;

/// Number of pairs in the picture, for small and for large images.
const PAIRS: [usize; 2] = [8, 4];

/// Largest width of a small image, pixels.
const SMALL: usize = 96;

/// Seed of the bootstrap interval, the default of `ddpo evaluate`.
const BOOTSTRAP_SEED: u64 = 0;

/// The first evaluation and the last one.
#[derive(Debug)]
pub struct Comparison<'a> {
    before: &'a Evaluation,
    after: &'a Evaluation,
    tables: Option<(Table, Table)>,
    picture: Option<RgbImage>,
}

impl<'a> Comparison<'a> {
    /// Compares two evaluations of the run in `folder`. The interval comes from their tables and the
    /// picture from their grids; both are left out if the files are missing.
    pub fn read(
        folder: &RunFolder,
        shape: StateShape,
        before: &'a Evaluation,
        after: &'a Evaluation,
    ) -> Self {
        let table = |one: &Evaluation| Table::read(&folder.eval(one.epoch, "csv")).ok();
        let tables = table(before).zip(table(after));
        let picture = tables.as_ref().and_then(|tables| {
            let columns = if shape.width <= SMALL { PAIRS[0] } else { PAIRS[1] };
            let mut cells = row(folder, shape, before.epoch, &tables.0)?;
            let after_cells = row(folder, shape, after.epoch, &tables.1)?;
            let columns = columns.min(cells.len()).min(after_cells.len());
            cells.truncate(columns);
            cells.extend(after_cells.into_iter().take(columns));
            let (_, scale) = square_layout(columns, shape.width);
            let title = format!("above: before; below: after {} epochs, same noise", after.epoch);
            Some(grid(&cells, columns, scale, &title))
        });
        Self { before, after, tables, picture }
    }

    /// Returns the number of training epochs before the last evaluation.
    pub fn epoch(&self) -> u32 {
        self.after.epoch
    }

    /// Returns the picture: images before training above, images from the same noise after it below.
    pub fn picture(&self) -> Option<&RgbImage> {
        self.picture.as_ref()
    }

    /// Returns the table of rewards: a row for `reward` and one for each held-out reward, given as
    /// (component, label).
    pub fn rewards(&self, reward: &str, held_out: &[(String, String)]) -> String {
        let summary = |one: &Evaluation| (one.rewards.reward_mean, one.rewards.reward_std);
        let main = ("reward".to_owned(), code(reward));
        let mut rows = vec![self.line(&main, summary(self.before), summary(self.after))];
        for (name, label) in held_out {
            let found = |one: &Evaluation| one.components.get(name).map(|it| (it.mean, it.std));
            if let Some((before, after)) = found(self.before).zip(found(self.after)) {
                let shown = (name.clone(), format!("{}, held out", code(label)));
                rows.push(self.line(&shown, before, after));
            }
        }
        let after = match self.after.epoch {
            1 => "after 1 epoch".to_owned(),
            epochs => format!("after {epochs} epochs"),
        };
        let heading = ["reward", "before", &after, "difference (95 % interval)"];
        let shares = shares::lines(&self.before.components, &self.after.components);
        let shares: Vec<String> = shares
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| format!("- {line}"))
            .collect();
        let mut text = table(&heading, &rows);
        if !shares.is_empty() {
            text += &format!("\n{}\n", shares.join("\n"));
        }
        text
    }

    fn line(
        &self,
        (column, shown): &(String, String),
        before: (f64, f64),
        after: (f64, f64),
    ) -> Vec<String> {
        let spread = |(mean, std): (f64, f64)| format!("{mean:.4} ± {std:.4}");
        let difference = match self.difference(column) {
            Some(Difference { mean, low, high }) => format!("{mean:+.4} ({low:+.4} to {high:+.4})"),
            None => format!("{:+.4}", after.0 - before.0),
        };
        vec![shown.clone(), spread(before), spread(after), difference]
    }

    /// Returns the paired difference of a column; `None` if the tables have different samples or lack
    /// the column.
    fn difference(&self, column: &str) -> Option<Difference> {
        let (before, after) = self.tables.as_ref()?;
        let values = |table: &Table| -> Option<Vec<(String, f64)>> {
            let at = table.position(column)?;
            table.rows.iter().map(|row| Some((row[0].clone(), row[at].parse().ok()?))).collect()
        };
        let (before, after) = (values(before)?, values(after)?);
        let paired = before.len() == after.len() && before.len() > 1;
        let pairs = before.iter().zip(&after);
        let differences: Option<Vec<f64>> =
            pairs.map(|((a, x), (b, y))| (a == b).then_some(y - x)).collect();
        differences.filter(|_| paired).map(|values| bootstrap(&values, BOOTSTRAP_SEED))
    }
}

/// Returns the first images of an evaluation with their rewards.
fn row(folder: &RunFolder, shape: StateShape, epoch: u32, table: &Table) -> Option<Vec<Cell>> {
    let at = table.position("reward")?;
    let shown = table.rows.len().min(MOST_SHOWN);
    let images = cut_grid(&folder.eval(epoch, "png"), shown, (shape.width, shape.height)).ok()?;
    let label = |row: &Vec<String>| Some(format!("{:.3}", row[at].parse::<f32>().ok()?));
    let cells = images.into_iter().zip(&table.rows).take(PAIRS[0]);
    cells.map(|(image, row)| Some(Cell { image, label: label(row)? })).collect()
}
