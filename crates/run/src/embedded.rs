//! The small pretrained model embedded in the program: `toy-faces-32` (see `models/`).

use ddpo_checkpoint::{UnpackError, unpack};
use tempfile::TempDir;

/// The model's name, accepted wherever a checkpoint is.
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

/// Writes the model's files into a temporary folder, which is removed when it is dropped.
///
/// # Errors
/// [`UnpackError`].
pub fn unpacked() -> Result<TempDir, UnpackError> {
    unpack(&FILES)
}
