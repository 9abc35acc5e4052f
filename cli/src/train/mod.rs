//! The parts of `ddpo train` that the run's loop (`ddpo_run`) leaves to the program: where
//! trajectories come from, and what a person sees.

mod batch_board;
mod dashboard;
mod in_process;
mod progress;

pub use dashboard::Page;
pub use in_process::InProcess;
pub use progress::{ProgressLayer, Terminal};
