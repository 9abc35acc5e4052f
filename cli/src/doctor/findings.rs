//! What `ddpo doctor` finds, as its JSON has it.

use serde::Serialize;
use std::time::Instant;

/// Everything that `ddpo doctor` finds.
#[derive(Debug, Serialize)]
pub struct Findings {
    /// Version of `ddpo`.
    pub version: String,
    /// Operating system and architecture.
    pub machine: String,
    /// The processor.
    pub cpu: Cpu,
    /// Main memory.
    pub memory: Memory,
    /// libtorch.
    pub libtorch: Libtorch,
    /// CUDA and its devices.
    pub cuda: Cuda,
    /// The Redis that services would use.
    pub redis: Reach,
    /// The Hugging Face Hub.
    pub hub: Reach,
    /// Free space of the folders that are written to.
    pub disks: Vec<Disk>,
    /// What a command on this machine would use.
    pub used: Used,
}

/// The processor.
#[derive(Debug, Serialize)]
pub struct Cpu {
    /// Its name.
    pub name: String,
    /// Threads that this process may use.
    pub threads: usize,
    /// Instruction sets that matter here and that it has.
    pub features: Vec<String>,
}

/// Main memory.
#[derive(Debug, Serialize)]
pub struct Memory {
    /// Bytes of the machine, or of the container's limit where that is lower.
    pub total: u64,
    /// Bytes that programs can still get.
    pub available: u64,
}

/// libtorch.
#[derive(Debug, Serialize)]
pub struct Libtorch {
    /// The version that this program was built with.
    pub version: String,
    /// The library that it runs on.
    pub path: Option<String>,
}

/// CUDA and its devices.
#[derive(Debug, Serialize)]
pub struct Cuda {
    /// CUDA version of libtorch.
    pub runtime: Option<String>,
    /// The newest CUDA version that the driver runs.
    pub driver: Option<String>,
    /// cuDNN's version number.
    pub cudnn: Option<i64>,
    /// NCCL's version number.
    pub nccl: Option<i32>,
    /// The devices.
    pub devices: Vec<Device>,
    /// Why there is none.
    pub reason: Option<String>,
}

/// A CUDA device.
#[derive(Debug, Serialize)]
pub struct Device {
    /// Its name in settings.
    pub device: String,
    /// The product.
    pub name: String,
    /// Bytes of memory.
    pub memory: u64,
    /// Compute capability.
    pub capability: String,
    /// Number of streaming multiprocessors.
    pub processors: i32,
    /// The devices whose memory it can read and write.
    pub peers: Vec<String>,
}

/// Free space of a folder that is written to.
#[derive(Debug, Serialize)]
pub struct Disk {
    /// What it is used for.
    pub purpose: String,
    /// The folder.
    pub path: String,
    /// Free bytes; null where it cannot be read.
    pub free: Option<u64>,
}

/// What a command would use.
#[derive(Debug, Serialize)]
pub struct Used {
    /// The device, or the reason for the CPU.
    pub device: String,
    /// CPU threads.
    pub threads: usize,
}

/// Whether a server answers.
#[derive(Debug, Serialize)]
pub struct Reach {
    /// `reachable`, `unreachable` or `not_asked`.
    pub state: &'static str,
    /// Seconds until the answer.
    pub seconds: Option<f64>,
    /// Why it was not asked or did not answer.
    pub reason: Option<String>,
}

impl Reach {
    /// The outcome of a question that began at `start`.
    pub fn of(answered: Result<(), String>, start: Instant) -> Self {
        match answered {
            Ok(()) => Self {
                state: "reachable",
                seconds: Some(start.elapsed().as_secs_f64()),
                reason: None,
            },
            Err(reason) => Self::failed(reason),
        }
    }

    /// It did not answer.
    pub fn failed(reason: String) -> Self {
        Self { state: "unreachable", seconds: None, reason: Some(reason) }
    }

    /// It was not asked.
    pub fn not_asked(reason: String) -> Self {
        Self { state: "not_asked", seconds: None, reason: Some(reason) }
    }
}
