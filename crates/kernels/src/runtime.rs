//! libtorch's process-wide state: whether its CUDA half is loaded, and the switches on which the bits of a
//! result depend.

use crate::ffi;
use crate::raw::{RawCuda, text};
use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;
use tch::{Cuda, TchError};

/// Precision of f32 matrix products and convolutions, by PyTorch's names
/// (`torch.set_float32_matmul_precision`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// IEEE f32 throughout.
    Highest = 0,
    /// TF32 on GPUs.
    High = 1,
    /// TF32 on GPUs, bfloat16 on CPUs that multiply it.
    Medium = 2,
}

/// Why this process has no CUDA device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoCuda {
    /// libtorch was set up without CUDA.
    Library(PathBuf),
    /// The library is there and cannot be loaded.
    Refused {
        /// The library.
        path: PathBuf,
        /// The loader's message.
        message: String,
    },
    /// No NVIDIA driver is installed, or a container does not have it.
    Driver,
    /// The driver is older than libtorch's CUDA.
    Old {
        /// The newest CUDA version that the driver runs.
        driver: Version,
        /// libtorch's.
        runtime: Version,
    },
    /// The driver does not start.
    Start(String),
    /// The driver shows no device to this process.
    Device,
}

/// A CUDA version, such as 13.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The part before the point.
    pub major: i32,
    /// The part after it.
    pub minor: i32,
}

/// CUDA as this process found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaRuntime {
    /// The CUDA version of libtorch; 0.0 where it could not be asked.
    pub runtime: Version,
    /// The newest CUDA version that the driver runs; 0.0 without a driver.
    pub driver: Version,
    /// cuDNN's version as it counts, such as 91501; 0 without a device.
    pub cudnn: i64,
    /// Number of devices, or why there is none.
    pub devices: Result<usize, NoCuda>,
}

/// A CUDA device as its driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaDevice {
    /// The product's name.
    pub name: String,
    /// Bytes of memory.
    pub memory: u64,
    /// Compute capability, such as 9.0.
    pub capability: Version,
    /// Number of streaming multiprocessors.
    pub processors: i32,
}

/// Switches of libtorch as they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switches {
    /// `torch.are_deterministic_algorithms_enabled()`.
    pub deterministic_algorithms: bool,
    /// `torch.is_deterministic_algorithms_warn_only_enabled()`.
    pub warn_only: bool,
    /// `torch.backends.cudnn.deterministic`.
    pub deterministic_cudnn: bool,
    /// `torch.backends.cudnn.benchmark`.
    pub benchmark_cudnn: bool,
    /// `torch.utils.deterministic.fill_uninitialized_memory`.
    pub fill_uninitialised: bool,
    /// `torch.backends.cuda.flash_sdp_enabled()`.
    pub attention_flash: bool,
    /// `torch.backends.cuda.mem_efficient_sdp_enabled()`.
    pub attention_memory_efficient: bool,
    /// `torch.backends.cuda.math_sdp_enabled()`.
    pub attention_math: bool,
    /// `torch.backends.cuda.cudnn_sdp_enabled()`.
    pub attention_cudnn: bool,
    /// `torch.get_float32_matmul_precision()`.
    pub matmul_precision: String,
    /// `torch.backends.cuda.matmul.fp32_precision`.
    pub cuda_matmul: String,
    /// `torch.backends.cudnn.conv.fp32_precision`.
    pub cuda_convolution: String,
    /// `torch.backends.mkldnn.matmul.fp32_precision`.
    pub cpu_matmul: String,
    /// `torch.backends.mkldnn.conv.fp32_precision`.
    pub cpu_convolution: String,
    /// The environment's `CUBLAS_WORKSPACE_CONFIG`.
    pub cublas_workspace: String,
}

/// Loads CUDA's half of libtorch, once in a process, and returns what was found. Has to come before
/// anything else asks for CUDA: libtorch looks for its CUDA half once. Takes about a second where there is
/// one.
pub fn cuda() -> &'static CudaRuntime {
    static CUDA: OnceLock<CudaRuntime> = OnceLock::new();
    CUDA.get_or_init(|| {
        let found = ffi::load_cuda();
        CudaRuntime {
            runtime: Version::of(found.runtime_version),
            driver: Version::of(found.driver_version),
            cudnn: found.cudnn_version,
            devices: devices(&found),
        }
    })
}

/// Describes the CUDA device of this index, as `CUDA_VISIBLE_DEVICES` counts; `None` where there is none.
#[must_use]
pub fn cuda_device(index: usize) -> Option<CudaDevice> {
    let found = ffi::cuda_device(i32::try_from(index).ok()?)?;
    Some(CudaDevice {
        name: text(&found.name),
        memory: found.memory,
        capability: Version { major: found.major, minor: found.minor },
        processors: found.processors,
    })
}

/// Returns the version of libtorch that this program was built with.
#[must_use]
pub fn libtorch_version() -> String {
    ffi::libtorch_version()
}

/// Returns the file that this process's libtorch was loaded from.
#[must_use]
pub fn libtorch_path() -> Option<String> {
    Some(text(&ffi::libtorch_path())).filter(|path| !path.is_empty())
}

/// Returns the free bytes of the CUDA device of this index, as `torch.cuda.mem_get_info` of PyTorch 2.11.
#[must_use]
pub fn free_memory(index: usize) -> Option<u64> {
    ffi::free_memory(i32::try_from(index).ok()?)
}

/// Returns NCCL's version number, such as 22809; `None` where [`cuda`] has not loaded it.
#[must_use]
pub fn nccl_version() -> Option<i32> {
    Some(ffi::nccl_version()).filter(|version| *version > 0)
}

