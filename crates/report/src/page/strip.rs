//! The strip of one sample across checkpoints: a picture, a slider, and buttons that select another sample.

use crate::error::ReportError;
use crate::gallery::{Gallery, Shown};
use crate::number::number;
use crate::pictures::data_uri;
use askama::Template;
use serde::Serialize;

/// Maximum number of samples to select from.
const SEEDS: usize = 8;
/// Maximum number of checkpoints.
const FRAMES: usize = 24;
/// Maximum side of the pictures in pixels.
const SIDE: usize = 256;

/// The section.
#[derive(Template)]
#[template(path = "strip.html")]
pub struct Strip {
    seeds: Vec<Seed>,
    small: bool,
}

#[derive(Serialize)]
struct Seed {
    name: String,
    frames: Vec<Frame>,
}

#[derive(Serialize)]
struct Frame {
    name: String,
    reward: String,
    picture: String,
}

impl Strip {
    /// Collects the pictures of `gallery`; `None` without two checkpoints or without images.
    ///
    /// # Errors
    /// [`ReportError::Picture`].
    pub fn of(gallery: &Gallery) -> Result<Option<Self>, ReportError> {
        let Some((first, _)) = gallery.ends() else { return Ok(None) };
        let chosen = evenly_spaced(gallery.checkpoints.len(), FRAMES);
        let shown: Vec<&Shown> = chosen.into_iter().map(|at| &gallery.checkpoints[at]).collect();
        let samples = shown.iter().map(|one| one.images.len()).min().unwrap_or(0).min(SEEDS);
        let seed = |at: usize| -> Result<Seed, ReportError> {
            let frames = shown.iter().map(|one| frame(one, at)).collect::<Result<_, _>>()?;
            Ok(Seed { name: format!("sample {}", first.scores[at].sample), frames })
        };
        let seeds = (0..samples).map(seed).collect::<Result<Vec<_>, _>>()?;
        let small = first.images.first().is_some_and(|image| image.width() < SIDE);
        Ok((!seeds.is_empty()).then_some(Self { seeds, small }))
    }
}

/// Returns at most `most` positions out of `count`, including the first and the last.
fn evenly_spaced(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    (0..most).map(|at| at * (count - 1) / (most - 1).max(1)).collect()
}

fn frame(shown: &Shown, at: usize) -> Result<Frame, ReportError> {
    let reward = number(f64::from(shown.scores[at].values[0]));
    Ok(Frame { name: shown.when(), reward, picture: data_uri(&shown.images[at], SIDE)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evenly_spaced_positions_include_both_ends() {
        assert_eq!(evenly_spaced(3, 4), [0, 1, 2]);
        assert_eq!(evenly_spaced(10, 4), [0, 3, 6, 9]);
    }
}
