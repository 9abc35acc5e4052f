//! Runs networks on a fixed number of images at a time, so that the shapes of all products, and with
//! them the last bits of a score, do not depend on the batch.
//!
//! On a CPU the number is one: the tokens of one image are enough rows for a matrix product, and
//! intermediate results stay in the cache. On a GPU it is [`ON_GPU`]; a partial pass is padded with
//! zeros.

use std::convert::Infallible;

use tch::{Device, Tensor};

/// Images in a pass on a GPU.
pub const ON_GPU: i64 = 32;

/// Runs `forward` over pixels `[B, 3, H, W]` (B at least 1) in passes of one size on `device`.
/// Returns `[B, ..]`.
pub fn in_passes(pixels: &Tensor, device: Device, forward: impl Fn(&Tensor) -> Tensor) -> Tensor {
    let passed = try_in_passes(pixels, device, |part| Ok::<_, Infallible>(forward(part)));
    match passed {
        Ok(outputs) => outputs,
        Err(never) => match never {},
    }
}

/// [`in_passes`] for a `forward` that may fail.
///
/// # Errors
/// The first error of `forward`.
pub fn try_in_passes<E>(
    pixels: &Tensor,
    device: Device,
    forward: impl Fn(&Tensor) -> Result<Tensor, E>,
) -> Result<Tensor, E> {
    let size = if device.is_cuda() { ON_GPU } else { 1 };
    let count = pixels.size()[0];
    let mut outputs = Vec::new();
    let mut start = 0;
    while start < count {
        let length = size.min(count - start);
        let mut part = pixels.narrow(0, start, length).to_device(device);
        if length < size {
            let mut shape = part.size();
            shape[0] = size - length;
            part = Tensor::cat(&[&part, &Tensor::zeros(shape, (part.kind(), device))], 0);
        }
        outputs.push(forward(&part)?.narrow(0, 0, length));
        start += length;
    }
    Ok(Tensor::cat(&outputs, 0))
}
