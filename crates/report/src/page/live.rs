//! The parts of a page that is shown while the run goes on: the same views as the report's, out of the
//! files that are there by now.

use crate::analysis::Analysis;
use crate::error::ReportError;
use crate::figures::{self, Figure};
use crate::gallery::Gallery;
use crate::page::html::{quiet, section};
use crate::page::{capital, figure_html, pairs, sections, subtitle, tiles};
use crate::run::Run;

/// What the page shows of the run's files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// What the run is for, as text.
    pub title: String,
    /// What is finetuned, as text.
    pub sub: String,
    /// Figures in a row, and the curve of the reward.
    pub head: String,
    /// The same noise before and after, and what became of the diversity.
    pub images: String,
    /// The curves of the updates.
    pub training: String,
}

/// Evaluations of a run with what they come to, which takes longer than all else.
#[derive(Clone, Debug)]
pub struct Images {
    gallery: Gallery,
    analysis: Analysis,
}

impl Images {
    /// The evaluations of `run`, cut out of its grids.
    ///
    /// # Errors
    /// As [`Gallery::of_grids`].
    pub fn of(run: &Run) -> Result<Self, ReportError> {
        let gallery = Gallery::of_grids(run)?;
        let analysis = Analysis::of(run, Some(&gallery));
        Ok(Self { gallery, analysis })
    }
}

/// The parts of `run`; `images` holds its first evaluation and its last.
///
/// # Errors
/// [`ReportError::Picture`] if a picture cannot be encoded.
pub fn parts(run: &Run, images: Option<&Images>) -> Result<Parts, ReportError> {
    let latest = Analysis::of(run, None);
    let analysis = match images {
        None => latest,
        Some(Images { analysis, .. }) => {
            Analysis { epochs: latest.epochs, kl: latest.kl, ..analysis.clone() }
        }
    };
    let shown = images.map(|images| shown(run, &images.gallery, &analysis)).transpose()?;
    Ok(Parts {
        title: capital(&analysis.reward),
        sub: subtitle(
            run,
            &analysis,
            &format!("{} of {}", analysis.epochs, run.setting("num_epochs")),
        ),
        head: head(run, &analysis),
        images: shown.unwrap_or_default(),
        training: match run.epochs.is_empty() {
            true => String::new(),
            false => section("training", "Training", &plots(figures::training(run))),
        },
    })
}

fn head(run: &Run, analysis: &Analysis) -> String {
    let tiles = match run.epochs.is_empty() {
        true => quiet("The first epoch is under way: the curves begin with its end."),
        false => tiles::tiles(run, analysis),
    };
    if run.epochs.is_empty() && run.evaluations.is_empty() {
        return tiles;
    }
    let reward = figure_html(&figures::reward(run));
    tiles + &section("reward", "Reward", &format!("<div class=\"plots one\">{reward}</div>"))
}

fn shown(run: &Run, gallery: &Gallery, analysis: &Analysis) -> Result<String, ReportError> {
    let plots = figures::reward_against_kl(run).as_ref().map(figure_html).unwrap_or_default();
    let over = sections::over_optimisation(analysis, &plots);
    Ok(pairs::section(gallery, analysis)? + &over)
}

fn plots(figures: Vec<Figure>) -> String {
    let figures: String = figures.iter().map(figure_html).collect();
    format!("<div class=\"plots\">{figures}</div>")
}
