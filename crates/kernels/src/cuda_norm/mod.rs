//! The fused group norm and SiLU on CUDA: which kernel a process uses, and whether a device has the fused
//! one.
//!
//! `cpp/cuda/group_norm_silu.cu` is compiled when it is first needed, by NVRTC, for the GPU that is there.
//! Compiled kernels are kept in the process for each device and element type, and on disk.

mod cache;
mod compiler;
mod element;
mod error;
mod ffi;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tch::{Cuda, Device, Kind};

use cache::Cache;
use compiler::Target;
use element::Element;
pub use error::CudaNormError;

/// What computes `silu(group_norm(x + shift))` on CUDA devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKernel {
    /// This crate's kernel, one operator.
    Fused,
    /// libtorch's addition, group norm and SiLU. The default.
    Libtorch,
}

/// Whether the process uses the fused kernel.
static IS_FUSED: AtomicBool = AtomicBool::new(false);

/// Returns the process's choice for CUDA devices: [`NormKernel::Libtorch`] before
/// [`choose_norm_kernel`].
#[must_use]
pub fn norm_kernel() -> NormKernel {
    if IS_FUSED.load(Ordering::Relaxed) { NormKernel::Fused } else { NormKernel::Libtorch }
}

/// Sets the process's choice for CUDA devices; models that are made later follow it. `device` and `kind`
/// are those of the models: [`NormKernel::Fused`] is compiled and loaded for them first.
///
/// # Errors
/// Those of [`fused_norm_available`]; the choice then stays as it was.
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

/// Returns whether [`group_norm_silu`](crate::group_norm_silu) takes images of `kind` on the CUDA device.
/// The first call for a device and type compiles and loads the kernels, which takes a second or two; the
/// result, good or bad, is kept.
///
/// # Errors
/// The reason, in one line.
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
    let count = Cuda::device_count();
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
    use tch::{Cuda, Device, Kind};

    #[test]
    fn refuses_other_devices_and_types() {
        let found = fused_norm_available(Device::Cpu, Kind::Float);
        assert_eq!(found, Err(CudaNormError::Device(Device::Cpu)));
        let found = fused_norm_available(Device::Cuda(0), Kind::Double);
        assert_eq!(found, Err(CudaNormError::Kind(Kind::Double)));
    }

    /// On a machine without a GPU the reason is one line, and the choice stays.
    #[test]
    fn says_why_the_fused_kernel_is_not_available() {
        assert_eq!(norm_kernel(), NormKernel::Libtorch);
        if Cuda::device_count() > 0 {
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
