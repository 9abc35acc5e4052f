//! Downsampling and upsampling by a factor of 2 (diffusers `models/downsampling.py` and
//! `models/upsampling.py`): with a convolution (`use_conv=True`), or without as a residual block does it.

use crate::layers::{Conv2d, ConvConfig};
use crate::parameters::Path;
use crate::unet::fir;
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
        self.conv.forward(&Resample::Double.apply(x))
    }
}

/// Resampling without parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resample {
    /// Keeps the size.
    #[default]
    Keep,
    /// The mean of each 2x2 square.
    Halve,
    /// Nearest-neighbour interpolation.
    Double,
    /// Halves with the filter (1, 3, 3, 1).
    FilterHalve,
    /// Doubles with the filter (1, 3, 3, 1).
    FilterDouble,
}

impl Resample {
    /// Maps `[B, C, H, W]` to `[B, C, H', W']`, with H' and W' the same, half or twice as large.
    pub fn apply(self, x: &Tensor) -> Tensor {
        match (self, &x.size()[..]) {
            (Self::Keep, _) => x.shallow_clone(),
            (Self::Halve, _) => x.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None),
            (Self::Double, [_, _, height, width]) => {
                x.upsample_nearest2d([2 * height, 2 * width], None, None)
            }
            (Self::Double, _) => unreachable!("the UNet passes four dimensions"),
            (Self::FilterHalve, _) => fir::halve(x),
            (Self::FilterDouble, _) => fir::double(x),
        }
    }
}
