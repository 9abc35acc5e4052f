//! Writes the folder of a comparison.

use crate::comparison::data::Comparison;
use crate::error::ReportError;
use crate::figures::{Figure, fronts};
use crate::files;
use crate::page::comparison::page;
use crate::write::write_figure;
use std::path::{Path, PathBuf};

/// Writes `index.html`, `compare.json` and `plots/` into `out`, and returns the path of the page.
///
/// # Errors
/// [`ReportError`] names the file.
pub fn write(comparison: &Comparison, out: &Path) -> Result<PathBuf, ReportError> {
    let figures: Vec<Vec<Figure>> = comparison.tasks.iter().map(fronts).collect();
    for figure in figures.iter().flatten() {
        write_figure(figure, out)?;
    }
    let path = out.join("compare.json");
    let numbers = serde_json::to_string_pretty(comparison)
        .map_err(|error| ReportError::file(&path, error.to_string()))?;
    files::write(&path, (numbers + "\n").as_bytes())?;
    let path = out.join("index.html");
    files::write(&path, page(comparison, &figures)?.as_bytes())?;
    Ok(path)
}
