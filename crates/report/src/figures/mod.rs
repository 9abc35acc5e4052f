//! The plots of a report, each with the name of its file.

mod figure;
mod fronts;
mod images;
mod over_optimisation;
mod training;

pub use figure::Figure;
pub use fronts::fronts;
pub use over_optimisation::reward_against_kl;
pub use training::{reward, training};

use crate::analysis::Analysis;
use crate::gallery::Gallery;
use crate::run::Run;

/// All plots of a report.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Reward of training samples and evaluations.
    pub reward: Figure,
    /// Shares by class, one plot for each classifier.
    pub classes: Vec<Figure>,
    /// Map of the images.
    pub map: Option<Figure>,
    /// Signs of over-optimisation.
    pub over_optimisation: Vec<Figure>,
    /// Curves of the updates.
    pub training: Vec<Figure>,
}

impl Figures {
    /// Draws all plots.
    pub fn of(run: &Run, gallery: Option<&Gallery>, analysis: &Analysis) -> Self {
        Self {
            reward: reward(run),
            classes: images::classes(analysis),
            map: gallery.and_then(|gallery| images::map(gallery, analysis)),
            over_optimisation: over_optimisation::figures(run, analysis),
            training: training(run),
        }
    }

    /// Iterates over all plots.
    pub fn all(&self) -> impl Iterator<Item = &Figure> {
        let one = std::iter::once(&self.reward).chain(&self.map);
        one.chain(&self.classes).chain(&self.over_optimisation).chain(&self.training)
    }
}
