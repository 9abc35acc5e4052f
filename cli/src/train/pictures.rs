//! Labelled grids of a run's samples.

use crate::plan::Plan;
use crate::sample::image;
use anyhow::Result;
use ddpo_picture::{Cell, grid, write_png};
use ddpo_rollout::image::PixelMap;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::StateShape;
use std::path::Path;

/// Samples that a grid shows at most.
const MOST: usize = 64;

/// Writes a grid of the first samples with their rewards; people see them as they are, whatever
/// map the reward was given.
pub fn write(
    path: &Path,
    plan: &Plan,
    shape: StateShape,
    scored: &[ScoredTrajectory],
    title: &str,
) -> Result<()> {
    let shown = &scored[..scored.len().min(MOST)];
    let cells: Vec<Cell> = shown
        .iter()
        .map(|one| {
            let image = image(&one.trajectory, shape, PixelMap::Signed)?;
            Ok(Cell { image, label: format!("{:.3}", one.score.reward) })
        })
        .collect::<Result<_>>()?;
    let columns = (shown.len() as f64).sqrt().ceil() as usize;
    let scale = (96 / shape.width.max(1)).max(1);
    let title = format!("{title} - {} - mean {:.4}", plan.task, mean(scored));
    Ok(write_png(path, &grid(&cells, columns, scale, &title))?)
}

/// Mean reward.
#[must_use]
pub fn mean(scored: &[ScoredTrajectory]) -> f64 {
    let sum: f64 = scored.iter().map(|one| f64::from(one.score.reward)).sum();
    sum / scored.len().max(1) as f64
}
