//! The commands and their flags.

use crate::auth::AuthFlags;
use crate::choices::PredictionType;
use crate::doctor::arguments::DoctorCommand;
use crate::evaluate::arguments::EvaluateCommand;
use crate::gpu_check::arguments::GpuCheckCommand;
use crate::images::ImageFlags;
use crate::reward::ServerFlags;
use clap::{Args, Parser, Subcommand};
use ddpo_rollout::classes::ClassList;
use ddpo_rollout::reward::AgeClasses;
use ddpo_run::settings::SettingFlags;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The default address of the live page.
const DASHBOARD: &str = "127.0.0.1:9467";

/// Finetune unconditional and class-conditional diffusion models with rewards, by DDPO.
#[derive(Debug, Parser)]
#[command(name = "ddpo", version, about, max_term_width = 100)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of `ddpo`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Finetune a model: sample, score, update, epoch by epoch
    Train(TrainCommand),
    /// Draw samples from a model
    Sample(SampleCommand),
    /// Score images and print them as CSV
    Score(ScoreCommand),
    /// Sample the same noise from several checkpoints, score it, and compare
    Evaluate(Box<EvaluateCommand>),
    /// Write an HTML report of a run: curves, images before and after, diversity
    Report(ReportCommand),
    /// Train a table of settings times seeds, and measure what each setting reaches
    Sweep(SweepCommand),
    /// Draw the fronts of sweeps and runs: reward against diversity, queries and CPU time
    Compare(CompareCommand),
    /// Train one epoch on a recorded batch
    Replay(ReplayCommand),
    /// Convert a .pth file of alcazar90/ddpo-celebahq to a checkpoint folder, or back
    Convert(ConvertCommand),
    /// Upload a checkpoint with its model card to the Hugging Face Hub
    Push(PushCommand),
    /// Log a run to Weights & Biases, during the run or afterwards
    Log(LogCommand),
    /// Train a DDPM from scratch on a folder of images or on drawn faces
    Pretrain(PretrainCommand),
    /// Train a small age classifier from scratch on drawn faces
    PretrainAges(PretrainAgesCommand),
    /// Show a running service: its status and its live trajectories
    Inspect(InspectCommand),
    /// Show the machine (CPU, GPUs, libtorch, Redis, Hub, disk) and the device that commands would
    /// use
    Doctor(DoctorCommand),
    /// Check a GPU for correct and reproducible results, and measure speed and memory
    GpuCheck(GpuCheckCommand),
    /// Exit with 0 if a running service is serving: a health check for containers
    Health(HealthCommand),
}

/// Flags of `ddpo train`.
#[derive(Debug, Args)]
pub struct TrainCommand {
    /// Settings file (TOML); keys are the flag names with underscores
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Continue the run in --output-dir from its last checkpoint, bit for bit
    #[arg(long)]
    pub resume: bool,
    /// Print the resolved settings and exit
    #[arg(long)]
    pub dry_run: bool,
    /// Serve a live page during the run, on loopback unless an address is given
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = DASHBOARD)]
    pub dashboard: Option<SocketAddr>,
    /// The process that started this one: if it is killed, so is this one
    #[arg(long, value_name = "PROCESS", hide = true)]
    pub parent: Option<u32>,
    /// Reward servers.
    #[command(flatten)]
    pub servers: ServerFlags,
    /// Settings of the run.
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// Flags of `ddpo inspect`.
#[derive(Debug, Args)]
pub struct InspectCommand {
    /// gRPC address of a sampler, rewarder or learner: host:port
    pub address: String,
    /// Print every change of a trajectory until interrupted
    #[arg(long)]
    pub watch: bool,
    /// Keep the latest state of each trajectory as a PNG in this folder, up to 512 pixels a side
    #[arg(long, value_name = "DIR", requires = "watch")]
    pub images: Option<PathBuf>,
    /// Number of trajectories to list, latest first
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
    /// Show one trajectory
    #[arg(long, value_name = "ID")]
    pub trajectory: Option<String>,
    /// Write its latest state to this PNG file
    #[arg(long, value_name = "FILE", requires = "trajectory")]
    pub png: Option<PathBuf>,
    /// Authentication and TLS.
    #[command(flatten)]
    pub auth: AuthFlags,
}

