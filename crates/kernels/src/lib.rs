//! Kernels that libtorch lacks, as operators on `tch` tensors with gradients.
//!
//! libtorch's group norm is slow for channels-last images, above all its gradient, and the SiLU
//! behind it reads and writes every activation once more. [`group_norm_silu`] does both at once, and
//! keeps only its input for the gradient, where the two operators keep two tensors of that size.
//! `crates/diffusion` uses it for wide models on a CPU. On CUDA the same operator is a kernel that NVRTC
//! compiles for the GPU that is there; [`choose_norm_kernel`] turns it on. [`linear`] is the product of f32 matrices by
//! oneDNN, which libtorch leaves to a library that is a fifth slower on some processors; the networks of
//! rewards, which need no gradient, use it. The C++ is in `cpp/`, built against the same
//! libtorch as tch; its loops are built for several instruction sets, and the process takes the best
//! that the machine has. [`runtime`] loads CUDA's half of libtorch and sets the switches on which the bits
//! of a result depend. [`foreach`] runs an optimizer's operations on lists of tensors. [`device_memory`] reads the counters of libtorch's allocator on a GPU, which tch
//! does not show.

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

/// `silu(group_norm(x + shift))` of `x` f32 or bf16 `[B, C, H, W]` on the CPU or a CUDA device.
///
/// The output has `x`'s type and channels-last strides; an `x` of other strides is copied first.
/// Arithmetic is f32 with sums in a fixed order, whatever the type: the number of threads and the other
/// images of the batch change no bit. Agrees with `torch.nn.functional.silu(group_norm(x))`
/// of PyTorch 2.11 within rounding. There is no second derivative.
///
/// # Panics
///
/// Where [`f_group_norm_silu`] gives an error, as tch's operators do.
pub fn group_norm_silu(x: &Tensor, norm: GroupNormSilu<'_>) -> Tensor {
    match f_group_norm_silu(x, norm) {
        Ok(y) => y,
        Err(error) => panic!("{error}"),
    }
}

/// [`group_norm_silu`] with its refusals as a value.
///
/// # Errors
///
/// Shapes that do not fit, an `x` that is empty or of another type, tensors on several devices; on CUDA the
/// reason of [`fused_norm_available`].
pub fn f_group_norm_silu(x: &Tensor, norm: GroupNormSilu<'_>) -> Result<Tensor, TchError> {
    if let device @ Device::Cuda(_) = x.device() {
        let available = fused_norm_available(device, x.kind());
        available.map_err(|error| TchError::Torch(error.to_string()))?;
    }
    ffi::group_norm_silu(x, norm)
}

/// `x * weight^T + bias` with `x` `[.., input]`, `weight` `[output, input]`, `bias` `[output]`: as
/// `torch.nn.functional.linear`, within rounding. Where no gradient is asked for and all is f32 on the
/// CPU it is oneDNN's product, elsewhere libtorch's own.
///
/// # Panics
///
/// Where [`f_linear`] gives an error, as tch's operators do.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    match f_linear(x, weight, bias) {
        Ok(y) => y,
        Err(error) => panic!("{error}"),
    }
}

/// [`linear`] with its refusals as a value.
///
/// # Errors
///
/// Shapes, types or devices that do not fit.
pub fn f_linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, TchError> {
    ffi::linear(x, weight, bias)
}

/// Bytes that tensors take on the CUDA device of this index, and bytes that libtorch's allocator has
/// reserved there: what `torch.cuda.memory_allocated` and `memory_reserved` of PyTorch 2.11 say. `None`
/// before the first tensor is there, or where there is no such device.
pub fn device_memory(index: i8) -> Option<(u64, u64)> {
    ffi::device_memory(index)
}

/// Returns the most bytes that tensors have taken on the CUDA device of this index since
/// [`reset_peak_memory`], as `torch.cuda.max_memory_allocated` of PyTorch 2.11; `None` as for
/// [`device_memory`].
#[must_use]
pub fn peak_memory(index: i8) -> Option<u64> {
    ffi::peak_memory(index)
}

/// Begins a new count of [`peak_memory`]. Without such a device nothing happens.
pub fn reset_peak_memory(index: i8) {
    ffi::reset_peak_memory(index);
}
