//! `UNet2DModel` (diffusers `models/unets/unet_2d.py`): predicts noise, image or velocity from a batch of
//! noisy images and their timesteps.

pub mod accepted;
pub mod activation;
pub mod attention;
pub mod blocks;
mod checks;
pub mod classes;
pub mod config;
mod count;
pub mod embedding;
mod fir;
pub mod resample;
pub mod resnet;
pub mod skip;
mod skip_config;

use crate::layers::{Conv2d, ConvConfig, GroupNorm};
use crate::parameters::{Layout, Parameters, Path};
use activation::Activation;
use blocks::{DownBlock, MidBlock, UpBlock};
use classes::ClassEmbedding;
use config::UNetConfig;
use embedding::TimeEmbedding;
use skip::{SkipDownBlock, SkipUpBlock};
use skip_config::is_skip_block;
use tch::{Device, Kind, Tensor};

/// The model and its parameters. The blocks share the parameters' storage, so writes to
/// [`UNet::parameters`] take effect in the next forward pass.
#[derive(Debug)]
pub struct UNet {
    config: UNetConfig,
    parameters: Parameters,
    network: Network,
}

impl UNet {
    /// Creates a model with zeroed parameters, in the memory layout that [`layout`] selects.
    pub fn new(config: &UNetConfig, kind: Kind, device: Device) -> Self {
        Self::with_layout(config, kind, device, layout(config, device))
    }

    /// Creates a model with zeroed parameters in the given memory layout.
    #[must_use]
    pub fn with_layout(config: &UNetConfig, kind: Kind, device: Device, layout: Layout) -> Self {
        let mut parameters = Parameters::new(kind, device, layout);
        let network = Network::new(parameters.root(), config);
        Self { config: config.clone(), parameters, network }
    }

    /// Returns a copy of the model in another type or on another device.
    pub fn converted(&self, kind: Kind, device: Device) -> Self {
        let mut copy = Self::new(&self.config, kind, device);
        copy.parameters.copy_from(&self.parameters);
        copy
    }

    /// Returns the same model on the same tensors, for another thread. No values are copied.
    pub fn shared(&self) -> Self {
        let mut parameters = Parameters::sharing(&self.parameters);
        let network = Network::new(parameters.root(), &self.config);
        Self { config: self.config.clone(), parameters, network }
    }

    /// Returns the same model on the same storage, detached from autograd: the two collect gradients
    /// separately.
    pub fn detached(&self) -> Self {
        let mut parameters = Parameters::sharing(&self.parameters.detached());
        let network = Network::new(parameters.root(), &self.config);
        Self { config: self.config.clone(), parameters, network }
    }

    /// Returns the config of the model.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// Returns the parameters, named as in the checkpoint.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Returns the parameters for loading or training.
    pub fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    /// Predicts from `sample` (x_t) f32 `[B, in_channels, H, W]` at `timesteps` i64 `[B]`. The result is
    /// f32 `[B, out_channels, H, W]`, also if the model computes in bf16. Its meaning (noise, image or
    /// velocity) is the scheduler's `prediction_type`. `labels` i64 `[B]` are the classes of the images, for a
    /// class-conditional model only.
    ///
    /// # Panics
    /// If `labels` are missing for a class-conditional model, or given for another one, as in diffusers.
    pub fn forward(&self, sample: &Tensor, timesteps: &Tensor, labels: Option<&Tensor>) -> Tensor {
        let kind = self.parameters.kind();
        let centred = if self.config.center_input_sample {
            sample * 2.0 - 1.0
        } else {
            sample.shallow_clone()
        };
        let input = self.parameters.layout().apply(&centred.to_kind(kind));
        self.network.forward(&input, timesteps, labels, kind)
    }
}

/// Returns the faster memory layout for a model with `config` on `device`. Narrow models on a CPU spend
/// their time in group norms, which libtorch computes fast only for contiguous tensors. Wide models and
/// GPUs spend it in convolutions, which are fastest channels-last.
pub fn layout(config: &UNetConfig, device: Device) -> Layout {
    let narrow = config.block_out_channels[0] < 64;
    if narrow && device == Device::Cpu { Layout::ChannelsFirst } else { Layout::ChannelsLast }
}