/// Flags of `ddpo health`.
#[derive(Debug, Args)]
pub struct HealthCommand {
    /// gRPC address of a sampler, rewarder or learner: host:port
    pub address: String,
    /// Accept any answer of the health service, also NOT_SERVING
    #[arg(long)]
    pub live: bool,
    /// Authentication and TLS.
    #[command(flatten)]
    pub auth: AuthFlags,
}

/// Flags of `ddpo sample`.
#[derive(Debug, Args)]
pub struct SampleCommand {
    /// Checkpoint: a folder, a Hub name such as google/ddpm-church-256, or toy-faces-32
    #[arg(long)]
    pub ddpm_ckpt: String,
    /// Number of samples
    #[arg(long, default_value_t = 16)]
    pub num_samples: usize,
    /// Denoising steps
    #[arg(long, default_value_t = 40)]
    pub num_inference_steps: usize,
    /// Stochasticity of DDIM
    #[arg(long, default_value_t = 1.0)]
    pub eta: f64,
    /// ddim or ddpm
    #[arg(long, default_value = "ddim")]
    pub scheduler: String,
    /// Seed of all noise; sample i does not depend on the number of samples
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Number of samples denoised together
    #[arg(long, default_value_t = 16)]
    pub batch_size: usize,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Type that the UNet runs in: f32 or bf16
    #[arg(long, default_value = "f32")]
    pub dtype: String,
    /// CPU threads (default: all)
    #[arg(long)]
    pub threads: Option<usize>,
    /// Folder for the images
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Also write trajectories.safetensors: states, log_probs, timesteps, sigmas
    #[arg(long)]
    pub save_trajectories: bool,
    /// Use the averaged weights (unet_ema/) of a checkpoint that has them
    #[arg(long)]
    pub ema: bool,
    /// Classes of a class-conditional model, separated by commas (default: all); sample i has class i of
    /// the list, which starts again at its end
    #[arg(long, value_name = "CLASS,..")]
    pub class_labels: Option<ClassList>,
}

