//! The commands and their flags.

use clap::{Args, Parser, Subcommand, ValueEnum};
use ddpo_learner::settings::SettingFlags;
use std::ffi::OsString;
use std::path::PathBuf;

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
    /// Train one epoch on a recorded batch
    Replay(ReplayCommand),
    /// Train a DDPM from nothing, on a folder of images or on drawn faces
    Pretrain(PretrainCommand),
    /// Show a running service: its status, its live trajectories
    Inspect(InspectCommand),
    /// Answer a benchmark driver over standard input and output
    #[command(hide = true)]
    BenchWorker,
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
    /// File with the token; the environment's DDPO_SERVICE_TOKEN without it
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Authorities of the services' certificates (PEM); TLS with it
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Own certificate chain (PEM), for services that ask for one
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Send the token over the network without TLS
    #[arg(long)]
    pub insecure: bool,
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
    /// The reward's network: a folder or a Hub name; the task's own by default
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
