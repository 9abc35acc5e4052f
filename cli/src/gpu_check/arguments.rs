//! The flags of `ddpo gpu-check`.

use clap::Args;
use std::path::PathBuf;

/// Flags of `ddpo gpu-check`.
#[derive(Debug, Args)]
pub struct GpuCheckCommand {
    /// Folder for gpu-check.json and index.html
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Minutes for measurements; one forward and one training pass are always measured
    #[arg(long, default_value_t = 8.0)]
    pub minutes: f64,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// CPU threads (default: all)
    #[arg(long)]
    pub threads: Option<usize>,
}
