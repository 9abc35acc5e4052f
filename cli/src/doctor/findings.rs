//! The findings of `ddpo doctor`, as its JSON contains them.

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
    /// Free space of the folders that commands write to.
    pub disks: Vec<Disk>,
    /// What a command on this machine would use.
    pub used: Used,
}

/// The processor.
#[derive(Debug, Serialize)]
pub struct Cpu {
    /// Model name.
    pub name: String,
    /// Threads that this process may use.
    pub threads: usize,
    /// The processor's instruction sets that affect which kernels run.
    pub features: Vec<String>,
}

/// Main memory.
#[derive(Debug, Serialize)]
pub struct Memory {
    /// Bytes of the machine, or of the container's limit if that is lower.
    pub total: u64,
    /// Bytes that programs can still allocate.
    pub available: u64,
}

/// libtorch.
#[derive(Debug, Serialize)]
pub struct Libtorch {
    /// The version that this program was built with.
    pub version: String,
    /// The library that this program loaded.
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
    /// Why no device is available.
    pub reason: Option<String>,
}

/// A CUDA device.
#[derive(Debug, Serialize)]
pub struct Device {
    /// Its name in settings, such as `cuda:0`.
    pub device: String,
    /// Product name.
    pub name: String,
    /// Bytes of memory.
    pub memory: u64,
    /// Compute capability.
    pub capability: String,
    /// Number of streaming multiprocessors.
    pub processors: i32,
    /// The devices whose memory this device can access directly.
    pub peers: Vec<String>,
}

/// Free space of a folder that commands write to.
#[derive(Debug, Serialize)]
pub struct Disk {
    /// Use of the folder.
    pub purpose: String,
    /// The folder.
    pub path: String,
    /// Free bytes; null if unknown.
    pub free: Option<u64>,
}

/// What a command would use.
#[derive(Debug, Serialize)]
pub struct Used {
    /// The device, or the reason for using the CPU.
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
    /// Why it was not asked, or did not answer.
    pub reason: Option<String>,
}

impl Reach {
    /// Returns the outcome of a request that began at `start`.
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

    /// Returns the outcome of a failed request.
    pub fn failed(reason: String) -> Self {
        Self { state: "unreachable", seconds: None, reason: Some(reason) }
    }

    /// Returns the outcome for a server that was not asked.
    pub fn not_asked(reason: String) -> Self {
        Self { state: "not_asked", seconds: None, reason: Some(reason) }
    }
}
