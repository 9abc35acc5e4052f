//! The residual block (diffusers `models/resnet.py`, `ResnetBlock2D`).

use crate::layers::{Conv2d, ConvConfig, GroupNorm, Linear};
use crate::parameters::Path;
use crate::unet::activation::Activation;
use crate::unet::config::UNetConfig;
use crate::unet::resample::Resample;
use tch::Tensor;

/// Channels and output scale of a [`ResnetBlock`].
#[derive(Clone, Copy, Debug)]
pub struct ResnetShape {
    /// Input channels.
    pub input: i64,
    /// Output channels.
    pub output: i64,
    /// Divisor of the residual sum.
    pub output_scale_factor: f64,
}

/// Groups of the two norms of a [`ResnetBlock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    /// Groups of `norm1`.
    pub first: i64,
    /// Groups of `norm2`.
    pub second: i64,
}

/// When a [`ResnetBlock`] has a convolution as its shortcut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shortcut {
    IfChannelsDiffer,
    Always,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeInjection {
    Add,
    ScaleShift,
}

/// The residual block (`act` is the config's activation, `time` the activated time embedding):
///
/// ```text
/// x, h = r(x), conv1(r(act(norm1(x))))
/// h = conv2(act(norm2(h + time_emb_proj(time))))                                     (default)
/// h = conv2(act(norm2(h) (1 + scale) + shift)),  scale, shift = time_emb_proj(time)  (scale_shift)
/// y = (shortcut(x) + h) / output_scale_factor
/// ```
///
/// `shortcut` is a 1x1 convolution if input and output channels differ or the block filters, otherwise the
/// identity. `r` is a
/// [`Resample`], by default the identity.
#[derive(Debug)]
pub struct ResnetBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    time_emb_proj: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>,
    activation: Activation,
    time_injection: TimeInjection,
    output_scale_factor: f64,
    resample: Resample,
}

impl ResnetBlock {
    /// Declares the block's parameters. Its norms have `norm_num_groups` groups.
    pub fn new(path: Path<'_>, shape: ResnetShape, config: &UNetConfig) -> Self {
        let groups = Groups { first: config.norm_num_groups, second: config.norm_num_groups };
        Self::with_groups(path, shape, groups, config)
    }

    /// Declares the parameters of a block with other groups.
    pub fn with_groups(
        path: Path<'_>,
        shape: ResnetShape,
        groups: Groups,
        config: &UNetConfig,
    ) -> Self {
        Self::declare(path, shape, (groups, Shortcut::IfChannelsDiffer), config)
    }

    /// Declares the parameters of a block that resamples with a filter, and has a convolution as its
    /// shortcut.
    pub fn filtering(
        path: Path<'_>,
        shape: ResnetShape,
        (groups, resample): (Groups, Resample),
        config: &UNetConfig,
    ) -> Self {
        Self { resample, ..Self::declare(path, shape, (groups, Shortcut::Always), config) }
    }

    fn declare(
        mut path: Path<'_>,
        shape: ResnetShape,
        (groups, shortcut): (Groups, Shortcut),
        config: &UNetConfig,
    ) -> Self {
        let ResnetShape { input, output, output_scale_factor } = shape;
        let eps = config.norm_eps;
        let (time_injection, time_width) = match config.resnet_time_scale_shift.as_str() {
            "scale_shift" => (TimeInjection::ScaleShift, 2 * output),
            _ => (TimeInjection::Add, output),
        };
        let same = ConvConfig::SAME_3X3;
        Self {
            norm1: GroupNorm::new(path.at("norm1"), groups.first, input, eps),
            conv1: Conv2d::new(path.at("conv1"), input, output, same),
            time_emb_proj: Linear::new(
                path.at("time_emb_proj"),
                config.time_channels(),
                time_width,
            ),
            norm2: GroupNorm::new(path.at("norm2"), groups.second, output, eps),
            conv2: Conv2d::new(path.at("conv2"), output, output, same),
            conv_shortcut: (input != output || shortcut == Shortcut::Always)
                .then(|| Conv2d::new(path.at("conv_shortcut"), input, output, ConvConfig::POINT)),
            activation: Activation::of(config),
            time_injection,
            output_scale_factor,
            resample: Resample::Keep,
        }
    }

    /// Declares the parameters of a block that halves or doubles the sides of `channels` channels.
    pub fn resampling(
        path: Path<'_>,
        channels: i64,
        resample: Resample,
        config: &UNetConfig,
    ) -> Self {
        let shape = ResnetShape { input: channels, output: channels, output_scale_factor: 1.0 };
        Self { resample, ..Self::new(path, shape, config) }
    }

    /// Maps `x` `[B, input, H, W]` and the activated time embedding `time` `[B, time_channels]` to
    /// `[B, output, H', W']`.
    pub fn forward(&self, x: &Tensor, time: &Tensor) -> Tensor {
        let hidden = self.activation.after_norm(&self.norm1, x, None);
        let (x, hidden) = (&self.resample.apply(x), self.resample.apply(&hidden));
        let hidden = self.conv1.forward(&hidden);
        let time = self.time_emb_proj.forward(time);
        let hidden = match self.time_injection {
            TimeInjection::Add => self.activation.after_norm(&self.norm2, &hidden, Some(&time)),
            TimeInjection::ScaleShift => {
                let parts = time.unsqueeze(-1).unsqueeze(-1).chunk(2, 1);
                let scaled = self.norm2.forward(&hidden) * (&parts[0] + 1.0) + &parts[1];
                self.activation.forward(&scaled)
            }
        };
        // In-place addition is safe: nothing else holds the convolution's output, and autograd does not
        // need its values.
        let mut hidden = self.conv2.forward(&hidden);
        let sum = match &self.conv_shortcut {
            Some(shortcut) => hidden.g_add_(&shortcut.forward(x)),
            None => hidden.g_add_(x),
        };
        if self.output_scale_factor == 1.0 { sum } else { sum / self.output_scale_factor }
    }
}
