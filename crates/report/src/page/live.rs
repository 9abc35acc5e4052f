//! Parts of the live page: the views of the report, for the files written so far.

use crate::analysis::Analysis;
use crate::error::ReportError;
use crate::figures;
use crate::gallery::Gallery;
use crate::page::over_optimisation::OverOptimisation;
use crate::page::pairs::Pairs;
use crate::page::plots::Plots;
use crate::page::tiles::Tiles;
use crate::page::title::{capital, subtitle};
use crate::run::Run;
use askama::Template;

/// The views of the run's files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The reward, as text.
    pub title: String,
    /// Model and progress, as text.
    pub sub: String,
    /// The main numbers and the reward curve, as HTML.
    pub head: String,
    /// Images of the same noise before and after, and the change of diversity, as HTML.
    pub images: String,
    /// The curves of the updates, as HTML.
    pub training: String,
}

/// The evaluations of a run with their analysis, the slowest part of a page.
#[derive(Clone, Debug)]
pub struct Images {
    gallery: Gallery,
    analysis: Analysis,
}

#[derive(Template)]
#[template(path = "live_head.html")]
struct Head<'a> {
    tiles: Option<Tiles>,
    reward: Option<Plots<'a>>,
}

impl Images {
    /// Reads and analyses the evaluations of `run` from its grids.
    ///
    /// # Errors
    /// As [`Gallery::of_grids`].
    pub fn of(run: &Run) -> Result<Self, ReportError> {
        let gallery = Gallery::of_grids(run)?;
        let analysis = Analysis::of(run, Some(&gallery));
        Ok(Self { gallery, analysis })
    }
}

/// Returns the parts of `run`; `images` holds its first evaluation and its last.
///
/// # Errors
/// [`ReportError::Picture`] and [`ReportError::Template`].
pub fn parts(run: &Run, images: Option<&Images>) -> Result<Parts, ReportError> {
    let latest = Analysis::of(run, None);
    let analysis = match images {
        None => latest,
        Some(Images { analysis, .. }) => {
            Analysis { epochs: latest.epochs, kl: latest.kl, ..analysis.clone() }
        }
    };
    let epochs = format!("{} of {}", analysis.epochs, run.setting("num_epochs"));
    Ok(Parts {
        title: capital(&analysis.reward),
        sub: subtitle(run, &analysis, &epochs),
        head: head(run, &analysis)?,
        images: match images {
            Some(images) => comparison(run, &images.gallery, &analysis)?,
            None => String::new(),
        },
        training: if run.epochs.is_empty() {
            String::new()
        } else {
            Plots::columns("training", "Training", &figures::training(run)).render()?
        },
    })
}

fn head(run: &Run, analysis: &Analysis) -> askama::Result<String> {
    let has_points = !(run.epochs.is_empty() && run.evaluations.is_empty());
    let figure = figures::reward(run);
    let head = Head {
        tiles: (!run.epochs.is_empty()).then(|| Tiles::of(run, analysis)),
        reward: has_points.then(|| Plots::wide("reward", "Reward", &figure, Vec::new())),
    };
    head.render()
}

fn comparison(run: &Run, gallery: &Gallery, analysis: &Analysis) -> Result<String, ReportError> {
    let figures = Vec::from_iter(figures::reward_against_kl(run));
    let over = OverOptimisation::of(analysis, &figures).render()?;
    let pairs = Pairs::of(gallery, analysis)?.map(|pairs| pairs.render()).transpose()?;
    Ok(pairs.unwrap_or_default() + &over)
}
