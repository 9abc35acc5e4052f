//! Counts the values that a forward pass processes, for the memory formula in [`crate::memory`].

use std::cell::Cell;
use tch::Tensor;

/// Numbers of tensor elements that layers have processed since [`begin`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Inputs of convolutions, linear layers and attention; autograd keeps them for the gradients.
    pub(crate) products: u64,
    /// Inputs of norms.
    pub(crate) norms: u64,
    /// Inputs of norms that a SiLU follows.
    pub(crate) activations: u64,
    /// Skip connections from down blocks to up blocks.
    pub(crate) skips: u64,
    /// Largest input of a convolution.
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

/// Counts a tensor that autograd keeps for the gradient of a matrix product.
pub(crate) fn product(x: &Tensor) {
    count(|counts| counts.products += x.numel() as u64);
}

/// Counts the input of a norm.
pub(crate) fn norm(x: &Tensor, followed_by_silu: bool) {
    count(|counts| {
        counts.norms += x.numel() as u64;
        if followed_by_silu {
            counts.activations += x.numel() as u64;
        }
    });
}

/// Counts a skip connection.
pub(crate) fn skip(x: &Tensor) {
    count(|counts| counts.skips += x.numel() as u64);
}

/// Resets this thread's counts to zero.
pub(crate) fn begin() {
    COUNTS.set(Counts::default());
}

/// Returns this thread's counts since [`begin`].
pub(crate) fn counted() -> Counts {
    COUNTS.get()
}
