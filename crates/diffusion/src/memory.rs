//! Estimates the memory of a UNet's passes. A small forward pass counts what each layer keeps; the counts
//! grow in proportion to the number of positions.

use crate::activations;
use crate::parameters::Layout;
use crate::unet::config::UNetConfig;
use crate::unet::{UNet, layout};
use tch::{Device, Kind, Tensor};

/// Smallest side of the image in the counting pass, in pixels.
const LEAST_SIDE: i64 = 32;

/// Fraction of the free memory to plan with; the rest is for the allocator's fragmentation.
const PLANNED: f64 = 0.85;

/// Estimated memory of a model's passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PassMemory {
    /// Bytes per image in training, between the forward and the backward pass.
    pub training: f64,
    /// Bytes per image in sampling.
    pub sampling: f64,
    /// Number of weights.
    pub weights: usize,
    element: f64,
}

impl PassMemory {
    /// Estimates the memory of a model with `config` that computes in `kind` on `device`. Runs one
    /// forward pass on a small image on the CPU.
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
        let labels = config.first_class(1, Device::Cpu);
        let timesteps = Tensor::zeros([1], (Kind::Int64, Device::Cpu));
        let _ = unet.forward(&images, &timesteps, labels.as_ref());
        let counts = activations::counted();
        let positions = (height * width) as f64 / (least * least) as f64;
        let scaled = |values: u64| values as f64 * positions;
        let element = if kind == Kind::Float { 4.0 } else { 2.0 };
        let is_fused = device == Device::Cpu && layout(config, device) == Layout::ChannelsLast;
        // libtorch's norm keeps its input in f32, and the SiLU after it keeps the norm's output.
        let norms = if is_fused {
            element * scaled(counts.norms)
        } else {
            4.0 * scaled(counts.norms) + element * scaled(counts.activations)
        };
        // During the backward pass: the gradient of one layer's output and of its input.
        let passing = 2.0 * element * scaled(counts.largest);
        // A CPU without bf16 arithmetic widens a layer's input and output to f32.
        let widened = if kind == Kind::BFloat16 && device == Device::Cpu && !has_bf16_arithmetic() {
            8.0 * scaled(counts.largest)
        } else {
            0.0
        };
        Self {
            training: element * scaled(counts.products) + norms + passing + widened,
            sampling: element * scaled(counts.skips) + 4.0 * passing,
            weights: unet.parameters().count(),
            element,
        }
    }

    /// Returns the bytes that training needs independent of the micro-batch size: f32 weights,
    /// gradients and two Adam moments (16 bytes per weight); in bf16 also a copy of the weights and
    /// their gradients; and the averaged weights and the reference model if the run has them.
    #[must_use]
    pub fn fixed(&self, has_average: bool, has_reference: bool) -> f64 {
        let narrow = if self.element < 4.0 { 2.0 * self.element } else { 0.0 };
        let average = if has_average { 4.0 } else { 0.0 };
        let reference = if has_reference { self.element } else { 0.0 };
        self.weights as f64 * (16.0 + narrow + average + reference)
    }

    /// Returns the largest micro-batch, in (sample, step) pairs, that fits into `free` bytes next to
    /// `fixed` bytes; at least 1.
    #[must_use]
    pub fn micro_batch(&self, free: u64, fixed: f64) -> usize {
        most(free as f64 * PLANNED - fixed, self.training)
    }

    /// Returns the largest batch of samples that fits into `free` bytes; at least 1.
    #[must_use]
    pub fn sample_batch(&self, free: u64) -> usize {
        most(free as f64 * PLANNED - self.weights as f64 * self.element, self.sampling)
    }
}

#[cfg(target_arch = "x86_64")]
fn has_bf16_arithmetic() -> bool {
    std::arch::is_x86_feature_detected!("avx512bf16")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_bf16_arithmetic() -> bool {
    true
}

fn most(bytes: f64, each: f64) -> usize {
    (bytes / each.max(1.0)).floor().max(1.0) as usize
}
