//! The checked networks, and the conversion of libtorch failures to errors.

use anyhow::{Result, anyhow};
use ddpo_diffusion::parameters::Layout;
use ddpo_diffusion::unet::UNet;
use ddpo_diffusion::unet::config::UNetConfig;
use ddpo_run::pretraining::initialise;
use ddpo_service::device::panic_text;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tch::{Device, Kind, Tensor};

/// The shape of google/ddpm-celebahq-256.
pub const CELEBAHQ_256: &str = r#"{
  "_class_name": "UNet2DModel", "sample_size": 256, "in_channels": 3, "out_channels": 3,
  "block_out_channels": [128, 128, 256, 256, 512, 512], "layers_per_block": 2,
  "down_block_types": ["DownBlock2D", "DownBlock2D", "DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
  "up_block_types": ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"],
  "act_fn": "silu", "attention_head_dim": null, "center_input_sample": false, "downsample_padding": 0,
  "flip_sin_to_cos": false, "freq_shift": 1, "mid_block_scale_factor": 1, "norm_eps": 1e-06,
  "norm_num_groups": 32, "time_embedding_type": "positional"
}"#;

/// A network small enough for a CPU's test.
pub const SMALL: &str = r#"{
  "_class_name": "UNet2DModel", "sample_size": 32, "in_channels": 3, "out_channels": 3,
  "block_out_channels": [64, 64], "layers_per_block": 1,
  "down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
  "act_fn": "silu", "attention_head_dim": 8, "norm_num_groups": 32
}"#;

/// Creates a network with random weights, f32 on the CPU.
///
/// # Errors
/// The config is not supported.
pub fn random(config: &str) -> Result<UNet> {
    let mut unet = UNet::new(&UNetConfig::from_json(config)?, Kind::Float, Device::Cpu);
    initialise(unet.parameters_mut(), 0);
    Ok(unet)
}

/// Copies a network to a device, in another type and layout.
pub fn placed(unet: &UNet, kind: Kind, device: Device, layout: Layout) -> UNet {
    let mut moved = UNet::with_layout(unet.config(), kind, device, layout);
    moved.parameters_mut().copy_from(unet.parameters());
    moved
}

/// Returns images f32 `[B, C, H, W]` with periodic values, on `device`.
pub fn images(batch: i64, channels: i64, side: i64, device: Device) -> Tensor {
    let count = batch * channels * side * side;
    let steps = Tensor::arange(count, (Kind::Float, device)) * 0.37;
    steps.sin().view([batch, channels, side, side])
}

/// Runs `work`; a panic of libtorch's bindings becomes an error with its first line.
///
/// # Errors
/// Errors and panics of `work`.
pub fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|cause| Err(anyhow!("{}", panic_text(&*cause))))
}

/// Waits until `device` has finished all queued work.
pub fn synchronise(device: Device) {
    if let Device::Cuda(index) = device {
        tch::Cuda::synchronize(index as i64);
    }
}
