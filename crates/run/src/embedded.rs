//! The small pretrained model that is part of the program: `toy-faces-32` (see `models/`).

use ddpo_checkpoint::{UnpackError, unpack};
use tempfile::TempDir;

/// The name that stands for it wherever a checkpoint is asked for.
pub const NAME: &str = "toy-faces-32";

macro_rules! file {
    ($path:literal) => {
        ($path, include_bytes!(concat!("../../../models/toy-faces-32/", $path)).as_slice())
    };
}

const FILES: [(&str, &[u8]); 5] = [
    file!("README.md"),
    file!("model_index.json"),
    file!("scheduler/scheduler_config.json"),
    file!("unet/config.json"),
    file!("unet/diffusion_pytorch_model.safetensors"),
];

/// Writes the model's files into a temporary folder, which goes when it is dropped.
///
/// # Errors
/// [`UnpackError`].
pub fn unpacked() -> Result<TempDir, UnpackError> {
    unpack(&FILES)
}
