//! Errors from preparing the fused kernel for a device.

use tch::{Device, Kind};
use thiserror::Error;

/// Errors from preparing the fused group norm and SiLU for a CUDA device. Each message is one line.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum CudaNormError {
    /// The device is not a CUDA device.
    #[error("fused group norm: expected a CUDA device, found {0:?}")]
    Device(Device),
    /// The type of images is not supported.
    #[error("fused group norm on CUDA: expected images in float32 or bfloat16, found {0:?}")]
    Kind(Kind),
    /// The CUDA driver is missing or does not initialise.
    #[error(
        "fused group norm on CUDA: could not use the NVIDIA driver: {0}; \
         hint: install the driver, and give containers access to the GPU"
    )]
    Driver(String),
    /// libtorch does not see the device.
    #[error(
        "fused group norm on CUDA: expected a device below cuda:{count}, found cuda:{index}; \
         hint: libtorch sees CUDA devices only if it was set up with DDPO_TORCH=cuda"
    )]
    Absent {
        /// Index of the device.
        index: usize,
        /// Number of devices that libtorch sees.
        count: i64,
    },
    /// NVRTC is missing.
    #[error(
        "fused group norm on CUDA: could not open NVRTC: {0}; \
         hint: install the NVRTC package of PyTorch's CUDA (nvidia-cuda-nvrtc for 13, nvidia-cuda-nvrtc-cu12 \
         for 12) where PyTorch is installed"
    )]
    Nvrtc(String),
    /// The GPU is older than all architectures that NVRTC supports.
    #[error(
        "fused group norm on CUDA: expected compute capability {oldest} or newer, found {found}"
    )]
    Architecture {
        /// Oldest architecture of this NVRTC, such as 75 for 7.5.
        oldest: i32,
        /// Architecture of the device.
        found: i32,
    },
    /// NVRTC could not compile the source.
    #[error("fused group norm on CUDA: NVRTC could not compile for {target}: {reason}")]
    Compile {
        /// The architecture, such as `sm_90`.
        target: String,
        /// The first line of the compiler's log.
        reason: String,
    },
    /// The driver could not load the compiled kernels.
    #[error("fused group norm on CUDA: cuda:{index} could not load the kernels: {reason}")]
    Load {
        /// Index of the device.
        index: usize,
        /// The driver's reason.
        reason: String,
    },
}
