//! Counts the floating-point operations of forward and backward passes, by the shapes that they run on.

use std::cell::Cell;
use tch::Tensor;

thread_local! {
    static COUNTED: Cell<u64> = const { Cell::new(0) };
}

/// Adds the operations of a product that `result` comes from: a multiplication and an addition for each of
/// `outputs` values and each of the `terms` of its sum. Where autograd records the product, its backward
/// pass counts as two products of that size, as is usual.
pub(crate) fn add_product(result: &Tensor, outputs: usize, terms: i64) {
    let products = if result.requires_grad() { 3 } else { 1 };
    add(products * 2 * outputs as u64 * terms.unsigned_abs());
}

/// Adds operations that another thread has counted for this one.
pub(crate) fn add(operations: u64) {
    COUNTED.set(COUNTED.get() + operations);
}

/// Returns the operations of convolutions, linear maps and attention that this thread's passes, and the
/// lanes that it ran, have asked for so far. Norms and activations are left out, as is usual. A forward
/// pass with gradients counts its backward pass too.
#[must_use]
pub fn counted() -> u64 {
    COUNTED.get()
}
