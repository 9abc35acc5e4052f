//! The device and threads that reward models run on. They do not affect scores.

use crate::external::waiting::Waiting;
use tch::Device;

/// The device, threads and waiting of reward models. JPEG rewards use only the threads, TorchScript
/// files only the device, reward servers only the waiting.
#[derive(Clone, Debug)]
pub struct RewardRuntime {
    /// The device of the networks.
    pub device: Device,
    /// Threads that encode or preprocess images; at least one. libtorch's threads are set elsewhere.
    pub threads: usize,
    /// How to wait for a reward server that does not answer.
    pub waiting: Waiting,
}

impl RewardRuntime {
    /// Runs on the CPU with `threads` threads.
    pub fn on_threads(threads: usize) -> Self {
        Self { device: Device::Cpu, threads, waiting: Waiting::default() }
    }
}
