//! Selects the device, the numeric settings and the number of CPU threads of a process.

use ddpo_kernels::runtime::{self, NoCuda, Precision};
use ddpo_rollout::numerics::{MatmulPrecision, NormKernel, Numerics};
use tch::{Device, Kind, TchError};
use thiserror::Error;

/// Number of CUDA device indices that [`memory`] queries.
const MOST_DEVICES: i8 = 64;

/// Values of `CUBLAS_WORKSPACE_CONFIG` that make cuBLAS deterministic (cuBLAS, "Results
/// reproducibility").
const FIXED_WORKSPACES: [&str; 2] = [":4096:8", ":16:8"];

/// Errors from selecting a device, its numeric settings or its threads.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// The name is not one of `auto`, `cpu`, `cuda` and `cuda:N`.
    #[error("device = {0}: expected auto, cpu, cuda or cuda:N")]
    Unknown(String),
    /// The process sees CUDA devices, but not the named one.
    #[error("device = {name}: not found; this process sees {count} CUDA devices")]
    Absent {
        /// Requested device.
        name: String,
        /// Number of CUDA devices that this process sees.
        count: usize,
    },
    /// The process sees no CUDA device.
    #[error("device = {name}: not found; {reason}")]
    NoCuda {
        /// Requested device.
        name: String,
        /// Reason that CUDA is not available.
        reason: NoCuda,
    },
    /// `CUBLAS_WORKSPACE_CONFIG` contradicts `deterministic`.
    #[error(
        "CUBLAS_WORKSPACE_CONFIG = {0}: expected :4096:8 or :16:8 because deterministic = true; \
         hint: unset it, or set deterministic = false"
    )]
    Workspace(String),
    /// libtorch rejected a numeric setting.
    #[error("libtorch rejected the numeric settings: {0}")]
    Numerics(#[from] TchError),
    /// The fused norm kernel cannot be compiled or loaded.
    #[error("norm_kernel = fused: {0}; hint: set norm_kernel = libtorch")]
    NormKernel(#[from] ddpo_kernels::CudaNormError),
    /// The number of threads is out of range.
    #[error("threads = {0}: expected 1 to 1024")]
    Threads(usize),
}

/// Returns the device that `name` (`auto`, `cpu`, `cuda` or `cuda:N`) selects, and applies `numerics` to
/// the process. `auto` selects the first GPU, or the CPU if CUDA is not available. Every name except
/// `cpu` loads libtorch's CUDA libraries if they are installed.
///
/// # Errors
/// [`DeviceError`] if the name is unknown or the device does not exist, and the errors of
/// [`set_numerics`].
pub fn open(name: &str, numerics: Numerics) -> Result<Device, DeviceError> {
    let device = find(name)?;
    set_numerics(numerics)?;
    Ok(device)
}

/// Sets determinism and the precision of f32 matrix products for all devices of the process
/// (`torch.use_deterministic_algorithms`, `torch.set_float32_matmul_precision`).
///
/// # Errors
/// [`DeviceError::Workspace`] or [`DeviceError::Numerics`].
pub fn set_numerics(numerics: Numerics) -> Result<(), DeviceError> {
    let precision = match numerics.matmul_precision {
        MatmulPrecision::Highest => Precision::Highest,
        MatmulPrecision::High => Precision::High,
        MatmulPrecision::Medium => Precision::Medium,
    };
    runtime::set_switches(numerics.deterministic, precision)?;
    let workspace = runtime::switches()?.cublas_workspace;
    if numerics.deterministic && !FIXED_WORKSPACES.contains(&workspace.as_str()) {
        return Err(DeviceError::Workspace(workspace));
    }
    Ok(())
}

/// Selects the norm kernel of models created later on `device` in `kind`. On a CPU the choice has no
/// effect.
///
/// # Errors
/// [`DeviceError::NormKernel`] if the fused kernel cannot be compiled or loaded.
pub fn choose_norm_kernel(
    kernel: NormKernel,
    device: Device,
    kind: Kind,
) -> Result<(), DeviceError> {
    let chosen = match kernel {
        NormKernel::Libtorch => ddpo_kernels::NormKernel::Libtorch,
        NormKernel::Fused => ddpo_kernels::NormKernel::Fused,
    };
    if device.is_cuda() {
        ddpo_kernels::choose_norm_kernel(chosen, device, kind)?;
    }
    Ok(())
}

/// Describes the device in one line: product name, memory, driver and library versions. If `auto`
/// selected the CPU, the line also gives the reason.
#[must_use]
pub fn describe(name: &str, device: Device) -> String {
    match device {
        Device::Cuda(index) => describe_cuda(index),
        _ => match &runtime_of(name).map(|cuda| &cuda.devices) {
            Some(Err(reason)) => format!("cpu; no GPU is used: {reason}"),
            _ => "cpu".into(),
        },
    }
}

/// Returns the state of CUDA in this process; `None` for `cpu`, which does not load CUDA.
fn runtime_of(name: &str) -> Option<&'static runtime::CudaRuntime> {
    (name != "cpu").then(runtime::cuda)
}

