//! The commands and their flags.

use crate::auth::AuthFlags;
use crate::doctor::arguments::DoctorCommand;
use crate::gpu_check::arguments::GpuCheckCommand;
use clap::{Args, Parser, Subcommand, ValueEnum};
use ddpo_run::settings::SettingFlags;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the live page is served if no address is given.
const DASHBOARD: &str = "127.0.0.1:9467";

/// Finetune unconditional diffusion models with rewards, by DDPO.
#[derive(Debug, Parser)]
#[command(name = "ddpo", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `ddpo` does.
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
    /// Make a page of a run: curves, before and after, diversity
    Report(ReportCommand),
    /// Train one epoch on a recorded batch
    Replay(ReplayCommand),
    /// Turn a .pth file of alcazar90/ddpo-celebahq into a checkpoint, or a checkpoint into one
    Convert(ConvertCommand),
    /// Upload a checkpoint with its model card to the Hugging Face Hub
    Push(PushCommand),
    /// Log a run to Weights & Biases, while it is running or later
    Log(LogCommand),
    /// Train a DDPM from nothing, on a folder of images or on drawn faces
    Pretrain(PretrainCommand),
    /// Train a small classifier of ages from nothing, on drawn faces
    PretrainAges(PretrainAgesCommand),
    /// Show a running service: its status, its live trajectories
    Inspect(InspectCommand),
    /// Show what this machine offers (CPU, GPUs, libtorch, Redis, Hub, disk) and what would be used
    Doctor(DoctorCommand),
    /// Check and time a GPU: the right numbers, the same bytes each time, milliseconds, memory
    GpuCheck(GpuCheckCommand),
    /// Say by the exit status whether a running service serves: a health check for containers
    Health(HealthCommand),
}

/// Flags of `ddpo train`.
#[derive(Debug, Args)]
pub struct TrainCommand {
    /// Settings file (TOML); its keys are the flags' names with underscores
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Continue the run in --output-dir from its last checkpoint, to the bit
    #[arg(long)]
    pub resume: bool,
    /// Print the resolved settings and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Serve a live page of the run while it goes on, on loopback unless an address is given
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = DASHBOARD)]
    pub dashboard: Option<SocketAddr>,
    /// The settings.
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// Flags of `ddpo inspect`.
#[derive(Debug, Args)]
pub struct InspectCommand {
    /// gRPC address of a sampler, rewarder or learner: host:port
    pub address: String,
    /// Go on showing every change of a trajectory
    #[arg(long)]
    pub watch: bool,
    /// Keep the latest state of each as a PNG in this folder, up to 512 pixels a side
    #[arg(long, value_name = "DIR", requires = "watch")]
    pub images: Option<PathBuf>,
    /// Trajectories to list, the latest first
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
    /// Show this one trajectory
    #[arg(long, value_name = "ID")]
    pub trajectory: Option<String>,
    /// Write its latest state here as a PNG
    #[arg(long, value_name = "FILE", requires = "trajectory")]
    pub png: Option<PathBuf>,
    /// The service's door.
    #[command(flatten)]
    pub auth: AuthFlags,
}

/// Flags of `ddpo health`.
#[derive(Debug, Args)]
pub struct HealthCommand {
    /// gRPC address of a sampler, rewarder or learner: host:port
    pub address: String,
    /// Content with any answer of the health service, NOT_SERVING too
    #[arg(long)]
    pub live: bool,
    /// The service's door.
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
    /// Stochasticity of DDIM, from 0 to 1
    #[arg(long, default_value_t = 1.0)]
    pub eta: f64,
    /// ddim or ddpm
    #[arg(long, default_value = "ddim")]
    pub scheduler: String,
    /// Seed of all noise; sample i is the same whatever else is asked for
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Samples denoised together
    #[arg(long, default_value_t = 16)]
    pub batch_size: usize,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Type that the UNet runs in: f32 or bf16
    #[arg(long, default_value = "f32")]
    pub dtype: String,
    /// CPU threads; all by default
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
}

