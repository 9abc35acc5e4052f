//! The flags of `ddpo evaluate`.

use crate::choices::PixelMaps;
use crate::reward::ServerFlags;
use clap::Args;
use ddpo_rollout::classes::ClassList;
use ddpo_rollout::reward::AgeClasses;
use std::path::PathBuf;

/// Flags of `ddpo evaluate`. Missing flags default to the settings of the first run folder.
#[derive(Debug, Default, Args)]
pub struct EvaluateCommand {
    /// Checkpoints: a run folder (what it started from and all its checkpoints), a checkpoint folder,
    /// a Hub name, or toy-faces-32; the first is the baseline for comparisons
    #[arg(required = true, value_name = "CHECKPOINT")]
    pub checkpoints: Vec<String>,
    /// Folder for images and tables; repeat the same command to continue an interrupted evaluation
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Reward to score with, as in ddpo train; repeat the flag for several rewards
    #[arg(long, value_name = "REWARD", allow_hyphen_values = true)]
    pub reward: Vec<String>,
    /// Values of DDIM's eta to sample with, separated by commas (default: the run's, or 1, and 0)
    #[arg(long, value_delimiter = ',')]
    pub eta: Vec<f64>,
    /// Seeds of the noise, separated by commas
    #[arg(long, value_delimiter = ',', conflicts_with = "seeds_csv")]
    pub seeds: Vec<u64>,
    /// CSV file with a column seed and optionally a column sample, such as the rewards.csv of
    /// another evaluation
    #[arg(long, value_name = "FILE")]
    pub seeds_csv: Option<PathBuf>,
    /// Samples per seed (default: the run's, or 16)
    #[arg(long)]
    pub num_samples: Option<u32>,
    /// Denoising steps (default: the run's, or 40)
    #[arg(long)]
    pub num_inference_steps: Option<usize>,
    /// ddim or ddpm
    #[arg(long)]
    pub scheduler: Option<String>,
    /// Number of samples denoised together (default: the run's, or 16)
    #[arg(long)]
    pub batch_size: Option<usize>,
    /// Number of samples to score at every denoising step, by the image predicted there
    #[arg(long, default_value_t = 16)]
    pub path_samples: usize,
    /// Reward network: a folder, a Hub name, or toy-ages-32
    #[arg(long, value_name = "MODEL")]
    pub reward_model: Option<String>,
    /// Aesthetic head: a file, or a file on the Hub as owner/name/file
    #[arg(long, value_name = "FILE")]
    pub aesthetic_head: Option<String>,
    /// How ages become a reward: logits, probability or log-odds
    #[arg(long)]
    pub age_reward: Option<String>,
    /// Ages of the classifier's labels that do not state them, such as "young=0-29, old=30+"
    #[arg(long, value_name = "LABEL=AGES,..")]
    pub age_classes: Option<AgeClasses>,
    /// auto, cpu, cuda or cuda:N
    #[arg(long)]
    pub device: Option<String>,
    /// Type that the UNet runs in: f32 or bf16
    #[arg(long)]
    pub dtype: Option<String>,
    /// Type that reward networks run in: f32 or bf16
    #[arg(long)]
    pub reward_dtype: Option<String>,
    /// Map of images to 8 bits before they are scored (default: the run's, or signed)
    #[arg(long, value_enum)]
    pub pixel_map: Option<PixelMaps>,
    /// CPU threads (default: all)
    #[arg(long)]
    pub threads: Option<usize>,
    /// Classes of class-conditional models, separated by commas (default: the run's, or all); the
    /// samples of a seed take them in turn
    #[arg(long, value_name = "CLASS,..")]
    pub class_labels: Option<ClassList>,
    /// Use the trained weights (unet/) even if a checkpoint has averaged weights (unet_ema/)
    #[arg(long)]
    pub no_ema: bool,
    /// Reward servers.
    #[command(flatten)]
    pub servers: ServerFlags,
    /// Seed of the bootstrap intervals
    #[arg(long, default_value_t = 0)]
    pub bootstrap_seed: u64,
}
