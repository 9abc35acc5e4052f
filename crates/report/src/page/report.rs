//! The whole page of a report, in one file.

use crate::analysis::Analysis;
use crate::error::ReportError;
use crate::figures::Figures;
use crate::gallery::Gallery;
use crate::page::by_class::ByClass;
use crate::page::over_optimisation::OverOptimisation;
use crate::page::pairs::Pairs;
use crate::page::plots::Plots;
use crate::page::settings::Settings;
use crate::page::strip::Strip;
use crate::page::theme::{SCRIPT, style};
use crate::page::tiles::Tiles;
use crate::page::title::{capital, subtitle};
use crate::pictures::data_uri;
use crate::run::Run;
use askama::Template;

/// Maximum side of the pictures in the tooltips of the map.
const THUMBNAIL: usize = 64;

#[derive(Template)]
#[template(path = "report.html")]
struct Report<'a> {
    title: String,
    heading: String,
    subtitle: String,
    tiles: Tiles,
    reward: Plots<'a>,
    pairs: Option<Pairs>,
    strip: Option<Strip>,
    classes: Option<Plots<'a>>,
    by_class: Option<ByClass>,
    map: Option<Plots<'a>>,
    over_optimisation: OverOptimisation<'a>,
    training: Plots<'a>,
    settings: Settings,
}

/// Returns the page of `run`.
///
/// # Errors
/// [`ReportError::Picture`] and [`ReportError::Template`].
pub fn page(
    run: &Run,
    gallery: Option<&Gallery>,
    analysis: &Analysis,
    figures: &Figures,
) -> Result<String, ReportError> {
    let map = figures.map.as_ref().map(|map| {
        let pictures = gallery.map_or(Ok(Vec::new()), |gallery| map_pictures(gallery, analysis))?;
        Ok::<_, ReportError>(Plots::wide("map", "Map of the images", map, pictures))
    });
    let classes = (!figures.classes.is_empty())
        .then(|| Plots::columns("classes", "Classes, before and after", &figures.classes));
    let report = Report {
        title: format!("{}: {}", analysis.run, analysis.reward),
        heading: capital(&analysis.reward),
        subtitle: subtitle(run, analysis, &analysis.epochs.to_string()),
        tiles: Tiles::of(run, analysis),
        reward: Plots::wide("reward", "Reward", &figures.reward, Vec::new()),
        pairs: gallery.map(|gallery| Pairs::of(gallery, analysis)).transpose()?.flatten(),
        strip: gallery.map(Strip::of).transpose()?.flatten(),
        classes,
        by_class: ByClass::of(analysis),
        map: map.transpose()?,
        over_optimisation: OverOptimisation::of(analysis, &figures.over_optimisation),
        training: Plots::columns("training", "Training", &figures.training),
        settings: Settings::of(run),
    };
    Ok(report.render()?)
}

/// Returns the pictures of the map's points, in their order.
fn map_pictures(gallery: &Gallery, analysis: &Analysis) -> Result<Vec<String>, ReportError> {
    let Some((first, last)) = gallery.ends() else { return Ok(Vec::new()) };
    let half = analysis.map.as_ref().map_or(0, |map| map.points.len() / 2);
    let images = first.images.iter().take(half).chain(last.images.iter().take(half));
    images.map(|image| data_uri(image, THUMBNAIL)).collect()
}