/// Flags of `ddpo score`.
#[derive(Debug, Args)]
pub struct ScoreCommand {
    /// The task whose reward to compute
    #[arg(long, default_value = "aesthetic score")]
    pub task: String,
    /// Reward to use instead of the task's: a sum such as "0.7*aesthetic + 0.3*jpeg
    /// compressibility"
    #[arg(long, value_name = "REWARD", allow_hyphen_values = true)]
    pub reward: Option<String>,
    /// Reward network: a folder, a Hub name, or toy-ages-32 (default: the task's network)
    #[arg(long, value_name = "MODEL")]
    pub reward_model: Option<String>,
    /// Aesthetic head: a file, or a file on the Hub as owner/name/file
    #[arg(long, value_name = "FILE")]
    pub aesthetic_head: Option<String>,
    /// How ages become a reward: logits, probability or log-odds
    #[arg(long, default_value = "logits")]
    pub age_reward: String,
    /// Ages of the classifier's labels that do not state them, such as "young=0-29, old=30+"
    #[arg(long, value_name = "LABEL=AGES,..")]
    pub age_classes: Option<AgeClasses>,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Type that the network runs in: f32 or bf16
    #[arg(long, default_value = "f32")]
    pub dtype: String,
    /// CPU threads (default: all)
    #[arg(long)]
    pub threads: Option<usize>,
    /// Reward servers.
    #[command(flatten)]
    pub servers: ServerFlags,
    /// How files are read.
    #[command(flatten)]
    pub images: ImageFlags,
    /// Images (PNG, JPEG, WebP, GIF, BMP, TIFF), or folders of images
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// Flags of `ddpo report`.
#[derive(Debug, Args)]
pub struct ReportCommand {
    /// Folder of a run of ddpo train or ddpo-learner
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Folder for report.html, plots and images (default: RUN/report)
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Draw no samples: show the images that the run's evaluations saved
    #[arg(long)]
    pub no_sampling: bool,
    /// Samples to draw from each checkpoint (default: as in the run's evaluations)
    #[arg(long, conflicts_with = "no_sampling")]
    pub num_samples: Option<u32>,
    /// Device to sample on: auto, cpu, cuda or cuda:N
    #[arg(long)]
    pub device: Option<String>,
    /// CPU threads (default: all)
    #[arg(long)]
    pub threads: Option<usize>,
}

/// Flags of `ddpo sweep`.
#[derive(Debug, Args)]
pub struct SweepCommand {
    /// Table of settings (TOML): seeds, [tasks.NAME] and [arms.NAME]
    pub file: PathBuf,
    /// Folder for the runs, one TASK-ARM-SEED each, and sweep.json (default: runs/NAME for NAME.toml)
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Runs side by side (default: the number of cores divided by the threads of each run)
    #[arg(long)]
    pub jobs: Option<usize>,
    /// Seeds in place of the file's, separated by commas
    #[arg(long, value_delimiter = ',')]
    pub seeds: Vec<u64>,
    /// Only runs whose TASK/ARM contains this text
    #[arg(long, value_name = "PART")]
    pub only: Vec<String>,
}

/// Flags of `ddpo compare`.
#[derive(Debug, Args)]
pub struct CompareCommand {
    /// Folders of sweeps, or of single runs
    #[arg(required = true, value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Folder for index.html, compare.json and the plots
    #[arg(long, value_name = "DIR", default_value = "comparison")]
    pub out: PathBuf,
}

/// Flags of `ddpo replay`.
#[derive(Debug, Args)]
pub struct ReplayCommand {
    /// Recorded batch: states, log_probs, timesteps, rewards
    #[arg(long, value_name = "FILE")]
    pub batch: PathBuf,
    /// Folder for the updated checkpoint and metrics.json
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Settings of the update.
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// Flags of `ddpo convert`.
#[derive(Debug, Args)]
pub struct ConvertCommand {
    /// A .pth file with model_state_dict, optimizer_state_dict and best_reward, or a checkpoint: a
    /// folder, a Hub name, or toy-faces-32
    pub input: String,
    /// For a .pth file: the base model of the finetuning, for its configs
    #[arg(long, value_name = "CHECKPOINT")]
    pub ddpm_ckpt: Option<String>,
    /// For a checkpoint: convert the averaged weights, without the optimizer
    #[arg(long, conflicts_with = "ddpm_ckpt")]
    pub ema: bool,
    /// Folder for the checkpoint, or the .pth file to write
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
}

/// Flags of `ddpo push`. The token comes from HF_TOKEN or the file that `hf auth login` writes;
/// HF_ENDPOINT selects another Hub.
#[derive(Debug, Args)]
pub struct PushCommand {
    /// Repository on the Hub: owner/name; created if missing
    pub repository: String,
    /// Push the best checkpoint of the run in this folder, or the last one if none is marked best
    /// (default: the current folder)
    #[arg(long, value_name = "DIR", conflicts_with = "checkpoint")]
    pub run: Option<PathBuf>,
    /// Push this checkpoint
    #[arg(long, value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,
    /// Create the repository as private
    #[arg(long)]
    pub private: bool,
    /// Branch to push to; created if missing
    #[arg(long, default_value = "main")]
    pub revision: String,
    /// Commit message
    #[arg(long)]
    pub message: Option<String>,
    /// Leave out the optimizer and the run state, which only a resumed run needs
    #[arg(long)]
    pub model_only: bool,
}

/// Flags of `ddpo log`.
#[derive(Debug, Args)]
pub struct LogCommand {
    /// The program to log to.
    #[command(subcommand)]
    pub target: LogTarget,
}

/// The programs that a run can be logged to.
#[derive(Debug, Subcommand)]
pub enum LogTarget {
    /// Log each epoch once with the wandb SDK (pip install wandb pillow); follow the run until it
    /// ends
    Wandb(WandbCommand),
}

/// Flags of `ddpo log wandb`. `DDPO_PYTHON` selects the Python with wandb, `WANDB_MODE` sets
/// wandb's mode.
#[derive(Debug, Args)]
pub struct WandbCommand {
    /// Run folder
    pub run: PathBuf,
    /// Project (default: the run's setting)
    #[arg(long)]
    pub project: Option<String>,
    /// User or team (default: the run's setting)
    #[arg(long)]
    pub entity: Option<String>,
    /// Name in Weights & Biases (default: the run's setting)
    #[arg(long)]
    pub name: Option<String>,
    /// Tags, separated by commas (default: the run's setting)
    #[arg(long, value_delimiter = ',')]
    pub tags: Option<Vec<String>>,
    /// Upload the last and the best checkpoint as artifacts
    #[arg(long)]
    pub save_model: bool,
}

/// Flags of `ddpo pretrain`.
#[derive(Debug, Args)]
pub struct PretrainCommand {
    /// Folder of images: PNG, JPEG, WebP, GIF, BMP, TIFF (default: drawn faces)
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// How files are read.
    #[command(flatten)]
    pub files: ImageFlags,
    /// Number of drawn faces
    #[arg(long, default_value_t = 20_000)]
    pub faces: usize,
    /// Model: config.json of a UNet2DModel (default: the toy-faces-32 model)
    #[arg(long, value_name = "FILE")]
    pub unet_config: Option<PathBuf>,
    /// Start from the weights and the scheduler of this checkpoint: a folder, a Hub name, or
    /// toy-faces-32
    #[arg(long, value_name = "CHECKPOINT", conflicts_with = "unet_config")]
    pub init: Option<String>,
    /// What the model learns to predict (default: as the scheduler of --init, or epsilon)
    #[arg(long, value_enum)]
    pub prediction_type: Option<PredictionType>,
    /// Optimizer steps
    #[arg(long, default_value_t = 13_000)]
    pub steps: u64,
    /// Images per step
    #[arg(long, default_value_t = 32)]
    pub batch_size: usize,
    /// Peak learning rate
    #[arg(long, default_value_t = 1.5e-3)]
    pub learning_rate: f64,
    /// Decay of the averaged weights, which the checkpoint contains
    #[arg(long, default_value_t = 0.999)]
    pub ema_decay: f64,
    /// Seed of weights, order, timesteps and noise
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// CPU threads (default: all)
    #[arg(long)]
    pub threads: Option<usize>,
    /// Folder for the checkpoint
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Flags of `ddpo pretrain-ages`.
#[derive(Debug, Args)]
pub struct PretrainAgesCommand {
    /// Number of drawn faces
    #[arg(long, default_value_t = 9_000)]
    pub faces: usize,
    /// Optimizer steps
    #[arg(long, default_value_t = 2_000)]
    pub steps: u64,
    /// Images per step
    #[arg(long, default_value_t = 64)]
    pub batch_size: usize,
    /// Peak learning rate
    #[arg(long, default_value_t = 1e-3)]
    pub learning_rate: f64,
    /// Decay of the averaged weights, which the checkpoint contains
    #[arg(long, default_value_t = 0.998)]
    pub ema_decay: f64,
    /// Seed of weights, order and augmentation
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// CPU threads (default: all)
    #[arg(long)]
    pub threads: Option<usize>,
    /// Folder for the classifier
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Accepts long flags in upstream's underscore spelling as well, including `--no_x`.
pub fn kebab_case(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    arguments.map(|argument| argument.to_str().map_or(argument.clone(), kebab_flag)).collect()
}

fn kebab_flag(argument: &str) -> OsString {
    if !argument.starts_with("--") {
        return argument.into();
    }
    match argument.split_once('=') {
        Some((name, value)) => format!("{}={value}", name.replace('_', "-")).into(),
        None => argument.replace('_', "-").into(),
    }
}
