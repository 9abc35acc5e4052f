//! Downsampling and upsampling by a factor of 2 (diffusers `models/downsampling.py` and
//! `models/upsampling.py`, with `use_conv=True`).

use crate::layers::{Conv2d, ConvConfig};
use crate::parameters::Path;
use tch::Tensor;

/// `Downsample2D`: a 3x3 convolution with stride 2.
#[derive(Debug)]
pub struct Downsample {
    conv: Conv2d,
    pad_below_and_right: bool,
}

impl Downsample {
    /// Declares the convolution. With `padding` 0, the input gets one zero row below and one zero column
    /// on the right.
    pub fn new(mut path: Path<'_>, channels: i64, padding: i64) -> Self {
        let config = ConvConfig { kernel: 3, stride: 2, padding };
        let conv = Conv2d::new(path.at("conv"), channels, channels, config);
        Self { conv, pad_below_and_right: padding == 0 }
    }

    /// Maps `[B, C, H, W]` to `[B, C, H / 2, W / 2]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        match self.pad_below_and_right {
            true => self.conv.forward(&x.constant_pad_nd([0, 1, 0, 1])),
            false => self.conv.forward(x),
        }
    }
}

/// `Upsample2D`: nearest-neighbour interpolation, then a 3x3 convolution.
#[derive(Debug)]
pub struct Upsample {
    conv: Conv2d,
}

impl Upsample {
    /// Declares the convolution.
    pub fn new(mut path: Path<'_>, channels: i64) -> Self {
        Self { conv: Conv2d::new(path.at("conv"), channels, channels, ConvConfig::SAME_3X3) }
    }

    /// Maps `[B, C, H, W]` to `[B, C, 2 H, 2 W]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (height, width) = match x.size()[..] {
            [_, _, height, width] => (height, width),
            _ => unreachable!("the UNet passes four dimensions"),
        };
        self.conv.forward(&x.upsample_nearest2d([2 * height, 2 * width], None, None))
    }
}
