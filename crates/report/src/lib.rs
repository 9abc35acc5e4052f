//! What a run's files tell: statistics with their intervals, diversity, plots, and the page that
//! shows them.
//!
//! It stands behind everything else: it reads the folder of a run and of an evaluation, computes and
//! writes, and knows neither libtorch nor the network. What has to be sampled, the program samples
//! first. Plots and the page's parts are of use by themselves, for whoever shows a run otherwise.
//!
//! Flow: [`run`] and [`gallery`] (out of [`evaluation`] or the run's own grids) are read;
//! [`analysis`] computes; [`figures`] draws by [`plot`]; [`page`] and [`write`](mod@write) put it
//! together.

pub mod analysis;
pub mod diversity;
pub mod error;
pub mod evaluation;
pub mod features;
pub mod figures;
pub mod files;
pub mod gallery;
pub mod number;
pub mod page;
pub mod pictures;
pub mod plot;
pub mod run;
pub mod statistics;
pub mod summary;
pub mod table;
pub mod write;

pub use error::ReportError;
