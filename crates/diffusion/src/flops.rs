//! Counts the floating-point operations of forward and backward passes from the shapes of their
//! tensors.

use std::cell::Cell;
use tch::Tensor;

thread_local! {
    static COUNTED: Cell<u64> = const { Cell::new(0) };
}

/// Adds the operations of the product that computed `result`: one multiplication and one addition
/// for each of the `terms` of each of the `outputs` values. If autograd records the product, its
/// backward pass counts as two more products, as is usual.
pub(crate) fn add_product(result: &Tensor, outputs: usize, terms: i64) {
    let products = if result.requires_grad() { 3 } else { 1 };
    add(products * 2 * outputs as u64 * terms.unsigned_abs());
}

/// Adds operations that another thread has counted for this one.
pub(crate) fn add(operations: u64) {
    COUNTED.set(COUNTED.get() + operations);
}

/// Returns the operations of convolutions, linear maps and attention so far, in passes of this
/// thread and of the lanes that it ran. Norms and activations are not counted, as is usual. A
/// forward pass with gradients counts its backward pass too.
#[must_use]
pub fn counted() -> u64 {
    COUNTED.get()
}