fn describe_cuda(index: usize) -> String {
    let cuda = runtime::cuda();
    let versions =
        format!("driver for CUDA {}, CUDA {}, cuDNN {}", cuda.driver, cuda.runtime, cuda.cudnn);
    match runtime::cuda_device(index) {
        Some(found) => format!(
            "cuda:{index}: {}, {:.1} GiB, compute capability {}, {versions}",
            found.name,
            found.memory as f64 / f64::from(1 << 30),
            found.capability
        ),
        None => format!("cuda:{index}: {versions}"),
    }
}

fn find(name: &str) -> Result<Device, DeviceError> {
    let index: usize = match name {
        "cpu" => return Ok(Device::Cpu),
        "auto" => {
            let found = &runtime::cuda().devices;
            return Ok(if found.is_ok() { Device::Cuda(0) } else { Device::Cpu });
        }
        "cuda" => 0,
        other => {
            let number = other.strip_prefix("cuda:").and_then(|number| number.parse().ok());
            number.ok_or_else(|| DeviceError::Unknown(name.into()))?
        }
    };
    match &runtime::cuda().devices {
        Ok(count) if index < *count => Ok(Device::Cuda(index)),
        Ok(count) => Err(DeviceError::Absent { name: name.into(), count: *count }),
        Err(reason) => Err(DeviceError::NoCuda { name: name.into(), reason: reason.clone() }),
    }
}

/// Returns the CUDA devices on which this process has tensors: name, allocated bytes and bytes
/// reserved by libtorch's caching allocator. Does not synchronise with the device.
pub fn memory() -> impl Iterator<Item = (String, u64, u64)> {
    (0..MOST_DEVICES).map_while(|index| {
        let (allocated, reserved) = ddpo_kernels::device_memory(index)?;
        Some((format!("cuda:{index}"), allocated, reserved))
    })
}

/// Returns the peak of allocated tensor memory on `device`, in bytes; `None` for the CPU.
#[must_use]
pub fn peak_memory(device: Device) -> Option<u64> {
    match device {
        Device::Cuda(index) => ddpo_kernels::peak_memory(i8::try_from(index).ok()?),
        _ => None,
    }
}

/// Returns the free memory of `device` in bytes. For the CPU this is the system's available memory or
/// the rest of the container's limit (cgroup v2), whichever is smaller.
#[must_use]
pub fn free_memory(device: Device) -> Option<u64> {
    match device {
        Device::Cuda(index) => runtime::free_memory(index),
        _ => available_memory(),
    }
}

fn available_memory() -> Option<u64> {
    let described = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = described.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let number = |path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let limit = number("/sys/fs/cgroup/memory.max");
    let left = limit.zip(number("/sys/fs/cgroup/memory.current"));
    let left = left.map_or(u64::MAX, |(limit, used)| limit.saturating_sub(used));
    Some((kibibytes * 1024).min(left))
}

/// Sets libtorch's number of CPU threads and returns it. `None` selects all threads of the machine.
///
/// # Errors
/// [`DeviceError::Threads`] outside 1 to 1024.
pub fn set_threads(threads: Option<usize>) -> Result<usize, DeviceError> {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.unwrap_or(all);
    if !(1..=1024).contains(&threads) {
        return Err(DeviceError::Threads(threads));
    }
    tch::set_num_threads(threads as i32);
    // libtorch accepts this number only once in a process.
    if tch::get_num_interop_threads() != 1 {
        tch::set_num_interop_threads(1);
    }
    Ok(threads)
}
