//! Counts the values that a forward pass works on, for the formula of its memory.

use std::cell::Cell;
use tch::Tensor;

/// Values that layers have worked on since [`begin`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Inputs of convolutions, linear maps and attention, which their gradients need.
    pub(crate) products: u64,
    /// Inputs of norms.
    pub(crate) norms: u64,
    /// Inputs of norms with a SiLU behind them.
    pub(crate) activations: u64,
    /// Tensors that the way up takes from the way down.
    pub(crate) skips: u64,
    /// The largest input of a convolution.
    pub(crate) largest: u64,
}

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts {
        products: 0, norms: 0, activations: 0, skips: 0, largest: 0,
    }) };
}

fn count(change: impl FnOnce(&mut Counts)) {
    let mut counts = COUNTS.get();
    change(&mut counts);
    COUNTS.set(counts);
}

/// Counts the input of a convolution.
pub(crate) fn convolution(x: &Tensor) {
    let values = x.numel() as u64;
    count(|counts| {
        counts.products += values;
        counts.largest = counts.largest.max(values);
    });
}

/// Counts a tensor that the gradient of a product needs.
pub(crate) fn product(x: &Tensor) {
    count(|counts| counts.products += x.numel() as u64);
}

/// Counts the input of a norm, with or without a SiLU behind it.
pub(crate) fn norm(x: &Tensor, followed_by_silu: bool) {
    count(|counts| {
        counts.norms += x.numel() as u64;
        if followed_by_silu {
            counts.activations += x.numel() as u64;
        }
    });
}

/// Counts a tensor that the way up takes from the way down.
pub(crate) fn skip(x: &Tensor) {
    count(|counts| counts.skips += x.numel() as u64);
}

/// Begins to count.
pub(crate) fn begin() {
    COUNTS.set(Counts::default());
}

/// Returns what this thread's forward passes have worked on since [`begin`].
pub(crate) fn counted() -> Counts {
    COUNTS.get()
}