/// Returns whether CUDA device `from` can read and write the memory of `to`; no device is its own peer.
#[must_use]
pub fn can_access_peer(from: usize, to: usize) -> bool {
    match (i32::try_from(from), i32::try_from(to)) {
        (Ok(from), Ok(to)) => ffi::can_access_peer(from, to),
        _ => false,
    }
}

/// Sets every switch of libtorch on which the bits of a result depend, for the whole process.
///
/// `deterministic` turns deterministic algorithms on, benchmark mode off, and leaves attention to kernels
/// whose backward pass adds in a fixed order. `precision` is that of f32 matrix products and convolutions
/// alike.
///
/// # Errors
/// libtorch refuses a switch.
pub fn set_switches(deterministic: bool, precision: Precision) -> Result<(), TchError> {
    ffi::set_numerics(deterministic, precision as i32)
}

/// Reads the switches that [`set_switches`] sets.
///
/// # Errors
/// They contradict each other: somebody else has set one.
pub fn switches() -> Result<Switches, TchError> {
    let found = ffi::numerics()?;
    Ok(Switches {
        deterministic_algorithms: found.deterministic_algorithms,
        warn_only: found.warn_only,
        deterministic_cudnn: found.deterministic_cudnn,
        benchmark_cudnn: found.benchmark_cudnn,
        fill_uninitialised: found.fill_uninitialised,
        attention_flash: found.attention_flash,
        attention_memory_efficient: found.attention_memory_efficient,
        attention_math: found.attention_math,
        attention_cudnn: found.attention_cudnn,
        matmul_precision: text(&found.matmul_precision),
        cuda_matmul: text(&found.cuda_matmul),
        cuda_convolution: text(&found.cuda_convolution),
        cpu_matmul: text(&found.cpu_matmul),
        cpu_convolution: text(&found.cpu_convolution),
        cublas_workspace: text(&found.cublas_workspace),
    })
}

impl Version {
    /// From CUDA's number, 1000 * major + 10 * minor.
    fn of(number: i32) -> Self {
        Self { major: number / 1000, minor: number % 1000 / 10 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

impl fmt::Display for NoCuda {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(path) => write!(
                formatter,
                "{} does not exist; hint: set up libtorch with DDPO_TORCH=cuda",
                path.display()
            ),
            Self::Refused { path, message } => {
                write!(formatter, "{} cannot be loaded: {message}", path.display())
            }
            Self::Driver => formatter.write_str(
                "libcuda.so.1 is not installed; hint: install the NVIDIA driver, and give a container \
                 the GPU (--gpus all)",
            ),
            Self::Old { driver, runtime } => write!(
                formatter,
                "the NVIDIA driver runs CUDA up to {driver}, libtorch has CUDA {runtime}; \
                 hint: CUDA 13 needs driver 580 or newer, CUDA 12 needs 525 or newer"
            ),
            Self::Start(name) => write!(formatter, "the NVIDIA driver does not start: {name}"),
            Self::Device => formatter.write_str(
                "the NVIDIA driver shows no device to this process; hint: look at \
                 CUDA_VISIBLE_DEVICES and at the container's GPUs",
            ),
        }
    }
}

/// `CUDA_ERROR_NO_DEVICE`.
const NO_DEVICE: i32 = 100;

/// Returns the number of devices, or the first thing that is missing.
#[expect(clippy::disallowed_methods, reason = "CUDA's half is loaded")]
fn devices(found: &RawCuda) -> Result<usize, NoCuda> {
    let path = || PathBuf::from(text(&found.path));
    match found.library {
        0 => {}
        1 => return Err(NoCuda::Library(path())),
        _ => return Err(NoCuda::Refused { path: path(), message: text(&found.message) }),
    }
    if found.driver != 0 {
        return Err(NoCuda::Driver);
    }
    let (driver, runtime) = (Version::of(found.driver_version), Version::of(found.runtime_version));
    // Within one major version an older driver runs newer libraries.
    if driver.major < runtime.major {
        return Err(NoCuda::Old { driver, runtime });
    }
    if found.initialised != 0 && found.initialised != NO_DEVICE {
        return Err(NoCuda::Start(text(&found.message)));
    }
    match usize::try_from(Cuda::device_count()) {
        Ok(count) if count > 0 && Cuda::is_available() => Ok(count),
        _ => Err(NoCuda::Device),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::c_char;

    fn found(change: impl FnOnce(&mut RawCuda)) -> Result<usize, NoCuda> {
        let mut raw =
            RawCuda { driver_version: 13_000, runtime_version: 13_000, ..RawCuda::default() };
        change(&mut raw);
        devices(&raw)
    }

    #[test]
    fn names_the_first_thing_that_is_missing() {
        assert_eq!(found(|raw| raw.library = 1), Err(NoCuda::Library(PathBuf::new())));
        let refused = found(|raw| {
            raw.library = 2;
            raw.message[0] = b'x' as c_char;
        });
        assert_eq!(refused, Err(NoCuda::Refused { path: PathBuf::new(), message: "x".into() }));
        assert_eq!(found(|raw| raw.driver = 1), Err(NoCuda::Driver));
        let (driver, runtime) = (Version { major: 12, minor: 8 }, Version { major: 13, minor: 0 });
        assert_eq!(found(|raw| raw.driver_version = 12_080), Err(NoCuda::Old { driver, runtime }));
        assert_eq!(found(|raw| raw.initialised = 803), Err(NoCuda::Start(String::new())));
    }

    #[test]
    fn reads_a_cuda_version_as_major_and_minor() {
        assert_eq!(Version::of(13_020).to_string(), "13.2");
        assert_eq!(Version::of(0).to_string(), "0.0");
    }
}
