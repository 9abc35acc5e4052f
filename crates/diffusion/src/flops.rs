//! Counts the floating-point operations of forward passes from the shapes of their tensors.

use std::cell::Cell;

thread_local! {
    static COUNTED: Cell<u64> = const { Cell::new(0) };
}

/// Adds the operations of a matrix product: `2 * outputs * terms`, one multiplication and one addition
/// for each of the `terms` summands of each output.
pub(crate) fn add_product(outputs: usize, terms: i64) {
    COUNTED.set(COUNTED.get() + 2 * outputs as u64 * terms.unsigned_abs());
}

/// Returns the operations of convolutions, linear layers and attention in this thread's forward passes
/// so far. Norms and activations are not counted, as is usual.
#[must_use]
pub fn counted() -> u64 {
    COUNTED.get()
}
