//! The flags of `ddpo doctor`.

use clap::Args;
use std::path::PathBuf;

/// Flags of `ddpo doctor`.
#[derive(Debug, Args)]
pub struct DoctorCommand {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Device to look for: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Redis to ask; that of DDPO_SERVICE_REDIS_URL by default, otherwise none
    #[arg(long, value_name = "URL")]
    pub redis_url: Option<String>,
    /// Folder whose free space is shown
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub output_dir: PathBuf,
}
