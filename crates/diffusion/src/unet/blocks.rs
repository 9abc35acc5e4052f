//! Down, middle and up blocks (diffusers `models/unets/unet_2d_blocks.py`).

use crate::activations;
use crate::parameters::Path;
use crate::unet::attention::{Attention, AttentionShape};
use crate::unet::config::UNetConfig;
use crate::unet::resample::{Downsample, Resample, Upsample};
use crate::unet::resnet::{ResnetBlock, ResnetShape};
use tch::Tensor;

fn block_attention(path: Path<'_>, channels: i64, config: &UNetConfig) -> Attention {
    let shape = AttentionShape {
        channels,
        head_dim: config.attention_head_dim.unwrap_or(channels),
        norm_groups: Some(config.norm_num_groups),
        output_scale_factor: 1.0,
    };
    Attention::new(path, shape, config)
}

fn residual(input: i64, output: i64) -> ResnetShape {
    ResnetShape { input, output, output_scale_factor: 1.0 }
}

/// `DownBlock2D`, `AttnDownBlock2D` and `ResnetDownsampleBlock2D`: `layers_per_block` residual blocks, each
/// followed by attention in `AttnDownBlock2D`, then a downsampler in every block except the last. It is a
/// residual block in `ResnetDownsampleBlock2D`, and with `downsample_type` = `resnet` in
/// `AttnDownBlock2D`; otherwise a [`Downsample`].
#[derive(Debug)]
pub struct DownBlock {
    resnets: Vec<ResnetBlock>,
    attentions: Vec<Attention>,
    downsampler: Option<Downsampler>,
}

#[derive(Debug)]
enum Downsampler {
    Convolution(Downsample),
    Residual(Box<ResnetBlock>),
}

impl Downsampler {
    fn new(path: Path<'_>, channels: i64, index: usize, config: &UNetConfig) -> Self {
        if config.halves_by_residual_block(index) {
            let block = ResnetBlock::resampling(path, channels, Resample::Halve, config);
            return Self::Residual(Box::new(block));
        }
        Self::Convolution(Downsample::new(path, channels, config.downsample_padding))
    }

    fn forward(&self, x: &Tensor, time: &Tensor) -> Tensor {
        match self {
            Self::Convolution(layer) => layer.forward(x),
            Self::Residual(block) => block.forward(x, time),
        }
    }
}

impl DownBlock {
    /// Declares the parameters of down block `index`, counted from the full resolution.
    pub fn new(mut path: Path<'_>, index: usize, config: &UNetConfig) -> Self {
        let channels = &config.block_out_channels;
        let (input, output) = (channels[index.saturating_sub(1)], channels[index]);
        let mut block = Self { resnets: Vec::new(), attentions: Vec::new(), downsampler: None };
        for layer in 0..config.layers_per_block {
            let shape = residual(if layer == 0 { input } else { output }, output);
            let resnet = ResnetBlock::new(path.at("resnets").at(layer), shape, config);
            block.resnets.push(resnet);
            if config.down_block_types[index] == "AttnDownBlock2D" {
                let path = path.at(format_args!("attentions.{layer}"));
                block.attentions.push(block_attention(path, output, config));
            }
        }
        block.downsampler = (index + 1 < channels.len())
            .then(|| Downsampler::new(path.at("downsamplers.0"), output, index, config));
        block
    }

    /// Maps `x` `[B, C_in, H, W]` and `time` `[B, time_channels]` to `[B, C_out, H / 2, W / 2]`, or
    /// `[B, C_out, H, W]` in the last block. Appends the output of every layer to `skips`.
    pub fn forward(&self, x: Tensor, time: &Tensor, skips: &mut Vec<Tensor>) -> Tensor {
        let mut hidden = down_layers(&self.resnets, &self.attentions, x, time, skips);
        if let Some(downsampler) = &self.downsampler {
            hidden = downsampler.forward(&hidden, time);
            activations::skip(&hidden);
            skips.push(hidden.shallow_clone());
        }
        hidden
    }
}

/// Applies the residual blocks of a down block, each followed by its attention if there is one. Appends the
/// output of every layer to `skips`.
pub(super) fn down_layers(
    resnets: &[ResnetBlock],
    attentions: &[Attention],
    x: Tensor,
    time: &Tensor,
    skips: &mut Vec<Tensor>,
) -> Tensor {
    let mut hidden = x;
    for (layer, resnet) in resnets.iter().enumerate() {
        hidden = resnet.forward(&hidden, time);
        if let Some(attention) = attentions.get(layer) {
            hidden = attention.forward(&hidden);
        }
        activations::skip(&hidden);
        skips.push(hidden.shallow_clone());
    }
    hidden
}

/// `UNetMidBlock2D` with one layer: residual block, optional attention, residual block.
#[derive(Debug)]
pub struct MidBlock {
    resnets: [ResnetBlock; 2],
    attention: Option<Attention>,
}

