//! Labelled grids of a run's samples.

use ddpo_picture::{Cell, MOST_SHOWN, PictureError, grid, square_layout, write_png};
use ddpo_rollout::image::{ImageError, PixelMap, RgbImage};
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{StateShape, Trajectory};
use std::path::Path;
use thiserror::Error;

/// Errors from drawing a grid.
#[derive(Debug, Error)]
pub enum DrawError {
    /// A state cannot be converted to an image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The picture could not be written.
    #[error(transparent)]
    Picture(#[from] PictureError),
}

/// Returns the final image of a trajectory.
///
/// # Errors
/// [`ImageError`] if the state is not finite, or does not have one or three channels.
pub fn image(
    trajectory: &Trajectory,
    shape: StateShape,
    map: PixelMap,
) -> Result<RgbImage, ImageError> {
    let sides = (shape.channels, shape.height, shape.width);
    RgbImage::from_state(&trajectory.final_state(), sides, map)
}

/// Writes a grid of the first samples with their rewards. Always maps pixels with [`PixelMap::Signed`],
/// whatever the rewards see.
///
/// # Errors
/// [`DrawError`].
pub fn write(
    path: &Path,
    task: &str,
    shape: StateShape,
    scored: &[ScoredTrajectory],
    title: &str,
) -> Result<(), DrawError> {
    let shown = &scored[..scored.len().min(MOST_SHOWN)];
    let cells: Vec<Cell> = shown
        .iter()
        .map(|one| {
            let image = image(&one.trajectory, shape, PixelMap::Signed)?;
            Ok(Cell { image, label: format!("{:.3}", one.score.reward) })
        })
        .collect::<Result<_, ImageError>>()?;
    let (columns, scale) = square_layout(shown.len(), shape.width);
    let title = format!("{title} - {task} - mean {:.4}", mean(scored));
    Ok(write_png(path, &grid(&cells, columns, scale, &title))?)
}

/// Returns the mean reward.
pub fn mean(scored: &[ScoredTrajectory]) -> f64 {
    let sum: f64 = scored.iter().map(|one| f64::from(one.score.reward)).sum();
    sum / scored.len().max(1) as f64
}
