//! The bindings of `cpp/foreach.cpp`.

#![allow(unsafe_code)]

use crate::ffi::done;
use std::ffi::c_char;
use std::ptr;
use tch::{TchError, Tensor};
use torch_sys::C_tensor;

/// A list of tensors, as C++ takes it.
type List = *const *const C_tensor;

unsafe extern "C" {
    fn ddpo_foreach_scalar_(x: List, count: usize, operation: i32, value: f64) -> *mut c_char;
    fn ddpo_foreach_add_(x: List, y: List, count: usize) -> *mut c_char;
    fn ddpo_foreach_copy_(x: List, y: List, count: usize) -> *mut c_char;
    fn ddpo_foreach_lerp_(x: List, y: List, count: usize, weight: f64) -> *mut c_char;
    fn ddpo_foreach_zero_(x: List, count: usize) -> *mut c_char;
    fn ddpo_foreach_mul(x: List, y: List, count: usize, out: *mut *mut C_tensor) -> *mut c_char;
    fn ddpo_foreach_div(x: List, y: List, count: usize, out: *mut *mut C_tensor) -> *mut c_char;
    fn ddpo_foreach_sqrt(x: List, count: usize, out: *mut *mut C_tensor) -> *mut c_char;
    fn ddpo_foreach_norm(x: List, count: usize, out: *mut *mut C_tensor) -> *mut c_char;
}

/// An operation with a number, by its number in `cpp/foreach.cpp`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scalar {
    Add = 0,
    Multiply = 1,
    Divide = 2,
}

pub(super) fn scalar_(x: &[Tensor], operation: Scalar, value: f64) -> Result<(), TchError> {
    // SAFETY: as `in_place` asks: the call reads `count` pointers and writes elements only.
    unsafe { in_place(x, |x, count| ddpo_foreach_scalar_(x, count, operation as i32, value)) }
}

pub(super) fn zero_(x: &[Tensor]) -> Result<(), TchError> {
    // SAFETY: as `scalar_`.
    unsafe { in_place(x, |x, count| ddpo_foreach_zero_(x, count)) }
}

pub(super) fn add_(x: &[Tensor], y: &[Tensor]) -> Result<(), TchError> {
    let y = pointers_like(x, y);
    // SAFETY: as `scalar_`; `y` has as many pointers as `x`.
    unsafe { in_place(x, |x, count| ddpo_foreach_add_(x, y.as_ptr(), count)) }
}

pub(super) fn copy_(x: &[Tensor], y: &[Tensor]) -> Result<(), TchError> {
    let y = pointers_like(x, y);
    // SAFETY: as `add_`.
    unsafe { in_place(x, |x, count| ddpo_foreach_copy_(x, y.as_ptr(), count)) }
}

pub(super) fn lerp_(x: &[Tensor], y: &[Tensor], weight: f64) -> Result<(), TchError> {
    let y = pointers_like(x, y);
    // SAFETY: as `add_`.
    unsafe { in_place(x, |x, count| ddpo_foreach_lerp_(x, y.as_ptr(), count, weight)) }
}

pub(super) fn mul(x: &[Tensor], y: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let y = pointers_like(x, y);
    // SAFETY: as `new_tensors` asks: the call reads `count` pointers of each list and fills `out`.
    unsafe { new_tensors(x, |x, count, out| ddpo_foreach_mul(x, y.as_ptr(), count, out)) }
}

pub(super) fn div(x: &[Tensor], y: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let y = pointers_like(x, y);
    // SAFETY: as `mul`.
    unsafe { new_tensors(x, |x, count, out| ddpo_foreach_div(x, y.as_ptr(), count, out)) }
}

pub(super) fn sqrt(x: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    // SAFETY: as `mul`.
    unsafe { new_tensors(x, |x, count, out| ddpo_foreach_sqrt(x, count, out)) }
}

pub(super) fn norm(x: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    // SAFETY: as `mul`.
    unsafe { new_tensors(x, |x, count, out| ddpo_foreach_norm(x, count, out)) }
}

fn pointers(x: &[Tensor]) -> Vec<*const C_tensor> {
    x.iter().map(Tensor::as_ptr).collect()
}

/// Pointers to `y`, which must be as long as `x`.
fn pointers_like(x: &[Tensor], y: &[Tensor]) -> Vec<*const C_tensor> {
    assert_eq!(x.len(), y.len(), "lists of tensors have different lengths");
    pointers(y)
}

/// Runs `call` on a list that is not empty.
///
/// # Safety
/// `call` reads no more than `count` pointers to valid tensors, keeps none of them, and returns null or a
/// message made by `strdup`. It changes elements of tensors, which tch too does through shared handles, and
/// no tensor's handle. libtorch checks types and shapes before any element is touched.
unsafe fn in_place(
    x: &[Tensor],
    call: impl FnOnce(List, usize) -> *mut c_char,
) -> Result<(), TchError> {
    if x.is_empty() {
        return Ok(());
    }
    let x = pointers(x);
    let message = call(x.as_ptr(), x.len());
    // SAFETY: this function's own condition.
    unsafe { done(message) }
}

/// Runs `call` on a list that is not empty, and returns its new tensors.
///
/// # Safety
/// As [`in_place`]; `call` fills `out` with `count` tensors made by `new` if and only if it returns null.
unsafe fn new_tensors(
    x: &[Tensor],
    call: impl FnOnce(List, usize, *mut *mut C_tensor) -> *mut c_char,
) -> Result<Vec<Tensor>, TchError> {
    let mut out = vec![ptr::null_mut(); x.len()];
    // SAFETY: this function's own condition.
    unsafe { in_place(x, |x, count| call(x, count, out.as_mut_ptr()))? };
    // SAFETY: each pointer is a new tensor for this caller, which tch deletes when dropped.
    Ok(out.into_iter().map(|tensor| unsafe { Tensor::from_ptr(tensor) }).collect())
}
