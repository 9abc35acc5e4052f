//! Which device and how many threads a command runs on.

use ddpo_kernels::runtime::{self, NoCuda, Precision};
use ddpo_rollout::numerics::{MatmulPrecision, Numerics};
use tch::{Device, TchError};
use thiserror::Error;

/// CUDA devices that are looked at.
const MOST_DEVICES: i8 = 64;

/// Workspaces of cuBLAS with which it gives the same bits twice (cuBLAS, "Results reproducibility").
const FIXED_WORKSPACES: [&str; 2] = [":4096:8", ":16:8"];

/// Why a command cannot run where it was asked to.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// The name belongs to no device.
    #[error("device = {0}: expected auto, cpu, cuda or cuda:N")]
    Unknown(String),
    /// The machine has CUDA devices, and not this one.
    #[error("device = {name}: not there; this machine offers {count} CUDA devices")]
    Absent {
        /// The device.
        name: String,
        /// CUDA devices that this process sees.
        count: usize,
    },
    /// The process has no CUDA device at all.
    #[error("device = {name}: not there; {reason}")]
    NoCuda {
        /// The device.
        name: String,
        /// Why.
        reason: NoCuda,
    },
    /// The environment contradicts `deterministic`.
    #[error(
        "CUBLAS_WORKSPACE_CONFIG = {0}: expected :4096:8 or :16:8 where deterministic is true; \
         hint: unset it, or set deterministic = false"
    )]
    Workspace(String),
    /// libtorch refuses a switch.
    #[error("libtorch's numeric settings: {0}")]
    Numerics(#[from] TchError),
    /// The number of threads is out of range.
    #[error("threads = {0}: expected 1 to 1024")]
    Threads(usize),
}

/// Returns the device `auto`, `cpu`, `cuda` or `cuda:N`, and sets the arithmetic of the process. Every
/// name but `cpu` loads libtorch's CUDA half, where it is installed.
///
/// # Errors
/// [`DeviceError`] for a name that belongs to no device or to one that is not there, and as
/// [`set_numerics`].
pub fn open(name: &str, numerics: Numerics) -> Result<Device, DeviceError> {
    let device = find(name)?;
    set_numerics(numerics)?;
    Ok(device)
}

/// Sets the arithmetic of the process: determinism and the precision of products, for all devices.
///
/// # Errors
/// [`DeviceError::Workspace`] and [`DeviceError::Numerics`].
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

/// Describes the device that `name` stands for in one line: product, memory, driver and versions; for
/// `auto` that found no GPU also the reason.
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

/// CUDA as the process found it; `None` for `cpu`, which does not look.
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

/// The CUDA devices on which this process has tensors: name, bytes that they take, bytes reserved for
/// them. Cheap, and nothing waits for the device.
pub fn memory() -> impl Iterator<Item = (String, u64, u64)> {
    (0..MOST_DEVICES).map_while(|index| {
        let (allocated, reserved) = ddpo_kernels::device_memory(index)?;
        Some((format!("cuda:{index}"), allocated, reserved))
    })
}

/// Returns the most bytes that tensors have taken on `device` so far; `None` for the CPU.
#[must_use]
pub fn peak_memory(device: Device) -> Option<u64> {
    match device {
        Device::Cuda(index) => ddpo_kernels::peak_memory(i8::try_from(index).ok()?),
        _ => None,
    }
}

/// Returns the bytes that programs can still get on `device`: of a GPU its free memory, of the CPU the
/// system's available memory or what the container's limit leaves.
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

/// Sets the number of CPU threads, all of the machine's by default, and gives it.
///
/// # Errors
/// [`DeviceError::Threads`].
pub fn set_threads(threads: Option<usize>) -> Result<usize, DeviceError> {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.unwrap_or(all);
    if !(1..=1024).contains(&threads) {
        return Err(DeviceError::Threads(threads));
    }
    tch::set_num_threads(threads as i32);
    // libtorch takes this number once in a process; whoever comes second finds it set.
    if tch::get_num_interop_threads() != 1 {
        tch::set_num_interop_threads(1);
    }
    Ok(threads)
}
