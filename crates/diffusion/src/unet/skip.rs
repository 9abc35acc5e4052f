//! Down and up blocks of NCSN++ (diffusers `models/unets/unet_2d_blocks.py`; Song et al. 2021, appendix H):
//! beside the hidden states they halve the model's input, and add it to each level, and add up an image
//! from the levels, which is added to the model's output.

use crate::activations;
use crate::layers::{Conv2d, ConvConfig, GroupNorm};
use crate::parameters::Path;
use crate::unet::attention::{Attention, AttentionShape};
use crate::unet::blocks::down_layers;
use crate::unet::config::UNetConfig;
use crate::unet::resample::Resample;
use crate::unet::resnet::{Groups, ResnetBlock, ResnetShape};
use std::f64::consts::SQRT_2;
use tch::Tensor;

/// Channels of the image that the blocks pass on.
pub(crate) const IMAGE_CHANNELS: i64 = 3;

/// Groups of the norm before the attention of these blocks.
pub(crate) const ATTENTION_GROUPS: i64 = 32;

/// Returns the groups of a norm of `channels` channels.
pub(crate) fn groups_of(channels: i64) -> i64 {
    (channels / 4).min(32)
}

/// Returns the groups of the first norm of an up block's layer on `hidden + skip` channels. diffusers
/// divides only `skip` by 4 in `AttnSkipUpBlock2D`.
pub(crate) fn up_groups(kind: &str, hidden: i64, skip: i64) -> i64 {
    match kind {
        "AttnSkipUpBlock2D" => (hidden + skip / 4).min(32),
        _ => groups_of(hidden + skip),
    }
}

fn attention(path: Path<'_>, channels: i64, config: &UNetConfig) -> Attention {
    let shape = AttentionShape {
        channels,
        head_dim: config.head_dim(channels),
        norm_groups: Some(ATTENTION_GROUPS),
        output_scale_factor: SQRT_2,
    };
    Attention::new(path, shape, config)
}

fn residual(input: i64, output: i64) -> ResnetShape {
    ResnetShape { input, output, output_scale_factor: SQRT_2 }
}

/// `SkipDownBlock2D` and `AttnSkipDownBlock2D`: `layers_per_block` residual blocks, each followed by
/// attention in `AttnSkipDownBlock2D`. Every block except the last one then halves the sides and adds the
/// halved image.
#[derive(Debug)]
pub struct SkipDownBlock {
    resnets: Vec<ResnetBlock>,
    attentions: Vec<Attention>,
    halving: Option<Halving>,
}

#[derive(Debug)]
struct Halving {
    resnet: ResnetBlock,
    skip_conv: Conv2d,
}

impl SkipDownBlock {
    /// Declares the parameters of down block `index`, counted from the full resolution.
    pub fn new(mut path: Path<'_>, index: usize, config: &UNetConfig) -> Self {
        let channels = &config.block_out_channels;
        let (input, output) = (channels[index.saturating_sub(1)], channels[index]);
        let mut block = Self { resnets: Vec::new(), attentions: Vec::new(), halving: None };
        for layer in 0..config.layers_per_block {
            let shape = residual(if layer == 0 { input } else { output }, output);
            let groups = Groups { first: groups_of(shape.input), second: groups_of(output) };
            let path_of_layer = path.at(format_args!("resnets.{layer}"));
            block.resnets.push(ResnetBlock::with_groups(path_of_layer, shape, groups, config));
            if config.down_block_types[index] == "AttnSkipDownBlock2D" {
                let path_of_layer = path.at(format_args!("attentions.{layer}"));
                block.attentions.push(attention(path_of_layer, output, config));
            }
        }
        block.halving = (index + 1 < channels.len()).then(|| Halving {
            resnet: resampling(path.at("resnet_down"), output, Resample::FilterHalve, config),
            skip_conv: {
                let config = ConvConfig::POINT;
                Conv2d::new(path.at("skip_conv"), IMAGE_CHANNELS, output, config)
            },
        });
        block
    }

