//! Where reward models run, which has no effect on their scores.

use crate::external::waiting::Waiting;
use tch::Device;

/// The device and the threads of reward models. The JPEG rewards use the threads only, TorchScript files
/// the device, reward servers the waiting.
#[derive(Clone, Debug)]
pub struct RewardRuntime {
    /// The device of the networks.
    pub device: Device,
    /// Threads that encode or preprocess images; at least one. libtorch's own threads are set elsewhere.
    pub threads: usize,
    /// What to do while a reward server does not answer.
    pub waiting: Waiting,
}

impl RewardRuntime {
    /// Runs on the CPU with `threads` threads.
    pub fn on_threads(threads: usize) -> Self {
        Self { device: Device::Cpu, threads, waiting: Waiting::default() }
    }
}
