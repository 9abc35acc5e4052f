//! The memory that a pass of a UNet takes, by a formula: what each layer keeps is counted in a small forward
//! pass, and grows with the number of positions.

use crate::activations;
use crate::parameters::Layout;
use crate::unet::config::UNetConfig;
use crate::unet::{UNet, layout};
use tch::{Device, Kind, Tensor};

/// The smallest side of the images that are counted.
const LEAST_SIDE: i64 = 32;

/// The share of the free memory that is planned for; the allocator's fragments take the rest.
const PLANNED: f64 = 0.85;

/// The memory of a model's passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PassMemory {
    /// Bytes that an image of a training pass takes between its forward and its backward pass.
    pub training: f64,
    /// Bytes that an image of a sampling pass takes.
    pub sampling: f64,
    /// Number of weights.
    pub weights: usize,
    element: f64,
}

impl PassMemory {
    /// Counts for a model of `config` that runs in `kind` on `device`. Runs a small model's forward pass
    /// on the CPU.
    #[must_use]
    pub fn of(config: &UNetConfig, kind: Kind, device: Device) -> Self {
        let levels = config.block_out_channels.len() as u32;
        let least = LEAST_SIDE.max(2_i64.pow(levels.saturating_sub(1)));
        let (height, width) = config.image_size().map_or((0, 0), |(h, w)| (h as i64, w as i64));
        let unet = UNet::new(config, Kind::Float, Device::Cpu);
        let _guard = tch::no_grad_guard();
        let options = (Kind::Float, Device::Cpu);
        activations::begin();
        let images = Tensor::zeros([1, config.in_channels, least, least], options);
        let _ = unet.forward(&images, &Tensor::zeros([1], (Kind::Int64, Device::Cpu)));
        let counts = activations::counted();
        let positions = (height * width) as f64 / (least * least) as f64;
        let scaled = |values: u64| values as f64 * positions;
        let element = if kind == Kind::Float { 4.0 } else { 2.0 };
        let is_fused = device == Device::Cpu && layout(config, device) == Layout::ChannelsLast;
        // libtorch's norm keeps its input in f32, and the SiLU behind it keeps the norm's output.
        let norms = if is_fused {
            element * scaled(counts.norms)
        } else {
            4.0 * scaled(counts.norms) + element * scaled(counts.activations)
        };
        // A gradient and what it is made of.
        let passing = 2.0 * element * scaled(counts.largest);
        Self {
            training: element * scaled(counts.products) + norms + passing,
            sampling: element * scaled(counts.skips) + 4.0 * passing,
            weights: unet.parameters().count(),
            element,
        }
    }

    /// Bytes that training takes whatever the size of a micro-batch: f32 weights, gradients and two moments;
    /// a copy and gradients in the type of the passes where that is not f32; averaged weights and the
    /// pretrained model where the run has them.
    #[must_use]
    pub fn fixed(&self, has_average: bool, has_reference: bool) -> f64 {
        let narrow = if self.element < 4.0 { 2.0 * self.element } else { 0.0 };
        let average = if has_average { 4.0 } else { 0.0 };
        let reference = if has_reference { self.element } else { 0.0 };
        self.weights as f64 * (16.0 + narrow + average + reference)
    }

    /// The most pairs of a micro-batch for `free` bytes, at least 1.
    #[must_use]
    pub fn micro_batch(&self, free: u64, fixed: f64) -> usize {
        most(free as f64 * PLANNED - fixed, self.training)
    }

    /// The most samples of a batch for `free` bytes, at least 1.
    #[must_use]
    pub fn sample_batch(&self, free: u64) -> usize {
        most(free as f64 * PLANNED - self.weights as f64 * self.element, self.sampling)
    }
}

fn most(bytes: f64, each: f64) -> usize {
    (bytes / each.max(1.0)).floor().max(1.0) as usize
}
