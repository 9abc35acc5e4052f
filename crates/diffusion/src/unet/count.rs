//! The number of parameters of a model, from its config alone.

use crate::unet::config::UNetConfig;
use crate::unet::skip::IMAGE_CHANNELS;
use crate::unet::skip_config::is_skip_block;

impl UNetConfig {
    /// Returns the number of parameters of the model, without building it. The config must be valid
    /// except for this number.
    #[must_use]
    pub fn parameter_count(&self) -> i64 {
        let blocks = self.block_out_channels.len();
        let (first, time) = (self.block_out_channels[0], self.time_channels());
        let ends = convolution(self.in_channels, first, 3)
            + norm(first)
            + convolution(first, self.out_channels, 3);
        let classes = self.num_class_embeds.unwrap_or(0) * time;
        let embedding = linear(first, time) + linear(time, time) + classes;
        let down: i64 = (0..blocks).map(|index| self.down_block(index)).sum();
        let up: i64 = (0..blocks).map(|index| self.up_block(index)).sum();
        let middle = if self.mid_block_type.is_some() { self.mid_block() } else { 0 };
        ends + embedding + down + middle + up
    }

    fn down_block(&self, index: usize) -> i64 {
        let channels = &self.block_out_channels;
        let (input, output) = (channels[index.saturating_sub(1)], channels[index]);
        let layers = self.layers_per_block as i64;
        let kind = &self.down_block_types[index];
        let resampler = if index + 1 == channels.len() {
            0
        } else if is_skip_block(kind) {
            self.filtering_resnet(output) + convolution(IMAGE_CHANNELS, output, 1)
        } else if self.halves_by_residual_block(index) {
            self.resnet(output, output)
        } else {
            convolution(output, output, 3)
        };
        self.resnet(input, output)
            + (layers - 1) * self.resnet(output, output)
            + layers * self.attention_of(kind, output)
            + resampler
    }

    fn mid_block(&self) -> i64 {
        let channels = self.block_out_channels[self.block_out_channels.len() - 1];
        let resnets = 2 * self.resnet(channels, channels);
        if !self.add_attention {
            return resnets;
        }
        let has_norm =
            self.attn_norm_num_groups.is_some() || self.resnet_time_scale_shift == "default";
        let norm = if has_norm { norm(channels) } else { 0 };
        resnets + attention(channels, self.head_dim(channels)) + norm
    }

    fn up_block(&self, index: usize) -> i64 {
        let blocks = self.block_out_channels.len();
        let output = self.block_out_channels[blocks - 1 - index];
        let kind = &self.up_block_types[index];
        let resampler = if index + 1 == blocks {
            0
        } else if is_skip_block(kind) {
            self.filtering_resnet(output) + norm(output) + convolution(output, IMAGE_CHANNELS, 3)
        } else if self.doubles_by_residual_block(index) {
            self.resnet(output, output)
        } else {
            convolution(output, output, 3)
        };
        let layers = self.up_layers(index).into_iter();
        let resnets: i64 = layers.map(|(hidden, skip)| self.resnet(hidden + skip, output)).sum();
        let attentions = if is_skip_block(kind) { 1 } else { self.layers_per_block as i64 + 1 };
        resnets + attentions * self.attention_of(kind, output) + resampler
    }

    fn resnet(&self, input: i64, output: i64) -> i64 {
        let factor = if self.resnet_time_scale_shift == "scale_shift" { 2 } else { 1 };
        let time = linear(self.time_channels(), factor * output);
        let shortcut = if input == output { 0 } else { convolution(input, output, 1) };
        let convolutions = convolution(input, output, 3) + convolution(output, output, 3);
        norm(input) + norm(output) + convolutions + shortcut + time
    }

    /// A residual block with a shortcut between equal channels.
    fn filtering_resnet(&self, channels: i64) -> i64 {
        self.resnet(channels, channels) + convolution(channels, channels, 1)
    }

    fn attention_of(&self, kind: &str, channels: i64) -> i64 {
        let attention = attention(channels, self.head_dim(channels)) + norm(channels);
        if kind.starts_with("Attn") { attention } else { 0 }
    }
}

const fn convolution(input: i64, output: i64, kernel: i64) -> i64 {
    output * input * kernel * kernel + output
}

const fn linear(input: i64, output: i64) -> i64 {
    output * input + output
}

const fn norm(channels: i64) -> i64 {
    2 * channels
}

/// Attention without its norm.
const fn attention(channels: i64, head_dim: i64) -> i64 {
    let inner = channels / head_dim * head_dim;
    3 * linear(channels, inner) + linear(inner, channels)
}
