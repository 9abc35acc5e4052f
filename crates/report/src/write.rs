//! Writes the folder of a report: the page, its plots as SVG and PNG, pictures, and the numbers.

use crate::analysis::Analysis;
use crate::error::ReportError;
use crate::figures::{Figure, Figures};
use crate::files;
use crate::gallery::Gallery;
use crate::number::number;
use crate::page::report::page;
use crate::pictures::{enlarge, shrink, write_gif};
use crate::plot::{raster, svg};
use crate::run::Run;
use ddpo_picture::{Cell, encode_png, grid};
use ddpo_rollout::image::RgbImage;
use std::path::{Path, PathBuf};

/// Number of pairs in `before-after.png`.
const PAIRS: usize = 16;

/// Maximum number of checkpoints in `seed.gif`, and the hundredths of a second of each.
const FRAMES: usize = 60;
const HUNDREDTHS: u16 = 60;

/// Approximate side of the pictures in pixels.
const SIDE: usize = 192;

/// A report that was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The page.
    pub page: PathBuf,
    /// The numbers.
    pub analysis: Analysis,
}

/// Writes the report of `run` into `out`: `report.html`, `report.json`, `plots/`, and, if there
/// are images of two checkpoints, `before-after.png` and `seed.gif`.
///
/// # Errors
/// [`ReportError`] names the file.
pub fn write(run: &Run, gallery: Option<&Gallery>, out: &Path) -> Result<Written, ReportError> {
    let analysis = Analysis::of(run, gallery);
    let figures = Figures::of(run, gallery, &analysis);
    for figure in figures.all() {
        write_figure(figure, out)?;
    }
    if let Some(gallery) = gallery.filter(|gallery| gallery.ends().is_some()) {
        files::write(&out.join("before-after.png"), &encode_png(&before_after(gallery))?)?;
        write_gif(&out.join("seed.gif"), &frames(gallery), HUNDREDTHS)?;
    }
    let numbers = serde_json::to_string_pretty(&analysis)
        .map_err(|error| ReportError::file(&out.join("report.json"), error.to_string()))?;
    files::write(&out.join("report.json"), (numbers + "\n").as_bytes())?;
    let path = out.join("report.html");
    files::write(&path, page(run, gallery, &analysis, &figures)?.as_bytes())?;
    Ok(Written { page: path, analysis })
}

/// Writes a plot into `out`: `plots/NAME.svg` and `plots/NAME.png`.
///
/// # Errors
/// [`ReportError`] names the file.
pub(crate) fn write_figure(figure: &Figure, out: &Path) -> Result<(), ReportError> {
    let plots = out.join("plots");
    let file = |extension| plots.join(format!("{}.{extension}", figure.name));
    files::write(&file("svg"), svg::file(&figure.wide)?.as_bytes())?;
    match raster::image(&figure.wide) {
        Some(image) => files::write(&file("png"), &encode_png(&image)?),
        None => Ok(()),
    }
}

/// Scales an image to about [`SIDE`] pixels.
fn shown(image: &RgbImage) -> RgbImage {
    let side = image.width().max(image.height()).max(1);
    if side > SIDE { shrink(image, side.div_ceil(SIDE)) } else { enlarge(image, SIDE / side) }
}

/// Draws pairs of images of the same noise with their rewards.
fn before_after(gallery: &Gallery) -> RgbImage {
    let Some((first, last)) = gallery.ends() else { return grid(&[], 1, 1, "") };
    let count = first.images.len().min(last.images.len()).min(PAIRS);
    let cells: Vec<Cell> = (0..count)
        .flat_map(|at| [first, last].map(|one| (one, at)))
        .map(|(one, at)| {
            let (image, reward) = (&one.images[at], one.scores[at].values[0]);
            Cell { image: shrink(&shown(image), 2), label: format!("{reward:.3}") }
        })
        .collect();
    grid(&cells, 8, 1, "the same noise, before | after")
}

/// Draws the first sample of each checkpoint with its epoch and reward.
fn frames(gallery: &Gallery) -> Vec<RgbImage> {
    let all = gallery.checkpoints.len();
    let every = all.div_ceil(FRAMES).max(1);
    let chosen = gallery.checkpoints.iter().enumerate();
    let chosen =
        chosen.filter(|(at, one)| !one.images.is_empty() && (at % every == 0 || at + 1 == all));
    let frame = |(_, one): (usize, &crate::gallery::Shown)| {
        let when = one.epoch.map_or_else(|| one.name.clone(), |epoch| format!("epoch {epoch}"));
        let reward = number(f64::from(one.scores[0].values[0])).replace('\u{2212}', "-");
        let label = format!("{when}\n{reward}");
        grid(&[Cell { image: shown(&one.images[0]), label }], 1, 1, "")
    };
    chosen.map(frame).collect()
}
