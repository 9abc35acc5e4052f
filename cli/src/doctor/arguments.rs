//! The flags of `ddpo doctor`.

use clap::Args;
use std::path::PathBuf;

/// Flags of `ddpo doctor`.
#[derive(Debug, Args)]
pub struct DoctorCommand {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Device to check: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Redis to connect to (default: DDPO_SERVICE_REDIS_URL, otherwise none)
    #[arg(long, value_name = "URL")]
    pub redis_url: Option<String>,
    /// Folder whose free space to show
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub output_dir: PathBuf,
}
