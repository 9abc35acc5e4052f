//! Convolution, linear layer and norms, equivalent to those of `torch.nn` (PyTorch 2.11).
//!
//! Weights and activations have the model's type, f32 or bf16. A constructor declares its parameters
//! under the names of the `torch.nn` module.

use crate::activations;
use crate::flops::add_product;
use crate::parameters::{Layout, Path};
use ddpo_kernels::{GroupNormSilu, NormKernel, group_norm_silu, linear, norm_kernel};
use tch::{Device, Kind, Tensor};

/// `torch.nn.Conv2d` with a square kernel, equal stride in both directions and a bias:
///
/// ```text
/// y[b, o, i, j] = bias[o] + sum_{c, p, q} weight[o, c, p, q] x[b, c, s i + p - pad, s j + q - pad]
/// ```
#[derive(Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    stride: i64,
    padding: i64,
    as_product: bool,
    /// Summands of one output value: input channels times kernel area.
    terms: i64,
    /// Whether autograd keeps the input for this layer alone. It does not for a 1x1 shortcut, whose
    /// input is counted at the norm that shares it.
    keeps_input: bool,
}

/// Kernel size, stride and padding of a [`Conv2d`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvConfig {
    /// Side of the square kernel.
    pub kernel: i64,
    /// Stride in both directions.
    pub stride: i64,
    /// Zero rows and columns added on each side.
    pub padding: i64,
}

impl ConvConfig {
    /// Kernel 3, stride 1, padding 1: preserves height and width.
    pub const SAME_3X3: Self = Self { kernel: 3, stride: 1, padding: 1 };
    /// Kernel 1, stride 1, no padding: a linear layer over channels at every position.
    pub const POINT: Self = Self { kernel: 1, stride: 1, padding: 0 };
}

impl Conv2d {
    /// Declares `weight` `[output, input, k, k]` and `bias` `[output]`.
    pub fn new(mut path: Path<'_>, input: i64, output: i64, config: ConvConfig) -> Self {
        let ConvConfig { kernel, stride, padding } = config;
        let as_product = config == ConvConfig::POINT && path.layout() == Layout::ChannelsLast;
        Self {
            as_product,
            weight: path.tensor("weight", &[output, input, kernel, kernel]),
            bias: path.tensor("bias", &[output]),
            stride,
            padding,
            terms: input * kernel * kernel,
            keeps_input: kernel > 1,
        }
    }

    /// Convolves `[B, input, H, W]` to `[B, output, H', W']`, with
    /// `H' = floor((H + 2 padding - kernel) / stride) + 1` and `W'` likewise. The type of `x` is kept.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        if self.keeps_input {
            activations::convolution(x);
        }
        let y = self.apply(x);
        add_product(&y, y.numel(), self.terms);
        y
    }

    fn apply(&self, x: &Tensor) -> Tensor {
        if self.as_product {
            // Channels-last positions are the rows of a matrix, so one matrix product suffices.
            // libtorch's convolution takes a slow path for a single image.
            let weight = self.weight.squeeze_dim(3).squeeze_dim(2);
            let rows = x.permute([0, 2, 3, 1]).linear(&weight, Some(&self.bias));
            return rows.permute([0, 3, 1, 2]);
        }
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        x.conv2d(&self.weight, Some(&self.bias), stride, padding, [1, 1], 1)
    }
}

/// `torch.nn.Linear`: `y = x weight^T + bias`.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

/// Whether a linear layer has a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    /// The layer adds a bias.
    With,
    /// The layer has no bias.
    Without,
}

impl Linear {
    /// Declares `weight` `[output, input]` and `bias` `[output]`.
    pub fn new(mut path: Path<'_>, input: i64, output: i64) -> Self {
        Self {
            weight: path.tensor("weight", &[output, input]),
            bias: Some(path.tensor("bias", &[output])),
        }
    }

    /// Declares `weight` `[output, input]` and no bias.
    pub fn without_bias(mut path: Path<'_>, input: i64, output: i64) -> Self {
        Self { weight: path.tensor("weight", &[output, input]), bias: None }
    }

    /// Declares one layer for each of `names`, each with `weight` `[output, input]` and, if asked for,
    /// `bias` `[output]`. They are computed as a single layer with `names.len() * output` outputs, in
    /// the order of the names.
    pub fn stacked(
        path: &mut Path<'_>,
        names: &[&str],
        (input, output): (i64, i64),
        bias: Bias,
    ) -> Self {
        let weight = path.stacked(names, "weight", &[output, input]);
        let bias = (bias == Bias::With).then(|| path.stacked(names, "bias", &[output]));
        Self { weight, bias }
    }

