//! `UNet2DModel` (diffusers `models/unets/unet_2d.py`): predicts the noise in a batch of images.

pub mod activation;
pub mod attention;
pub mod blocks;
pub mod config;
pub mod embedding;
pub mod resample;
pub mod resnet;

use crate::layers::{Conv2d, ConvConfig, GroupNorm};
use crate::parameters::{Layout, Parameters, Path};
use activation::Activation;
use blocks::{DownBlock, MidBlock, UpBlock};
use config::UNetConfig;
use embedding::TimeEmbedding;
use tch::{Device, Kind, Tensor};

/// The model and its parameters. The blocks share the parameters' storage: what is written into
/// [`UNet::parameters`] is what the next forward pass sees.
#[derive(Debug)]
pub struct UNet {
    config: UNetConfig,
    parameters: Parameters,
    network: Network,
}

impl UNet {
    /// A model with zeroed parameters, for weights to be loaded into.
    pub fn new(config: &UNetConfig, kind: Kind, device: Device) -> Self {
        Self::with_layout(config, kind, device, layout(config, device))
    }

    /// [`UNet::new`] with a layout of choice.
    #[must_use]
    pub fn with_layout(config: &UNetConfig, kind: Kind, device: Device, layout: Layout) -> Self {
        let mut parameters = Parameters::new(kind, device, layout);
        let network = Network::new(parameters.root(), config);
        Self { config: config.clone(), parameters, network }
    }

    /// The same model with its parameters copied to another type or device.
    pub fn converted(&self, kind: Kind, device: Device) -> Self {
        let mut copy = Self::new(&self.config, kind, device);
        copy.parameters.copy_from(&self.parameters);
        copy
    }

    /// The same model on the same tensors, for another thread: neither sees a copy.
    pub fn shared(&self) -> Self {
        let mut parameters = Parameters::sharing(&self.parameters);
        let network = Network::new(parameters.root(), &self.config);
        Self { config: self.config.clone(), parameters, network }
    }

    /// The same model on the same values, but apart for autograd: gradients of the one are not the
    /// other's.
    pub fn detached(&self) -> Self {
        let mut parameters = Parameters::sharing(&self.parameters.detached());
        let network = Network::new(parameters.root(), &self.config);
        Self { config: self.config.clone(), parameters, network }
    }

    /// The config it was made from.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// Its parameters, named as in the checkpoint.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Its parameters, to load or to train.
    pub fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    /// Predicts from `sample` f32 `[B, C, H, W]` at `timesteps` i64 `[B]`; gives f32
    /// `[B, C, H, W]`, whatever type the model runs in.
    pub fn forward(&self, sample: &Tensor, timesteps: &Tensor) -> Tensor {
        let kind = self.parameters.kind();
        let centred = if self.config.center_input_sample {
            sample * 2.0 - 1.0
        } else {
            sample.shallow_clone()
        };
        let input = self.parameters.layout().apply(&centred.to_kind(kind));
        self.network.forward(&input, timesteps, kind)
    }
}

/// The layout of a model of `config` on `device`. Narrow models on a CPU spend their time in group
/// norms, which libtorch has fast for contiguous tensors only; wide ones and GPUs spend it in
/// convolutions, which are fastest channels-last.
pub fn layout(config: &UNetConfig, device: Device) -> Layout {
    let narrow = config.block_out_channels[0] < 64;
    if narrow && device == Device::Cpu { Layout::ChannelsFirst } else { Layout::ChannelsLast }
}

#[derive(Debug)]
struct Network {
    conv_in: Conv2d,
    time_embedding: TimeEmbedding,
    down_blocks: Vec<DownBlock>,
    mid_block: Option<MidBlock>,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    activation: Activation,
}

impl Network {
    fn new(mut path: Path<'_>, config: &UNetConfig) -> Self {
        let first = config.block_out_channels[0];
        let blocks = config.block_out_channels.len();
        let same = ConvConfig::SAME_3X3;
        let groups = config.norm_num_groups;
        Self {
            conv_in: Conv2d::new(path.at("conv_in"), config.in_channels, first, same),
            time_embedding: TimeEmbedding::new(path.at("time_embedding"), config),
            down_blocks: (0..blocks)
                .map(|index| DownBlock::new(path.at("down_blocks").at(index), index, config))
                .collect(),
            mid_block: (config.mid_block_type.is_some())
                .then(|| MidBlock::new(path.at("mid_block"), config)),
            up_blocks: (0..blocks)
                .map(|index| UpBlock::new(path.at("up_blocks").at(index), index, config))
                .collect(),
            conv_norm_out: GroupNorm::new(path.at("conv_norm_out"), groups, first, config.norm_eps),
            conv_out: Conv2d::new(path.at("conv_out"), first, config.out_channels, same),
            activation: Activation::of(config),
        }
    }

    fn forward(&self, sample: &Tensor, timesteps: &Tensor, kind: Kind) -> Tensor {
        // 1. time: every residual block applies the activation first, so it is done once here
        let time = self.activation.forward(&self.time_embedding.forward(timesteps, kind));
        // 2. down
        let mut hidden = self.conv_in.forward(sample);
        let mut skips = vec![hidden.shallow_clone()];
        for block in &self.down_blocks {
            hidden = block.forward(hidden, &time, &mut skips);
        }
        // 3. middle
        if let Some(block) = &self.mid_block {
            hidden = block.forward(&hidden, &time);
        }
        // 4. up
        for block in &self.up_blocks {
            hidden = block.forward(hidden, &time, &mut skips);
        }
        // 5. out
        let hidden = self.activation.after_norm(&self.conv_norm_out, &hidden, None);
        self.conv_out.forward(&hidden).to_kind(Kind::Float).contiguous()
    }
}
