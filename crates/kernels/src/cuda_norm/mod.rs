//! The fused group norm and SiLU on CUDA: the process's choice of kernel, and the fused kernel's
//! availability.
//!
//! NVRTC compiles `cpp/cuda/group_norm_silu.cu` at first use for the GPU. Compiled kernels are cached in
//! the process for each device and element type, and on disk.

mod cache;
mod compiler;
mod element;
mod error;
mod ffi;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind};

use cache::Cache;
use compiler::Target;
use element::Element;
pub use error::CudaNormError;

/// The implementation of `silu(group_norm(x + shift))` on CUDA devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKernel {
    /// This crate's fused kernel.
    Fused,
    /// libtorch's separate addition, group norm and SiLU. The default.
    Libtorch,
}

/// Whether the process uses the fused kernel.
static IS_FUSED: AtomicBool = AtomicBool::new(false);

/// Returns the process's choice for CUDA devices; the default is [`NormKernel::Libtorch`].
#[must_use]
pub fn norm_kernel() -> NormKernel {
    if IS_FUSED.load(Ordering::Relaxed) { NormKernel::Fused } else { NormKernel::Libtorch }
}

/// Sets the process's choice for CUDA devices, for models that are created later. First compiles and loads
/// [`NormKernel::Fused`] for `device` and `kind`, the device and type of the models.
///
/// # Errors
/// See [`fused_norm_available`]; the choice is then unchanged.
pub fn choose_norm_kernel(
    kernel: NormKernel,
    device: Device,
    kind: Kind,
) -> Result<(), CudaNormError> {
    let is_fused = kernel == NormKernel::Fused;
    if is_fused {
        fused_norm_available(device, kind)?;
    }
    IS_FUSED.store(is_fused, Ordering::Relaxed);
    Ok(())
}

/// Checks that [`group_norm_silu`](crate::group_norm_silu) supports images of `kind` on a CUDA device. The
/// first call for a device and type compiles and loads the kernels, which takes one or two seconds. Success
/// and failure are cached.
///
/// # Errors
/// [`CudaNormError`] with the reason.
pub fn fused_norm_available(device: Device, kind: Kind) -> Result<(), CudaNormError> {
    static RESULTS: Mutex<BTreeMap<(usize, Element), Result<(), CudaNormError>>> =
        Mutex::new(BTreeMap::new());
    let Device::Cuda(index) = device else { return Err(CudaNormError::Device(device)) };
    let element = Element::of(kind).ok_or(CudaNormError::Kind(kind))?;
    let mut results = RESULTS.lock().unwrap_or_else(PoisonError::into_inner);
    results.entry((index, element)).or_insert_with(|| load(index, element)).clone()
}

fn load(index: usize, element: Element) -> Result<(), CudaNormError> {
    let capability = ffi::capability(index).map_err(CudaNormError::Driver)?;
    let count = crate::runtime::cuda().devices.as_ref().map_or(0, |count| *count as i64);
    if index as i64 >= count {
        return Err(CudaNormError::Absent { index, count });
    }
    let nvrtc = compiler::nvrtc()?;
    let target = Target::of(capability, &nvrtc.architectures())?;
    let compile = || compiler::compile(nvrtc, element, &target, &[]).map(|compiled| compiled.image);
    let image = match Cache::of_user() {
        Some(cache) => cache.get_or_make(&compiler::identity(nvrtc, element, &target), compile)?,
        None => compile()?,
    };
    ffi::load(index, element as i32, &image).map_err(|reason| CudaNormError::Load { index, reason })
}

#[cfg(test)]
mod tests {
    use super::{CudaNormError, NormKernel, choose_norm_kernel, fused_norm_available, norm_kernel};
    use tch::{Device, Kind};

    #[test]
    fn rejects_other_devices_and_types() {
        let found = fused_norm_available(Device::Cpu, Kind::Float);
        assert_eq!(found, Err(CudaNormError::Device(Device::Cpu)));
        let found = fused_norm_available(Device::Cuda(0), Kind::Double);
        assert_eq!(found, Err(CudaNormError::Kind(Kind::Double)));
    }

    /// Runs only on machines without a GPU.
    #[test]
    fn reports_in_one_line_that_no_gpu_is_available() {
        assert_eq!(norm_kernel(), NormKernel::Libtorch);
        if crate::runtime::cuda().devices.is_ok() {
            return;
        }
        let error =
            choose_norm_kernel(NormKernel::Fused, Device::Cuda(0), Kind::Float).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("fused group norm on CUDA: ") && !text.contains('\n'), "{text}");
        assert!(text.contains("hint: "), "{text}");
        assert_eq!(norm_kernel(), NormKernel::Libtorch);
        assert_eq!(choose_norm_kernel(NormKernel::Libtorch, Device::Cpu, Kind::Float), Ok(()));
    }
}
