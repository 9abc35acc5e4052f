//! The border to `cpp/`: all unsafe code of this crate.
//!
//! tch and the C++ share libtorch's `at::Tensor`: a `C_tensor` pointer is a pointer to one (tch's own
//! `torch_api.h` says `typedef torch::Tensor *tensor`).

#![allow(unsafe_code)]

use crate::norm::GroupNormSilu;
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

    fn ddpo_free_message(message: *mut c_char);
}

pub(crate) fn group_norm_silu(x: &Tensor, norm: GroupNormSilu<'_>) -> Result<Tensor, TchError> {
    let GroupNormSilu { groups, weight, bias, eps, shift } = norm;
    let shift = shift.map_or(ptr::null(), Tensor::as_ptr);
    let mut out = ptr::null_mut();
    // SAFETY: the pointers come from borrowed tensors, so they are valid `at::Tensor`s for the
    // call, which only reads them and keeps counted references; shapes, types and devices are
    // checked there before any element is touched. It is `noexcept` and catches all exceptions.
    // CUDA kernels run after the call, on libtorch's current stream, whose order libtorch's allocator
    // keeps too: memory that is freed meanwhile is given out again to later work only.
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
    // SAFETY: both pointers are to numbers of this frame, which the call writes if it gives true. It
    // reads counters under the allocator's own lock, is `noexcept` and catches all exceptions.
    let known = unsafe { ddpo_device_memory(index, &mut allocated, &mut reserved) };
    known.then_some((allocated, reserved))
}

/// What a call has given.
///
/// # Safety
/// `message` is null and `out` a new tensor for this caller, or `message` is a string made by `strdup`.
unsafe fn answer(message: *mut c_char, out: *mut C_tensor) -> Result<Tensor, TchError> {
    // SAFETY: the message is null or a string made by `strdup` for this caller.
    match unsafe { take_message(message) } {
        // SAFETY: `out` is a tensor made by `new` for this caller, which tch deletes when dropped.
        None => Ok(unsafe { Tensor::from_ptr(out) }),
        Some(text) => Err(TchError::Torch(text)),
    }
}

/// Takes over a message from C++; `None` for null.
///
/// # Safety
/// `message` is null, or memory by `malloc` that ends in a zero and that nobody else frees.
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
