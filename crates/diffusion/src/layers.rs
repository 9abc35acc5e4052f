//! The layers that networks are made of: convolution, linear map, norms.

use crate::activations;
use crate::flops::add_product;
use crate::parameters::{Layout, Path};
use ddpo_kernels::{GroupNormSilu, NormKernel, group_norm_silu, linear, norm_kernel};
use tch::{Device, Kind, Tensor};

/// `torch.nn.Conv2d`.
#[derive(Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    stride: i64,
    padding: i64,
    as_product: bool,
    /// Terms of the sum that an output is: input channels times the kernel's area.
    terms: i64,
    /// Whether the gradient keeps the input for this layer alone. A point's input is kept already: it
    /// stands beside a block that begins with a norm.
    keeps_input: bool,
}

/// Shape and stride of a [`Conv2d`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvConfig {
    /// Side of the square kernel.
    pub kernel: i64,
    /// Step in both directions.
    pub stride: i64,
    /// Zeros added on each side.
    pub padding: i64,
}

impl ConvConfig {
    /// Kernel 3, stride 1, padding 1: keeps height and width.
    pub const SAME_3X3: Self = Self { kernel: 3, stride: 1, padding: 1 };
    /// Kernel 1: a linear map of channels.
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

    /// `[B, input, H, W]` to `[B, output, H', W']`.
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
            // Channels-last positions are the rows of a matrix: one product, where libtorch's
            // convolution of a single image takes a slow path.
            let weight = self.weight.squeeze_dim(3).squeeze_dim(2);
            let rows = x.permute([0, 2, 3, 1]).linear(&weight, Some(&self.bias));
            return rows.permute([0, 3, 1, 2]);
        }
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        x.conv2d(&self.weight, Some(&self.bias), stride, padding, [1, 1], 1)
    }
}

/// `torch.nn.Linear`.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

/// Whether a map adds a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    /// It does.
    With,
    /// It does not.
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

    /// Declares `weight` `[output, input]` alone.
    pub fn without_bias(mut path: Path<'_>, input: i64, output: i64) -> Self {
        Self { weight: path.tensor("weight", &[output, input]), bias: None }
    }

    /// Declares the maps `names`, each `weight` `[output, input]` and `bias` `[output]`, which are
    /// computed as one of `names.len() * output` outputs, in their order.
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

    /// The map to the outputs from `start` on, `length` of them, on the same values.
    pub fn narrow(&self, start: i64, length: i64) -> Self {
        let bias = self.bias.as_ref().map(|bias| bias.narrow(0, start, length));
        Self { weight: self.weight.narrow(0, start, length), bias }
    }

    /// `[.., input]` to `[.., output]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        activations::product(x);
        let y = x.linear(&self.weight, self.bias.as_ref());
        add_product(&y, x.numel(), self.weight.size()[0]);
        y
    }

    /// [`Linear::forward`] within rounding, by the quickest product that there is without a gradient.
    pub fn infer(&self, x: &Tensor) -> Tensor {
        linear(x, &self.weight, self.bias.as_ref())
    }
}

/// `torch.nn.LayerNorm` over the last dimension, with affine parameters.
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

    /// `[.., channels]` to the same.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let shape = self.weight.size();
        x.layer_norm(shape, Some(&self.weight), Some(&self.bias), self.eps, true)
    }
}

/// `torch.nn.GroupNorm` with affine parameters.
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

    /// `[B, channels, ..]`, normalised over groups of channels and all positions. Statistics and
    /// arithmetic are f32 whatever the type: libtorch's own bf16 norm rounds mean and deviation to bf16.
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

    /// `silu(forward(x + shift))` with `shift` `[B, channels]`, in one operator where there is one
    /// for the model's layout, type and device; otherwise step by step.
    pub(crate) fn forward_silu(&self, x: &Tensor, shift: Option<&Tensor>) -> Tensor {
        activations::norm(x, true);
        if self.fuses_silu {
            let Self { groups, eps, weight, bias, .. } = self;
            let norm = GroupNormSilu { groups: *groups, weight, bias, eps: *eps, shift };
            return group_norm_silu(x, norm);
        }
        self.normalise_shifted(x, shift).silu()
    }

    /// `forward(x + shift)` with `shift` `[B, channels]`.
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