impl MidBlock {
    /// Declares the parameters of the middle block.
    pub fn new(mut path: Path<'_>, config: &UNetConfig) -> Self {
        let channels = config.block_out_channels[config.block_out_channels.len() - 1];
        let output_scale_factor = config.mid_block_scale_factor;
        let shape = ResnetShape { input: channels, output: channels, output_scale_factor };
        // As in diffusers: with scale_shift the middle attention has a norm only if
        // `attn_norm_num_groups` is set.
        let default_groups =
            (config.resnet_time_scale_shift == "default").then_some(config.norm_num_groups);
        let attention = AttentionShape {
            channels,
            head_dim: config.attention_head_dim.unwrap_or(channels),
            norm_groups: config.attn_norm_num_groups.or(default_groups),
            output_scale_factor,
        };
        let first = ResnetBlock::new(path.at("resnets.0"), shape, config);
        let attention = config
            .add_attention
            .then(|| Attention::new(path.at("attentions.0"), attention, config));
        let second = ResnetBlock::new(path.at("resnets.1"), shape, config);
        Self { resnets: [first, second], attention }
    }

    /// Maps `x` `[B, C, H, W]` and `time` `[B, time_channels]` to `[B, C, H, W]`.
    pub fn forward(&self, x: &Tensor, time: &Tensor) -> Tensor {
        let hidden = self.resnets[0].forward(x, time);
        let hidden = match &self.attention {
            Some(attention) => attention.forward(&hidden),
            None => hidden,
        };
        self.resnets[1].forward(&hidden, time)
    }
}

/// `UpBlock2D`, `AttnUpBlock2D` and `ResnetUpsampleBlock2D`: `layers_per_block + 1` residual blocks, each
/// on the concatenation of its input and a skip connection and followed by attention in `AttnUpBlock2D`,
/// then an upsampler in every block except the last. It is a residual block in `ResnetUpsampleBlock2D`,
/// and with `upsample_type` = `resnet` in `AttnUpBlock2D`; otherwise an [`Upsample`].
#[derive(Debug)]
pub struct UpBlock {
    resnets: Vec<ResnetBlock>,
    attentions: Vec<Attention>,
    upsampler: Option<Upsampler>,
}

#[derive(Debug)]
enum Upsampler {
    Convolution(Upsample),
    Residual(Box<ResnetBlock>),
}

impl Upsampler {
    fn new(path: Path<'_>, channels: i64, index: usize, config: &UNetConfig) -> Self {
        if config.doubles_by_residual_block(index) {
            let block = ResnetBlock::resampling(path, channels, Resample::Double, config);
            return Self::Residual(Box::new(block));
        }
        Self::Convolution(Upsample::new(path, channels))
    }

    fn forward(&self, x: &Tensor, time: &Tensor) -> Tensor {
        match self {
            Self::Convolution(layer) => layer.forward(x),
            Self::Residual(block) => block.forward(x, time),
        }
    }
}

impl UpBlock {
    /// Declares the parameters of up block `index`, counted from the lowest resolution.
    pub fn new(mut path: Path<'_>, index: usize, config: &UNetConfig) -> Self {
        let blocks = config.block_out_channels.len();
        let output = config.block_out_channels[blocks - 1 - index];
        let mut block = Self { resnets: Vec::new(), attentions: Vec::new(), upsampler: None };
        for (layer, (hidden, skip)) in config.up_layers(index).into_iter().enumerate() {
            let shape = residual(hidden + skip, output);
            let resnet = ResnetBlock::new(path.at("resnets").at(layer), shape, config);
            block.resnets.push(resnet);
            if config.up_block_types[index] == "AttnUpBlock2D" {
                let path = path.at(format_args!("attentions.{layer}"));
                block.attentions.push(block_attention(path, output, config));
            }
        }
        block.upsampler = (index + 1 < blocks)
            .then(|| Upsampler::new(path.at("upsamplers.0"), output, index, config));
        block
    }

    /// Maps `x` `[B, C_in, H, W]` and `time` `[B, time_channels]` to `[B, C_out, 2 H, 2 W]`, or
    /// `[B, C_out, H, W]` in the last block. Pops one skip connection per layer from `skips`.
    pub fn forward(&self, x: Tensor, time: &Tensor, skips: &mut Vec<Tensor>) -> Tensor {
        let mut hidden = x;
        for (layer, resnet) in self.resnets.iter().enumerate() {
            // The down blocks push exactly one skip connection per layer.
            if let Some(skip) = skips.pop() {
                hidden = Tensor::cat(&[hidden, skip], 1);
            }
            hidden = resnet.forward(&hidden, time);
            if let Some(attention) = self.attentions.get(layer) {
                hidden = attention.forward(&hidden);
            }
        }
        match &self.upsampler {
            Some(upsampler) => upsampler.forward(&hidden, time),
            None => hidden,
        }
    }
}
