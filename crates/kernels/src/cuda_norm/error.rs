//! Why the fused kernel cannot run on a device.

use tch::{Device, Kind};
use thiserror::Error;

/// Errors from preparing the fused group norm and SiLU for a CUDA device. Each is one line.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum CudaNormError {
    /// The device is not a CUDA device.
    #[error("fused group norm: expected a CUDA device, found {0:?}")]
    Device(Device),
    /// Images of this type have no kernel.
    #[error("fused group norm on CUDA: expected images in float32 or bfloat16, found {0:?}")]
    Kind(Kind),
    /// The CUDA driver is missing or does not start.
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
        /// The device.
        index: usize,
        /// Devices that libtorch sees.
        count: i64,
    },
    /// NVRTC is missing.
    #[error(
        "fused group norm on CUDA: could not open NVRTC: {0}; \
         hint: install the package nvidia-cuda-nvrtc 13 where PyTorch is installed"
    )]
    Nvrtc(String),
    /// The GPU is older than all that NVRTC compiles for.
    #[error(
        "fused group norm on CUDA: expected compute capability {oldest} or newer, found {found}"
    )]
    Architecture {
        /// The oldest architecture of this NVRTC, such as 75 for 7.5.
        oldest: i32,
        /// The device's.
        found: i32,
    },
    /// NVRTC refused the source.
    #[error("fused group norm on CUDA: NVRTC could not compile for {target}: {reason}")]
    Compile {
        /// The architecture, such as `sm_90`.
        target: String,
        /// The first line of the compiler's log.
        reason: String,
    },
    /// The driver refused the compiled kernels.
    #[error("fused group norm on CUDA: cuda:{index} could not load the kernels: {reason}")]
    Load {
        /// The device.
        index: usize,
        /// The driver's reason.
        reason: String,
    },
}
