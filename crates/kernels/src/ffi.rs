//! The bindings of `cpp/`. Unsafe code of this crate is here, in `cuda_norm/ffi.rs` and in
//! `foreach/ffi.rs`.
//!
//! tch and the C++ share libtorch's `at::Tensor`: a `C_tensor` pointer is a pointer to an `at::Tensor`
//! (`typedef torch::Tensor *tensor` in tch's `torch_api.h`).

#![allow(unsafe_code)]

use crate::norm::GroupNormSilu;
use crate::raw::{RawCuda, RawCudaDevice, RawSwitches};
use std::ffi::{CStr, c_char};
use std::ptr;
use tch::{TchError, Tensor};
use torch_sys::C_tensor;

unsafe extern "C" {
    fn ddpo_group_norm_silu(
        x: *const C_tensor,
        shift: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        groups: i64,
        eps: f64,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;

    fn ddpo_linear(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;

    fn ddpo_device_memory(index: i8, allocated: *mut u64, reserved: *mut u64) -> bool;

    fn ddpo_peak_memory(index: i8, peak: *mut u64) -> bool;

    fn ddpo_reset_peak_memory(index: i8);

    fn ddpo_load_cuda(out: *mut RawCuda);

    fn ddpo_cuda_device(index: i32, out: *mut RawCudaDevice) -> bool;

    fn ddpo_libtorch_version() -> *const c_char;

    fn ddpo_libtorch_file(out: *mut c_char, size: usize);

    fn ddpo_free_memory(index: i32, free: *mut u64) -> bool;

    fn ddpo_nccl_version() -> i32;

    fn ddpo_can_access_peer(from: i32, to: i32) -> bool;

    fn ddpo_set_numerics(deterministic: bool, precision: i32) -> *mut c_char;

    fn ddpo_numerics(out: *mut RawSwitches) -> *mut c_char;

    fn ddpo_free_message(message: *mut c_char);
}

pub(crate) fn group_norm_silu(x: &Tensor, norm: GroupNormSilu<'_>) -> Result<Tensor, TchError> {
    let GroupNormSilu { groups, weight, bias, eps, shift } = norm;
    let shift = shift.map_or(ptr::null(), Tensor::as_ptr);
    let mut out = ptr::null_mut();
    // SAFETY: the pointers come from borrowed tensors, so they are valid `at::Tensor`s for the
    // call, which only reads them and keeps counted references; shapes, types and devices are
    // checked there before any element is touched. It is `noexcept` and catches all exceptions.
    // CUDA kernels run after the call, on libtorch's current stream. libtorch's allocator follows the same
    // stream order: memory that is freed meanwhile is reused only by later work.
    // `out` is written if and only if null comes back.
    let message = unsafe {
        ddpo_group_norm_silu(
            x.as_ptr(),
            shift,
            weight.as_ptr(),
            bias.as_ptr(),
            groups,
            eps,
            &mut out,
        )
    };
    // SAFETY: as just said.
    unsafe { answer(message, out) }
}

pub(crate) fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor, TchError> {
    let bias = bias.map_or(ptr::null(), Tensor::as_ptr);
    let mut out = ptr::null_mut();
    // SAFETY: the pointers come from borrowed tensors, so they are valid `at::Tensor`s for the
    // call, which only reads them; libtorch's operators check shapes and types. It is `noexcept`
    // and catches all exceptions. `out` is written if and only if null comes back.
    let message = unsafe { ddpo_linear(x.as_ptr(), weight.as_ptr(), bias, &mut out) };
    // SAFETY: as just said.
    unsafe { answer(message, out) }
}

pub(crate) fn device_memory(index: i8) -> Option<(u64, u64)> {
    let (mut allocated, mut reserved) = (0, 0);
    // SAFETY: both pointers are to numbers of this frame, which the call writes if it returns true. It
    // reads counters under the allocator's lock, is `noexcept` and catches all exceptions.
    let known = unsafe { ddpo_device_memory(index, &mut allocated, &mut reserved) };
    known.then_some((allocated, reserved))
}

pub(crate) fn peak_memory(index: i8) -> Option<u64> {
    let mut peak = 0;
    // SAFETY: as `device_memory`.
    let known = unsafe { ddpo_peak_memory(index, &mut peak) };
    known.then_some(peak)
}

pub(crate) fn reset_peak_memory(index: i8) {
    // SAFETY: the call takes a number, is `noexcept` and catches all exceptions.
    unsafe { ddpo_reset_peak_memory(index) };
}

pub(crate) fn load_cuda() -> RawCuda {
    let mut out = RawCuda::default();
    // SAFETY: the struct has the layout of `DdpoCuda` (`repr(C)`, the same fields) and lives for the
    // call, which writes texts that end with a zero byte. It is `noexcept` and catches all exceptions.
    // It opens shared libraries, whose initialisers are libtorch's own and CUDA's.
    unsafe { ddpo_load_cuda(&mut out) };
    out
}

pub(crate) fn cuda_device(index: i32) -> Option<RawCudaDevice> {
    let mut out = RawCudaDevice::default();
    // SAFETY: the struct has the layout of `DdpoCudaDevice` and lives for the call, which is `noexcept`
    // and asks the driver only if it is loaded.
    let known = unsafe { ddpo_cuda_device(index, &mut out) };
    known.then_some(out)
}

pub(crate) fn libtorch_version() -> String {
    // SAFETY: the call returns a constant that ends with a zero byte.
    unsafe { CStr::from_ptr(ddpo_libtorch_version()) }.to_string_lossy().into_owned()
}

pub(crate) fn libtorch_path() -> [c_char; 1024] {
    let mut out = [0; 1024];
    // SAFETY: the call writes at most `size` bytes, the last one zero, into this frame's array.
    unsafe { ddpo_libtorch_file(out.as_mut_ptr(), out.len()) };
    out
}

pub(crate) fn free_memory(index: i32) -> Option<u64> {
    let mut free = 0;
    // SAFETY: the pointer is to a number of this frame. The call is `noexcept` and asks CUDA's runtime,
    // which checks the index.
    let known = unsafe { ddpo_free_memory(index, &mut free) };
    known.then_some(free)
}

pub(crate) fn nccl_version() -> i32 {
    // SAFETY: the call is `noexcept` and asks NCCL only if it is loaded.
    unsafe { ddpo_nccl_version() }
}

pub(crate) fn can_access_peer(from: i32, to: i32) -> bool {
    // SAFETY: the call is `noexcept` and asks the driver only if it is loaded, which checks the numbers.
    unsafe { ddpo_can_access_peer(from, to) }
}

pub(crate) fn set_numerics(deterministic: bool, precision: i32) -> Result<(), TchError> {
    // SAFETY: the call checks the range of `precision` before it indexes a table with it. It writes
    // switches of libtorch's process-wide context, is `noexcept` and catches all exceptions.
    let message = unsafe { ddpo_set_numerics(deterministic, precision) };
    // SAFETY: the message is null or was made by `strdup`.
    unsafe { done(message) }
}

pub(crate) fn numerics() -> Result<RawSwitches, TchError> {
    let mut out = RawSwitches::default();
    // SAFETY: the struct has the layout of `DdpoNumerics` and lives for the call, which writes texts
    // that end with a zero byte. It is `noexcept` and catches all exceptions.
    let message = unsafe { ddpo_numerics(&mut out) };
    // SAFETY: the message is null or was made by `strdup`.
    unsafe { done(message) }.map(|()| out)
}

/// Returns a call's message as an error.
///
/// # Safety
/// As [`take_message`].
pub(crate) unsafe fn done(message: *mut c_char) -> Result<(), TchError> {
    // SAFETY: this function's own condition.
    unsafe { take_message(message) }.map_or(Ok(()), |text| Err(TchError::Torch(text)))
}

/// Returns the tensor of a call, or its message as an error.
///
/// # Safety
/// `message` is null and `out` a new tensor for this caller, or `message` is a string made by `strdup`.
unsafe fn answer(message: *mut c_char, out: *mut C_tensor) -> Result<Tensor, TchError> {
    // SAFETY: this function's own condition on `message`.
    unsafe { done(message) }?;
    // SAFETY: `out` is a tensor made by `new` for this caller, which tch deletes when dropped.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// Takes over a message from C++; `None` for null.
///
/// # Safety
/// `message` is null, or memory from `malloc` that ends in a zero byte and that only this call frees.
pub(crate) unsafe fn take_message(message: *mut c_char) -> Option<String> {
    if message.is_null() {
        return None;
    }
    // SAFETY: the string is copied and then freed once.
    unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        ddpo_free_message(message);
        Some(text)
    }
}
