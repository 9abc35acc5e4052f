//! libtorch's process-wide state: its CUDA libraries, and the switches that affect the bits of results.

use crate::ffi;
use crate::raw::{RawCuda, text};
use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;
use tch::{Cuda, TchError};

/// Precision of f32 matrix products and convolutions, with the names of
/// `torch.set_float32_matmul_precision` (PyTorch 2.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// IEEE f32.
    Highest = 0,
    /// TF32 on GPUs.
    High = 1,
    /// TF32 on GPUs, bfloat16 on CPUs with bfloat16 instructions.
    Medium = 2,
}

/// The reason that this process has no CUDA device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoCuda {
    /// libtorch was set up without CUDA.
    Library(PathBuf),
    /// libtorch's CUDA library exists but cannot be loaded.
    Refused {
        /// Path of the library.
        path: PathBuf,
        /// The loader's message.
        message: String,
    },
    /// The NVIDIA driver is not installed, or not mounted into the container.
    Driver,
    /// The driver is older than libtorch's CUDA.
    Old {
        /// The newest CUDA version that the driver supports.
        driver: Version,
        /// The CUDA version of libtorch.
        runtime: Version,
    },
    /// The driver does not initialise.
    Start(String),
    /// The driver reports no device for this process.
    Device,
}

/// A CUDA version, such as 13.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major version.
    pub major: i32,
    /// Minor version.
    pub minor: i32,
}

/// The state of CUDA in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaRuntime {
    /// CUDA version of libtorch; 0.0 if unknown.
    pub runtime: Version,
    /// Newest CUDA version that the driver supports; 0.0 without a driver.
    pub driver: Version,
    /// cuDNN's version number, such as 91501; 0 without a device.
    pub cudnn: i64,
    /// Number of devices, or the reason that CUDA is not available.
    pub devices: Result<usize, NoCuda>,
}

/// A CUDA device, as described by the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaDevice {
    /// Product name.
    pub name: String,
    /// Memory in bytes.
    pub memory: u64,
    /// Compute capability, such as 9.0.
    pub capability: Version,
    /// Number of streaming multiprocessors.
    pub processors: i32,
}

/// The current values of libtorch's switches.
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
    /// The environment variable `CUBLAS_WORKSPACE_CONFIG`.
    pub cublas_workspace: String,
}

/// Loads libtorch's CUDA libraries once per process and returns the state of CUDA. Must be called before
/// any other use of CUDA, because libtorch looks for its CUDA libraries only once. Takes about a second if
/// they are installed.
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

/// Describes CUDA device `index`, counted within `CUDA_VISIBLE_DEVICES`; `None` if it does not exist.
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

/// Returns the path of the libtorch in use.
#[must_use]
pub fn libtorch_path() -> Option<String> {
    Some(text(&ffi::libtorch_path())).filter(|path| !path.is_empty())
}

/// Returns the free bytes of CUDA device `index`, like `torch.cuda.mem_get_info` of PyTorch 2.11.
#[must_use]
pub fn free_memory(index: usize) -> Option<u64> {
    ffi::free_memory(i32::try_from(index).ok()?)
}

/// Returns NCCL's version number, such as 22809; `None` if [`cuda`] has not loaded it.
#[must_use]
pub fn nccl_version() -> Option<i32> {
    Some(ffi::nccl_version()).filter(|version| *version > 0)
}

/// Returns whether CUDA device `from` can access the memory of `to`; false if they are the same device.
#[must_use]
pub fn can_access_peer(from: usize, to: usize) -> bool {
    match (i32::try_from(from), i32::try_from(to)) {
        (Ok(from), Ok(to)) => ffi::can_access_peer(from, to),
        _ => false,
    }
}

/// Sets every libtorch switch that affects the bits of results, for the whole process.
///
/// `deterministic` enables deterministic algorithms, disables benchmark mode, and restricts attention to
/// kernels whose backward pass adds in a fixed order. `precision` applies to f32 matrix products and
/// convolutions.
///
/// # Errors
/// If libtorch rejects a switch.
pub fn set_switches(deterministic: bool, precision: Precision) -> Result<(), TchError> {
    ffi::set_numerics(deterministic, precision as i32)
}

/// Reads the switches that [`set_switches`] sets.
///
/// # Errors
/// If the switches contradict each other, because other code has changed one.
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
    /// Converts CUDA's version number, 1000 * major + 10 * minor.
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
                "libcuda.so.1 is not installed; hint: install the NVIDIA driver, and start containers \
                 with --gpus all",
            ),
            Self::Old { driver, runtime } => write!(
                formatter,
                "the NVIDIA driver supports CUDA up to {driver}, libtorch needs CUDA {runtime}; \
                 hint: CUDA 13 needs driver 580 or newer, CUDA 12 needs 525 or newer"
            ),
            Self::Start(name) => write!(formatter, "the NVIDIA driver does not start: {name}"),
            Self::Device => formatter.write_str(
                "the NVIDIA driver shows no device to this process; hint: check \
                 CUDA_VISIBLE_DEVICES and the container's GPUs",
            ),
        }
    }
}

/// `CUDA_ERROR_NO_DEVICE`.
const NO_DEVICE: i32 = 100;

/// Returns the number of devices, or the first missing component.
#[expect(clippy::disallowed_methods, reason = "libtorch's CUDA libraries are loaded")]
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
    // Within one major version an older driver supports newer libraries.
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
    fn names_the_first_missing_component() {
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
    fn splits_cuda_versions_into_major_and_minor() {
        assert_eq!(Version::of(13_020).to_string(), "13.2");
        assert_eq!(Version::of(0).to_string(), "0.0");
    }
}