/// Flags of `ddpo score`.
#[derive(Debug, Args)]
pub struct ScoreCommand {
    /// The task whose reward to compute
    #[arg(long, default_value = "aesthetic score")]
    pub task: String,
    /// Reward in place of the task's: a sum such as "0.7*aesthetic + 0.3*jpeg compressibility"
    #[arg(long, value_name = "REWARD", allow_hyphen_values = true)]
    pub reward: Option<String>,
    /// The reward's network: a folder, a Hub name, or toy-ages-32; the task's own by default
    #[arg(long, value_name = "MODEL")]
    pub reward_model: Option<String>,
    /// The aesthetic head: a file, or one on the Hub as owner/name/file
    #[arg(long, value_name = "FILE")]
    pub aesthetic_head: Option<String>,
    /// How ages become a reward: logits, probability or log-odds
    #[arg(long, default_value = "logits")]
    pub age_reward: String,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Type that the network runs in: f32 or bf16
    #[arg(long, default_value = "f32")]
    pub dtype: String,
    /// CPU threads; all by default
    #[arg(long)]
    pub threads: Option<usize>,
    /// Images, or folders of images
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// Flags of `ddpo evaluate`. What is not given is taken from the first run folder, if there is one.
#[derive(Debug, Default, Args)]
pub struct EvaluateCommand {
    /// Checkpoints: a run's folder (the model it began with and all its checkpoints), a checkpoint's
    /// folder, a Hub name, or toy-faces-32; the others are compared with the first
    #[arg(required = true, value_name = "CHECKPOINT")]
    pub checkpoints: Vec<String>,
    /// Folder for images and tables; the same command again goes on where one was stopped
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Reward to score with, as ddpo train takes it; may be given several times
    #[arg(long, value_name = "REWARD", allow_hyphen_values = true)]
    pub reward: Vec<String>,
    /// Stochasticities of DDIM to sample with, with commas between them
    #[arg(long, value_delimiter = ',', default_values_t = [1.0, 0.0])]
    pub eta: Vec<f64>,
    /// Seeds of the noise, with commas between them
    #[arg(long, value_delimiter = ',', conflicts_with = "seeds_csv")]
    pub seeds: Vec<u64>,
    /// Seeds from a CSV file with a column seed and, if single samples are meant, a column sample;
    /// the rewards.csv of another evaluation is one
    #[arg(long, value_name = "FILE")]
    pub seeds_csv: Option<PathBuf>,
    /// Samples of each seed; 16 without a run
    #[arg(long)]
    pub num_samples: Option<u32>,
    /// Denoising steps; 40 without a run
    #[arg(long)]
    pub num_inference_steps: Option<usize>,
    /// ddim or ddpm
    #[arg(long)]
    pub scheduler: Option<String>,
    /// Samples denoised together; 16 without a run
    #[arg(long)]
    pub batch_size: Option<usize>,
    /// Samples whose reward is taken at every denoising step, of the image predicted there
    #[arg(long, default_value_t = 16)]
    pub path_samples: usize,
    /// The reward's network: a folder, a Hub name, or toy-ages-32
    #[arg(long, value_name = "MODEL")]
    pub reward_model: Option<String>,
    /// The aesthetic head: a file, or one on the Hub as owner/name/file
    #[arg(long, value_name = "FILE")]
    pub aesthetic_head: Option<String>,
    /// How ages become a reward: logits, probability or log-odds
    #[arg(long)]
    pub age_reward: Option<String>,
    /// auto, cpu, cuda or cuda:N
    #[arg(long)]
    pub device: Option<String>,
    /// Type that the UNet runs in: f32 or bf16
    #[arg(long)]
    pub dtype: Option<String>,
    /// Type that a reward's network runs in: f32 or bf16
    #[arg(long)]
    pub reward_dtype: Option<String>,
    /// CPU threads; all by default
    #[arg(long)]
    pub threads: Option<usize>,
    /// Take a checkpoint's own weights also where it has averaged ones
    #[arg(long)]
    pub no_ema: bool,
    /// Seed of the bootstrap intervals
    #[arg(long, default_value_t = 0)]
    pub bootstrap_seed: u64,
}

/// Flags of `ddpo report`.
#[derive(Debug, Args)]
pub struct ReportCommand {
    /// Folder of a run of ddpo train or ddpo-learner
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Folder for report.html, plots and pictures; RUN/report by default
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Sample nothing: show the images that the run's own evaluations kept
    #[arg(long)]
    pub no_sampling: bool,
    /// Samples to draw from each checkpoint; as many as the run's evaluations by default
    #[arg(long, conflicts_with = "no_sampling")]
    pub num_samples: Option<u32>,
    /// Where to sample: auto, cpu, cuda or cuda:N
    #[arg(long)]
    pub device: Option<String>,
    /// CPU threads; all by default
    #[arg(long)]
    pub threads: Option<usize>,
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
    /// The settings.
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// Flags of `ddpo convert`.
#[derive(Debug, Args)]
pub struct ConvertCommand {
    /// A .pth file with model_state_dict, optimizer_state_dict and best_reward; or a checkpoint: a
    /// folder, a Hub name, or toy-faces-32
    pub input: String,
    /// Of a .pth file: the model that it was finetuned from, for its configs
    #[arg(long, value_name = "CHECKPOINT")]
    pub ddpm_ckpt: Option<String>,
    /// Of a checkpoint: take its averaged weights, which have no optimizer
    #[arg(long, conflicts_with = "ddpm_ckpt")]
    pub ema: bool,
    /// Folder for the checkpoint, or the .pth file to write
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
}

/// Flags of `ddpo push`. HF_TOKEN, or the file that `hf auth login` writes, says who you are;
/// HF_ENDPOINT names another Hub.
#[derive(Debug, Args)]
pub struct PushCommand {
    /// Repository on the Hub: owner/name; it is made if it is not there
    pub repository: String,
    /// The best checkpoint of the run in this folder, or its last one where none is best; the present
    /// folder by default
    #[arg(long, value_name = "DIR", conflicts_with = "checkpoint")]
    pub run: Option<PathBuf>,
    /// This checkpoint
    #[arg(long, value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,
    /// Make the repository private, if it is made
    #[arg(long)]
    pub private: bool,
    /// Branch to push to; it is made if it is not there
    #[arg(long, default_value = "main")]
    pub revision: String,
    /// What the commit says
    #[arg(long)]
    pub message: Option<String>,
    /// Leave out what only a run that goes on needs: the optimizer and the state
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
    /// Log each epoch once with the wandb SDK (pip install wandb pillow); follow the run to its end
    Wandb(WandbCommand),
}

/// Flags of `ddpo log wandb`. `DDPO_PYTHON` names the Python with wandb, `WANDB_MODE` wandb's mode.
#[derive(Debug, Args)]
pub struct WandbCommand {
    /// The run's folder
    pub run: PathBuf,
    /// Project; the run's setting by default
    #[arg(long)]
    pub project: Option<String>,
    /// User or team; the run's setting by default
    #[arg(long)]
    pub entity: Option<String>,
    /// Name in Weights & Biases; the run's setting by default
    #[arg(long)]
    pub name: Option<String>,
    /// Tags, separated by commas; the run's setting by default
    #[arg(long, value_delimiter = ',')]
    pub tags: Option<Vec<String>>,
    /// Upload the last and the best checkpoint as artifacts
    #[arg(long)]
    pub save_model: bool,
}

/// What a model predicts, by the scheduler's names.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PredictionType {
    /// The noise
    Epsilon,
    /// The clean image
    Sample,
    /// The velocity of Salimans & Ho 2022
    #[value(name = "v_prediction")]
    VPrediction,
}

/// Flags of `ddpo pretrain`.
#[derive(Debug, Args)]
pub struct PretrainCommand {
    /// Folder of images; drawn faces by default
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Number of drawn faces
    #[arg(long, default_value_t = 20_000)]
    pub faces: usize,
    /// Model: config.json of a UNet2DModel; the toy-faces-32 model by default
    #[arg(long, value_name = "FILE")]
    pub unet_config: Option<PathBuf>,
    /// Start from the weights of this checkpoint: a folder, a name on the Hub, or toy-faces-32
    #[arg(long, value_name = "CHECKPOINT", conflicts_with = "unet_config")]
    pub init: Option<String>,
    /// What the model learns to predict
    #[arg(long, value_enum, default_value = "epsilon")]
    pub prediction_type: PredictionType,
    /// Optimizer steps
    #[arg(long, default_value_t = 13_000)]
    pub steps: u64,
    /// Images in a step
    #[arg(long, default_value_t = 32)]
    pub batch_size: usize,
    /// Peak learning rate
    #[arg(long, default_value_t = 1.5e-3)]
    pub learning_rate: f64,
    /// Decay of the averaged weights, which are what is saved
    #[arg(long, default_value_t = 0.999)]
    pub ema_decay: f64,
    /// Seed of weights, order, timesteps and noise
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// CPU threads; all by default
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
    /// Images in a step
    #[arg(long, default_value_t = 64)]
    pub batch_size: usize,
    /// Peak learning rate
    #[arg(long, default_value_t = 1e-3)]
    pub learning_rate: f64,
    /// Decay of the averaged weights, which are what is saved
    #[arg(long, default_value_t = 0.998)]
    pub ema_decay: f64,
    /// Seed of weights, order and augmentation
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// CPU threads; all by default
    #[arg(long)]
    pub threads: Option<usize>,
    /// Folder for the classifier
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Takes long flags in the seed implementation's underscore spelling too, `--no_x` included.
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
