//! The report as a page: askama templates (in `templates/`) filled with numbers, plots and pictures.

mod by_class;
pub mod comparison;
pub mod live;
mod over_optimisation;
mod pairs;
mod plots;
pub mod report;
mod settings;
mod strip;
mod table;
mod theme;
mod tiles;
mod title;

pub use theme::{SCRIPT, style};
