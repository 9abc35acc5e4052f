//! Resampling by a factor of 2 with the filter (1, 3, 3, 1) (diffusers `models/downsampling.py`,
//! `downsample_2d`, and `models/upsampling.py`, `upsample_2d` and `upfirdn2d_native`; Karras et al. 2020,
//! StyleGAN 2).

use tch::Tensor;

/// The filter; its outer product with itself is divided by 64.
const FILTER: [f32; 4] = [1.0, 3.0, 3.0, 1.0];

/// Maps `[B, C, H, W]` to `[B, C, H / 2, W / 2]`: filters, with zeros outside the image, and keeps every
/// second row and column.
pub(super) fn halve(x: &Tensor) -> Tensor {
    let channels = channels_of(x);
    x.conv2d(&filter(x, 1.0), None::<Tensor>, [2, 2], [1, 1], [1, 1], channels)
}

/// Maps `[B, C, H, W]` to `[B, C, 2 H, 2 W]`: inserts zeros and filters. A constant keeps its value.
pub(super) fn double(x: &Tensor) -> Tensor {
    let channels = channels_of(x);
    let filter = filter(x, 4.0);
    x.conv_transpose2d(&filter, None::<Tensor>, [2, 2], [1, 1], [0, 0], channels, [1, 1])
}

fn channels_of(x: &Tensor) -> i64 {
    x.size().get(1).copied().unwrap_or(1)
}

/// Returns `gain` times the filter for each channel of `x`, `[C, 1, 4, 4]` in the type of `x`.
fn filter(x: &Tensor, gain: f32) -> Tensor {
    let products: Vec<f32> =
        FILTER.iter().flat_map(|row| FILTER.map(|column| gain * row * column / 64.0)).collect();
    let one = Tensor::from_slice(&products).view([1, 1, 4, 4]);
    one.to_device(x.device()).to_kind(x.kind()).repeat([channels_of(x), 1, 1, 1])
}
