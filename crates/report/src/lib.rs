//! Reports of a run: statistics with intervals, diversity, plots, and the page that shows them.
//!
//! The crate reads the folders of a run and of an evaluation, computes and writes. It uses neither
//! libtorch nor the network; `ddpo report` samples images before it calls this crate. The live page
//! uses the plots and parts of the page by themselves.
//!
//! Data flow: [`run`] and [`gallery`] (from an [`evaluation`] or the run's own grids) are read;
//! [`analysis`] computes; [`figures`] draws with [`plot`]; [`page`] renders and [`write`](mod@write)
//! writes the files. [`sweep`] has the records of `ddpo sweep`, [`outcome`] measures one run, and
//! [`comparison`] draws the fronts of several runs.

pub mod analysis;
pub mod best_of;
pub mod comparison;
pub mod contrast;
pub mod diversity;
pub mod error;
pub mod evaluation;
pub mod features;
pub mod figures;
pub mod files;
pub mod gallery;
pub mod judgement;
pub mod kept;
pub mod number;
pub mod outcome;
pub mod page;
pub mod pictures;
pub mod plot;
pub mod run;
pub mod statistics;
pub mod summary;
pub mod sweep;
pub mod table;
pub mod write;

pub use error::ReportError;
