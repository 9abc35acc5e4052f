//! Elementwise operations on lists of tensors, for optimizer steps.
//!
//! On a GPU each call takes a few kernel launches for the whole list, if the tensors of a list have
//! one type and one device, and both lists have the same strides. On a CPU each call runs tensor by
//! tensor, with the same bits as tch's operator. Each function agrees with the `torch._foreach_*`
//! operator of the same name (PyTorch 2.11). No gradient is recorded.
//!
//! # Panics
//!
//! If lists have different lengths and, as in tch's operators, if shapes do not fit or the device
//! fails.

mod ffi;

use ffi::Scalar;
use tch::{TchError, Tensor};

/// x <- x + `value`.
pub fn add_scalar_(x: &[Tensor], value: f64) {
    done(ffi::scalar_(x, Scalar::Add, value));
}

/// x <- x * `value`.
pub fn mul_scalar_(x: &[Tensor], value: f64) {
    done(ffi::scalar_(x, Scalar::Multiply, value));
}

/// x <- x / `value`.
pub fn div_scalar_(x: &[Tensor], value: f64) {
    done(ffi::scalar_(x, Scalar::Divide, value));
}

/// x <- x + y. The types may differ; the sum has the wider one, which must be `x`'s.
pub fn add_(x: &[Tensor], y: &[Tensor]) {
    done(ffi::add_(x, y));
}

/// x <- y. Types and devices may differ.
pub fn copy_(x: &[Tensor], y: &[Tensor]) {
    done(ffi::copy_(x, y));
}

/// x <- x + `weight` * (y - x).
pub fn lerp_(x: &[Tensor], y: &[Tensor], weight: f64) {
    done(ffi::lerp_(x, y, weight));
}

/// x <- 0.
pub fn zero_(x: &[Tensor]) {
    done(ffi::zero_(x));
}

/// Returns x * y.
#[must_use]
pub fn mul(x: &[Tensor], y: &[Tensor]) -> Vec<Tensor> {
    done(ffi::mul(x, y))
}

/// Returns x / y.
#[must_use]
pub fn div(x: &[Tensor], y: &[Tensor]) -> Vec<Tensor> {
    done(ffi::div(x, y))
}

/// Returns the square root of each element.
#[must_use]
pub fn sqrt(x: &[Tensor]) -> Vec<Tensor> {
    done(ffi::sqrt(x))
}

/// Returns the Euclidean norm of each tensor, as tensors without dimensions.
#[must_use]
pub fn norm(x: &[Tensor]) -> Vec<Tensor> {
    done(ffi::norm(x))
}

fn done<T>(result: Result<T, TchError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