    /// Maps `x` like [`super::blocks::DownBlock::forward`], and halves `image` `[B, 3, H, W]` in every
    /// block except the last.
    pub fn forward(
        &self,
        x: Tensor,
        time: &Tensor,
        skips: &mut Vec<Tensor>,
        image: &mut Tensor,
    ) -> Tensor {
        let mut hidden = down_layers(&self.resnets, &self.attentions, x, time, skips);
        if let Some(Halving { resnet, skip_conv }) = &self.halving {
            *image = Resample::FilterHalve.apply(image);
            hidden = skip_conv.forward(image) + resnet.forward(&hidden, time);
            activations::skip(&hidden);
            skips.push(hidden.shallow_clone());
        }
        hidden
    }
}

/// `SkipUpBlock2D` and `AttnSkipUpBlock2D`: `layers_per_block + 1` residual blocks, each on the
/// concatenation of its input and a skip connection, then attention in `AttnSkipUpBlock2D`. The image is
/// doubled; every block except the last one adds its own part to it and doubles the sides.
#[derive(Debug)]
pub struct SkipUpBlock {
    resnets: Vec<ResnetBlock>,
    attention: Option<Attention>,
    doubling: Option<Doubling>,
}

#[derive(Debug)]
struct Doubling {
    resnet: ResnetBlock,
    skip_norm: GroupNorm,
    skip_conv: Conv2d,
}

impl SkipUpBlock {
    /// Declares the parameters of up block `index`, counted from the lowest resolution.
    pub fn new(mut path: Path<'_>, index: usize, config: &UNetConfig) -> Self {
        let reversed: Vec<i64> = config.block_out_channels.iter().rev().copied().collect();
        let kind = config.up_block_types[index].as_str();
        let output = reversed[index];
        let mut resnets = Vec::new();
        for (layer, (hidden, skip)) in config.up_layers(index).into_iter().enumerate() {
            let shape = residual(hidden + skip, output);
            let groups = Groups { first: up_groups(kind, hidden, skip), second: groups_of(output) };
            let path_of_layer = path.at(format_args!("resnets.{layer}"));
            resnets.push(ResnetBlock::with_groups(path_of_layer, shape, groups, config));
        }
        let attention = (kind == "AttnSkipUpBlock2D")
            .then(|| attention(path.at("attentions.0"), output, config));
        let doubling = (index + 1 < reversed.len()).then(|| Doubling {
            resnet: resampling(path.at("resnet_up"), output, Resample::FilterDouble, config),
            skip_norm: {
                let groups = groups_of(output);
                GroupNorm::new(path.at("skip_norm"), groups, output, config.norm_eps)
            },
            skip_conv: {
                let config = ConvConfig::SAME_3X3;
                Conv2d::new(path.at("skip_conv"), output, IMAGE_CHANNELS, config)
            },
        });
        Self { resnets, attention, doubling }
    }

    /// Maps `x` like [`super::blocks::UpBlock::forward`], and doubles `image` and adds to it.
    pub fn forward(
        &self,
        x: Tensor,
        time: &Tensor,
        skips: &mut Vec<Tensor>,
        image: &mut Option<Tensor>,
    ) -> Tensor {
        let mut hidden = x;
        for resnet in &self.resnets {
            // The down blocks push exactly one skip connection per layer.
            if let Some(skip) = skips.pop() {
                hidden = Tensor::cat(&[hidden, skip], 1);
            }
            hidden = resnet.forward(&hidden, time);
        }
        if let Some(attention) = &self.attention {
            hidden = attention.forward(&hidden);
        }
        let doubled = image.take().map(|image| Resample::FilterDouble.apply(&image));
        let Some(Doubling { resnet, skip_norm, skip_conv }) = &self.doubling else {
            *image = doubled;
            return hidden;
        };
        // SiLU for every `act_fn`.
        let part = skip_conv.forward(&skip_norm.forward_silu(&hidden, None));
        *image = Some(match doubled {
            Some(doubled) => doubled + part,
            None => part,
        });
        resnet.forward(&hidden, time)
    }
}

/// Returns a residual block that resamples with a filter; its shortcut is a convolution.
fn resampling(
    path: Path<'_>,
    channels: i64,
    resample: Resample,
    config: &UNetConfig,
) -> ResnetBlock {
    let groups = Groups { first: groups_of(channels), second: groups_of(channels) };
    ResnetBlock::filtering(path, residual(channels, channels), (groups, resample), config)
}
