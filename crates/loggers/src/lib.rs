//! Logs of a run for TensorBoard and Weights & Biases.
//!
//! [`TensorBoard`] writes event files (the formats of TensorBoard 2: `tensorboard/compat/proto`,
//! TFRecord). [`WeightsAndBiases`] starts a Python program, which reads the run's folder and logs
//! with the official SDK. In both, a resumed run has each step once.

mod error;
mod growing;
mod histogram;
mod scalars;
mod step;
mod tensorboard;
mod wandb;

pub use error::LogError;
pub use histogram::Histogram;
pub use scalars::scalars;
pub use step::{Picture, Step};
pub use tensorboard::TensorBoard;
pub use wandb::{WandbError, WandbRun, WeightsAndBiases, write_histograms};
