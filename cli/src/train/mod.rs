//! The parts of `ddpo train` that the run's loop (`ddpo_run`) leaves to the program: the source of
//! trajectories, and output for the user.

mod batch_board;
mod dashboard;
mod in_process;
mod progress;

pub use dashboard::Page;
pub use in_process::InProcess;
pub use progress::{ProgressLayer, Terminal};