    /// Returns the layer that computes the outputs `start .. start + length`, on the same storage.
    pub fn narrow(&self, start: i64, length: i64) -> Self {
        let bias = self.bias.as_ref().map(|bias| bias.narrow(0, start, length));
        Self { weight: self.weight.narrow(0, start, length), bias }
    }

    /// Maps `[.., input]` to `[.., output]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        activations::product(x);
        let y = x.linear(&self.weight, self.bias.as_ref());
        add_product(&y, x.numel(), self.weight.size()[0]);
        y
    }

    /// Computes [`Linear::forward`] within rounding, by the fastest matrix product available without a
    /// gradient.
    pub fn infer(&self, x: &Tensor) -> Tensor {
        linear(x, &self.weight, self.bias.as_ref())
    }
}

/// `torch.nn.LayerNorm` over the last dimension (Ba et al. 2016), with affine parameters:
///
/// ```text
/// y = (x - E[x]) / sqrt(Var[x] + eps) * weight + bias
/// ```
#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Declares `weight` and `bias` `[channels]`.
    pub fn new(mut path: Path<'_>, channels: i64, eps: f64) -> Self {
        let (weight, bias) = (path.tensor("weight", &[channels]), path.tensor("bias", &[channels]));
        Self { weight, bias, eps }
    }

    /// Normalises `[.., channels]`; the shape and type stay the same.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let shape = self.weight.size();
        x.layer_norm(shape, Some(&self.weight), Some(&self.bias), self.eps, true)
    }
}

/// `torch.nn.GroupNorm` with affine parameters (Wu and He 2018):
///
/// ```text
/// y = (x - E[x]) / sqrt(Var[x] + eps) * weight + bias
/// ```
///
/// Mean and variance are taken per sample over the `channels / groups` channels of a group and all
/// positions; `weight` and `bias` are per channel.
#[derive(Debug)]
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: i64,
    eps: f64,
    fuses_silu: bool,
}

impl GroupNorm {
    /// Declares `weight` and `bias` `[channels]`.
    pub fn new(mut path: Path<'_>, groups: i64, channels: i64, eps: f64) -> Self {
        let is_chosen = match path.device() {
            Device::Cpu => true,
            Device::Cuda(_) => norm_kernel() == NormKernel::Fused,
            _ => false,
        };
        let fuses_silu = is_chosen
            && path.layout() == Layout::ChannelsLast
            && matches!(path.kind(), Kind::Float | Kind::BFloat16);
        Self {
            fuses_silu,
            weight: path.tensor("weight", &[channels]),
            bias: path.tensor("bias", &[channels]),
            groups,
            eps,
        }
    }

    /// Normalises `[B, channels, ..]`; the shape and type stay the same. Statistics and arithmetic are
    /// f32 for every type, because libtorch's bf16 norm rounds mean and deviation to bf16.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        activations::norm(x, false);
        self.normalise(x)
    }

    fn normalise(&self, x: &Tensor) -> Tensor {
        if x.kind() == Kind::Float {
            return x.group_norm(
                self.groups,
                Some(&self.weight),
                Some(&self.bias),
                self.eps,
                false,
            );
        }
        let wide = |tensor: &Tensor| tensor.to_kind(Kind::Float);
        let (weight, bias) = (wide(&self.weight), wide(&self.bias));
        let y = wide(x).group_norm(self.groups, Some(&weight), Some(&bias), self.eps, false);
        y.to_kind(x.kind())
    }

    /// Computes `silu(forward(x + shift))` with `shift` `[B, channels]`, broadcast over positions. Uses
    /// the fused operator if it supports the model's layout, type and device.
    pub(crate) fn forward_silu(&self, x: &Tensor, shift: Option<&Tensor>) -> Tensor {
        activations::norm(x, true);
        if self.fuses_silu {
            let Self { groups, eps, weight, bias, .. } = self;
            let norm = GroupNormSilu { groups: *groups, weight, bias, eps: *eps, shift };
            return group_norm_silu(x, norm);
        }
        self.normalise_shifted(x, shift).silu()
    }

    /// Computes `forward(x + shift)` with `shift` `[B, channels]`, broadcast over positions.
    pub(crate) fn forward_shifted(&self, x: &Tensor, shift: Option<&Tensor>) -> Tensor {
        activations::norm(x, true);
        self.normalise_shifted(x, shift)
    }

    fn normalise_shifted(&self, x: &Tensor, shift: Option<&Tensor>) -> Tensor {
        match shift {
            Some(shift) => self.normalise(&(x + shift.unsqueeze(-1).unsqueeze(-1))),
            None => self.normalise(x),
        }
    }
}
