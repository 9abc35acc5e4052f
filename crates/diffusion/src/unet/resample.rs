//! Halving and doubling of the resolution (diffusers `models/downsampling.py` and
//! `upsampling.py`, with convolutions).

use crate::layers::{Conv2d, ConvConfig};
use crate::parameters::Path;
use tch::Tensor;

/// `Downsample2D`: a strided convolution.
#[derive(Debug)]
pub struct Downsample {
    conv: Conv2d,
    pad_below_and_right: bool,
}

impl Downsample {
    /// `padding` 0 pads one zero row below and one zero column to the right instead.
    pub fn new(mut path: Path<'_>, channels: i64, padding: i64) -> Self {
        let config = ConvConfig { kernel: 3, stride: 2, padding };
        let conv = Conv2d::new(path.at("conv"), channels, channels, config);
        Self { conv, pad_below_and_right: padding == 0 }
    }

    /// `[B, C, H, W]` to `[B, C, H / 2, W / 2]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        match self.pad_below_and_right {
            true => self.conv.forward(&x.constant_pad_nd([0, 1, 0, 1])),
            false => self.conv.forward(x),
        }
    }
}

/// `Upsample2D`: nearest neighbour, then a convolution.
#[derive(Debug)]
pub struct Upsample {
    conv: Conv2d,
}

impl Upsample {
    /// Declares the convolution.
    pub fn new(mut path: Path<'_>, channels: i64) -> Self {
        Self { conv: Conv2d::new(path.at("conv"), channels, channels, ConvConfig::SAME_3X3) }
    }

    /// `[B, C, H, W]` to `[B, C, 2 H, 2 W]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (height, width) = match x.size()[..] {
            [_, _, height, width] => (height, width),
            _ => unreachable!("the UNet passes four dimensions"),
        };
        self.conv.forward(&x.upsample_nearest2d([2 * height, 2 * width], None, None))
    }
}
