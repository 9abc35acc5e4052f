//! Counts the floating-point operations of forward passes, by the shapes that they run on.

use std::cell::Cell;

thread_local! {
    static COUNTED: Cell<u64> = const { Cell::new(0) };
}

/// Adds the operations of a product: a multiplication and an addition for each of `outputs` values and
/// each of the `terms` of its sum.
pub(crate) fn add_product(outputs: usize, terms: i64) {
    COUNTED.set(COUNTED.get() + 2 * outputs as u64 * terms.unsigned_abs());
}

/// Returns the operations of convolutions, linear maps and attention that this thread's forward passes
/// have asked for so far. Norms and activations are left out, as is usual.
#[must_use]
pub fn counted() -> u64 {
    COUNTED.get()
}