#[derive(Debug)]
enum Down {
    Plain(DownBlock),
    Skip(Box<SkipDownBlock>),
}

impl Down {
    fn new(path: Path<'_>, index: usize, config: &UNetConfig) -> Self {
        if is_skip_block(&config.down_block_types[index]) {
            return Self::Skip(Box::new(SkipDownBlock::new(path, index, config)));
        }
        Self::Plain(DownBlock::new(path, index, config))
    }
}

#[derive(Debug)]
enum Up {
    Plain(UpBlock),
    Skip(Box<SkipUpBlock>),
}

impl Up {
    fn new(path: Path<'_>, index: usize, config: &UNetConfig) -> Self {
        if is_skip_block(&config.up_block_types[index]) {
            return Self::Skip(Box::new(SkipUpBlock::new(path, index, config)));
        }
        Self::Plain(UpBlock::new(path, index, config))
    }
}

#[derive(Debug)]
struct Network {
    conv_in: Conv2d,
    time_embedding: TimeEmbedding,
    class_embedding: Option<ClassEmbedding>,
    down_blocks: Vec<Down>,
    mid_block: Option<MidBlock>,
    up_blocks: Vec<Up>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    /// The activation of the residual blocks.
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
            class_embedding: config.num_class_embeds.map(|classes| {
                ClassEmbedding::new(path.at("class_embedding"), classes, config.time_channels())
            }),
            down_blocks: (0..blocks)
                .map(|index| Down::new(path.at("down_blocks").at(index), index, config))
                .collect(),
            mid_block: (config.mid_block_type.is_some())
                .then(|| MidBlock::new(path.at("mid_block"), config)),
            up_blocks: (0..blocks)
                .map(|index| Up::new(path.at("up_blocks").at(index), index, config))
                .collect(),
            conv_norm_out: GroupNorm::new(path.at("conv_norm_out"), groups, first, config.norm_eps),
            conv_out: Conv2d::new(path.at("conv_out"), first, config.out_channels, same),
            activation: Activation::of(config),
        }
    }

    fn forward(
        &self,
        sample: &Tensor,
        timesteps: &Tensor,
        labels: Option<&Tensor>,
        kind: Kind,
    ) -> Tensor {
        // 1. time and class: every residual block applies its activation first, so apply it once here
        let time = self.activation.forward(&self.embedding(timesteps, labels, kind));
        // 2. down
        let mut hidden = self.conv_in.forward(sample);
        let mut skips = vec![hidden.shallow_clone()];
        let mut input = sample.shallow_clone();
        for block in &self.down_blocks {
            hidden = match block {
                Down::Plain(block) => block.forward(hidden, &time, &mut skips),
                Down::Skip(block) => block.forward(hidden, &time, &mut skips, &mut input),
            };
        }
        // 3. middle
        if let Some(block) = &self.mid_block {
            hidden = block.forward(&hidden, &time);
        }
        // 4. up
        let mut image = None;
        for block in &self.up_blocks {
            hidden = match block {
                Up::Plain(block) => block.forward(hidden, &time, &mut skips),
                Up::Skip(block) => block.forward(hidden, &time, &mut skips, &mut image),
            };
        }
        // 5. out: SiLU for every `act_fn`
        let hidden = self.conv_norm_out.forward_silu(&hidden, None);
        let output = self.conv_out.forward(&hidden);
        let output = match image {
            Some(image) => output + image,
            None => output,
        };
        output.to_kind(Kind::Float).contiguous()
    }

    /// Returns the sum of the embeddings of `timesteps` and `labels`, `[B, time_channels]`.
    fn embedding(&self, timesteps: &Tensor, labels: Option<&Tensor>, kind: Kind) -> Tensor {
        let time = self.time_embedding.forward(timesteps, kind);
        match (&self.class_embedding, labels) {
            (None, None) => time,
            (Some(embedding), Some(labels)) => time + embedding.forward(labels),
            (Some(_), None) => panic!("a class-conditional model needs labels"),
            (None, Some(_)) => panic!("an unconditional model takes no labels"),
        }
    }
}
