//! Kernels that libtorch lacks, as operators on `tch` tensors with gradients.
//!
//! - [`group_norm_silu`]: group norm and SiLU in one pass. libtorch's group norm is slow for channels-last
//!   images, above all its gradient, and a separate SiLU reads and writes every activation once more. The
//!   operator keeps only its input for the gradient; the two separate operators keep two tensors of that
//!   size. `crates/diffusion` uses it for wide models on a CPU. On CUDA the same operator is a kernel that
//!   NVRTC compiles for the installed GPU; [`choose_norm_kernel`] enables it.
//! - [`linear`]: the product of f32 matrices by oneDNN. On some processors libtorch uses a library that is a
//!   fifth slower. The networks of rewards use it; it has no gradient.
//! - [`runtime`]: loads libtorch's CUDA libraries and sets the switches that change the bits of results.
//! - [`foreach`]: an optimizer's operations on lists of tensors.
//! - [`device_memory`]: the counters of libtorch's allocator on a GPU, which tch does not expose.
//!
//! The C++ is in `cpp/`, built against the same libtorch as tch. Its loops are built for several
//! instruction sets; the process selects the best that the machine supports.

mod cuda_norm;
mod ffi;
pub mod foreach;
mod norm;
mod raw;
pub mod runtime;

pub use cuda_norm::{
    CudaNormError, NormKernel, choose_norm_kernel, fused_norm_available, norm_kernel,
};
pub use norm::GroupNormSilu;

use tch::{Device, TchError, Tensor};

/// Computes `silu(group_norm(x + shift))` of `x` f32 or bf16 `[B, C, H, W]` on the CPU or a CUDA device.
///
/// The output has `x`'s type and channels-last strides; an `x` with other strides is copied first.
/// Arithmetic is f32 with sums in a fixed order for both types, so the bits do not depend on the number of
/// threads or on the other images of the batch. Agrees with `torch.nn.functional.silu(group_norm(x))` of
/// PyTorch 2.11 within rounding. The second derivative is not supported.
///
/// # Panics
///
/// If [`f_group_norm_silu`] returns an error, like tch's operators.
pub fn group_norm_silu(x: &Tensor, norm: GroupNormSilu<'_>) -> Tensor {
    match f_group_norm_silu(x, norm) {
        Ok(y) => y,
        Err(error) => panic!("{error}"),
    }
}

/// Computes [`group_norm_silu`] and returns errors as a value.
///
/// # Errors
///
/// If shapes do not match, `x` is empty or of another type, or tensors are on different devices; on CUDA
/// also the errors of [`fused_norm_available`].
pub fn f_group_norm_silu(x: &Tensor, norm: GroupNormSilu<'_>) -> Result<Tensor, TchError> {
    if let device @ Device::Cuda(_) = x.device() {
        let available = fused_norm_available(device, x.kind());
        available.map_err(|error| TchError::Torch(error.to_string()))?;
    }
    ffi::group_norm_silu(x, norm)
}

/// Computes `x weight^T + bias` with `x` `[.., input]`, `weight` `[output, input]` and `bias` `[output]`.
/// Agrees with `torch.nn.functional.linear` of PyTorch 2.11 within rounding. Uses oneDNN for f32 tensors on
/// the CPU without gradients, otherwise libtorch's own product.
///
/// # Panics
///
/// If [`f_linear`] returns an error, like tch's operators.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    match f_linear(x, weight, bias) {
        Ok(y) => y,
        Err(error) => panic!("{error}"),
    }
}

/// Computes [`linear`] and returns errors as a value.
///
/// # Errors
///
/// If shapes, types or devices do not match.
pub fn f_linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, TchError> {
    ffi::linear(x, weight, bias)
}

/// Returns the bytes allocated by tensors and the bytes reserved by libtorch's allocator on CUDA device
/// `index`, like `torch.cuda.memory_allocated` and `torch.cuda.memory_reserved` of PyTorch 2.11. `None`
/// before the first allocation, or if the device does not exist.
pub fn device_memory(index: i8) -> Option<(u64, u64)> {
    ffi::device_memory(index)
}

/// Returns the peak of allocated bytes on CUDA device `index` since [`reset_peak_memory`], like
/// `torch.cuda.max_memory_allocated` of PyTorch 2.11. `None` in the cases of [`device_memory`].
#[must_use]
pub fn peak_memory(index: i8) -> Option<u64> {
    ffi::peak_memory(index)
}

/// Resets [`peak_memory`] of CUDA device `index`. Does nothing if the device does not exist.
pub fn reset_peak_memory(index: i8) {
    ffi::reset_peak_memory(index);
}
