//! Which device and how many threads a command runs on.

use tch::{Cuda, Device};
use thiserror::Error;

/// CUDA devices that are looked at.
const MOST_DEVICES: i8 = 64;

/// Why a command cannot run where it was asked to.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DeviceError {
    /// The name is no device's.
    #[error("device = {0}: expected auto, cpu, cuda or cuda:N")]
    Unknown(String),
    /// The machine does not offer the device.
    #[error(
        "device = {name}: not there; this machine offers {count} CUDA devices; \
         hint: libtorch sees CUDA devices only if it was set up with DDPO_TORCH=cuda"
    )]
    Absent {
        /// The device.
        name: String,
        /// CUDA devices that there are.
        count: i64,
    },
    /// The number of threads is out of range.
    #[error("threads = {0}: expected 1 to 1024")]
    Threads(usize),
}

/// Parses `auto`, `cpu`, `cuda` or `cuda:N` and checks that the device is there.
///
/// # Errors
/// [`DeviceError::Unknown`] and [`DeviceError::Absent`].
pub fn parse(name: &str) -> Result<Device, DeviceError> {
    let index: usize = match name {
        "auto" => return Ok(Device::cuda_if_available()),
        "cpu" => return Ok(Device::Cpu),
        "cuda" => 0,
        other => {
            let number = other.strip_prefix("cuda:").and_then(|number| number.parse().ok());
            number.ok_or_else(|| DeviceError::Unknown(name.into()))?
        }
    };
    let count = if Cuda::is_available() { Cuda::device_count() } else { 0 };
    if index as i64 >= count {
        return Err(DeviceError::Absent { name: name.into(), count });
    }
    Ok(Device::Cuda(index))
}

/// The CUDA devices on which this process has tensors: name, bytes that they take, bytes reserved for
/// them. Cheap, and nothing waits for the device.
pub fn memory() -> impl Iterator<Item = (String, u64, u64)> {
    (0..MOST_DEVICES).map_while(|index| {
        let (allocated, reserved) = ddpo_kernels::device_memory(index)?;
        Some((format!("cuda:{index}"), allocated, reserved))
    })
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
